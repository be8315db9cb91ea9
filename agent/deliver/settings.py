"""What a site says of the channels that results are sent to."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, HttpUrl, StringConstraints, model_validator
from typing_extensions import Self

Told: TypeAlias = Literal["suspected", "not_suspected", "not_analysed"]

Kind: TypeAlias = Literal[
    "segmentation",
    "measurements",
    "key_images",
    "picture",
    "report",
    "outlines",
    "signed_report",
]

KINDS: Final[tuple[Kind, ...]] = (
    "segmentation",
    "measurements",
    "key_images",
    "picture",
    "report",
)
"""What is made of a result where the site does not say what. Outlines, and what a radiologist has
signed, leave the box only where it does."""

AeTitle: TypeAlias = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=16, pattern=r"^[ -\[\]-~]+$"),
]
"""Source: PS3.5 table 6.2-1, AE: up to 16 characters, no backslash."""

Objects: TypeAlias = Annotated[tuple[Kind, ...], Field(min_length=1)]
"""What is made of a suspicion; of any other answer only "measurements" and "report" are. A
"signed_report" is made when somebody signs one."""

Named: TypeAlias = Annotated[str, StringConstraints(max_length=180)]
"""Of an application, a facility or an authority. Source: HL7 v2.5.1, MSH-3 to MSH-6."""

MailAddress: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[!-~]+@[a-zA-Z0-9.\[\]:-]+$")]

Priority: TypeAlias = Literal["stat", "asap", "routine"]

ChannelName: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,31}$")]


class Peer(BaseModel):
    """Somebody whom this box calls."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: ChannelName
    """By which the outbox, commands and metrics name it."""
    timeout_s: Annotated[float, Field(gt=0, le=600)] = 30.0
    """How long it may take to answer [s]."""
    tls_ca: Path | None = None
    """PEM file of who signed its certificate."""
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    """PEM files by which it knows this box, where it asks for them."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("tls_certificate and tls_key belong together")
        return self


class Receiver(Peer):
    """Who results are sent to, and which."""

    tell: Annotated[tuple[Told, ...], Field(min_length=1)] = ("suspected",)
    """Answers that are sent. What becomes of one that was sent is sent in any case."""


class WordedReceiver(Receiver):
    """A receiver of texts that people read, which the site may word itself."""

    template: Path | None = None
    """File of a Jinja2 template that takes the place of our words."""


class DicomPeer(Peer):
    """Somebody who speaks DICOM."""

    host: str
    port: Annotated[int, Field(ge=1, le=65535)] = 104
    ae_title: AeTitle
    """Theirs."""
    calling_ae_title: AeTitle = "BLEEDWATCH"
    tls: bool = False


class WorklistSettings(DicomPeer):
    """Who knows which patients are expected: a RIS with a Modality Worklist."""

    name: ChannelName = "worklist"
    refresh_s: Annotated[float, Field(ge=10, le=3600)] = 60.0
    """Between two questions [s]."""


class HostReceiver(Receiver):
    """A receiver that is called by its host."""

    host: str

    @property
    def address(self) -> str:
        """The receiver's address, or its name."""
        return self.host


class WebPeer(Peer):
    """Somebody who is spoken to by HTTP."""

    url: HttpUrl
    authorization_file: Path | None = None
    """File whose one line is sent as the Authorization header, such as "Bearer …"."""

    @property
    def address(self) -> str:
        """The receiver's address, or its name."""
        return (self.url.host or "").strip("[]")


class WebReceiver(Receiver, WebPeer):
    """A receiver that is spoken to by HTTP."""


class PriorWebArchive(WebPeer):
    """An archive that is asked by QIDO-RS and WADO-RS.

    ``url`` is as https://pacs.example/dicom-web.
    """

    name: ChannelName = "prior"


class PriorDicomArchive(DicomPeer):
    """An archive that is asked by C-FIND, and sends by C-MOVE to ``deliver.listen_port``."""

    name: ChannelName = "prior"

    @property
    def address(self) -> str:
        """The archive's address, or its name."""
        return self.host


class PriorSettings(BaseModel):
    """Which archive earlier examinations are fetched from, and which of them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dicomweb: PriorWebArchive | None = None
    dicom: PriorDicomArchive | None = None
    """One of the two is named."""
    days: Annotated[int, Field(ge=1, le=3650)] = 365
    """An examination that is older than the new one by more is not fetched [days]."""
    issuer: Annotated[str, StringConstraints(max_length=64)] = ""
    """Who gives this box's patients their numbers (Issuer of Patient ID): where the archive names
    another for a number, that is another patient."""

    @model_validator(mode="after")
    def _one_archive(self) -> Self:
        if (self.dicomweb is None) == (self.dicom is None):
            raise ValueError("name one archive, [prior.dicomweb] or [prior.dicom]")
        return self

    @property
    def archive(self) -> PriorWebArchive | PriorDicomArchive:
        """The archive that is named."""
        (named,) = (one for one in (self.dicomweb, self.dicom) if one)
        return named


class Archive(Receiver):
    """A receiver of objects."""

    objects: Objects = KINDS
    organization: Annotated[str, StringConstraints(strip_whitespace=True, max_length=64)] = ""
    """For whom radiologists sign. Source: PS3.3 C.17.2, Verifying Organization, LO."""

    @model_validator(mode="after")
    def _answerable(self) -> Self:
        if self.signs and not self.organization:
            raise ValueError("signed_report needs organization: for whom radiologists sign")
        if self.objects == ("signed_report",):
            raise ValueError("signed_report is sent beside what is made of a result, not alone")
        return self

    @property
    def signs(self) -> bool:
        """Whether it is sent what radiologists sign."""
        return "signed_report" in self.objects


class DicomChannel(Archive, DicomPeer):
    """An archive that is sent objects by C-STORE."""

    commitment: bool = True
    """Whether the archive is asked to commit itself to keep what it took. Only then is a result
    delivered."""

    @property
    def address(self) -> str:
        """The archive's address, or its name."""
        return self.host


class DicomWebChannel(Archive, WebReceiver):
    """An archive that is sent objects by STOW-RS; ``url`` is as https://pacs.example/dicom-web."""


class Hl7Channel(WordedReceiver, HostReceiver):
    """A RIS or an interface engine that is sent ORU^R01 2.5.1 over MLLP."""

    port: Annotated[int, Field(ge=1, le=65535)] = 2575
    tls: bool = False
    sending_application: Named = "BLEEDWATCH"
    sending_facility: Named = ""
    receiving_application: Named = ""
    receiving_facility: Named = ""
    patient_authority: Named = ""
    """Who gives patients their numbers (PID-3.4)."""
    priority: Priority | None = None
    """By which the order of a suspicion is to be read (TQ1-9); None leaves it as it is."""


class FhirChannel(WordedReceiver, WebReceiver):
    """A record that is sent FHIR R4 transactions; ``url`` is as https://ehr.example/fhir."""

    patient_system: str | None = None
    """The system of patients' identifiers. With it, the server must know the patient; without it,
    the report carries the number alone."""
    priority: Priority | None = None
    """With it a suspicion is accompanied by a Task of that priority: to read the study."""
    order_system: str | None = None
    """The system of accession numbers. With it, the order of a suspicion is itself raised to that
    priority."""

    @model_validator(mode="after")
    def _told_whose(self) -> Self:
        if self.order_system and not (self.patient_system and self.priority):
            raise ValueError("order_system asks for patient_system and priority as well")
        return self


class WebhookChannel(WordedReceiver, WebReceiver):
    """A web service that is POSTed results as JSON."""

    secret_file: Path
    """File whose one line is what bodies are signed with: base64, with or without "whsec_"."""
    identified: bool = False
    """Whether the patient is told as well."""

    @model_validator(mode="after")
    def _guarded(self) -> Self:
        if self.identified and self.url.scheme != "https":
            raise ValueError("without https no patient is sent")
        return self


class EmailChannel(WordedReceiver, HostReceiver):
    """Recipients that are sent results through a mail server."""

    port: Annotated[int, Field(ge=1, le=65535)] = 587
    security: Literal["starttls", "tls", "none"] = "starttls"
    sender: MailAddress
    recipients: Annotated[tuple[MailAddress, ...], Field(min_length=1)]
    user: str | None = None
    password_file: Path | None = None
    identified: bool = False
    """Whether the patient is told as well."""

    @model_validator(mode="after")
    def _guarded(self) -> Self:
        if (self.user is None) != (self.password_file is None):
            raise ValueError("user and password_file belong together")
        if self.security == "none" and (self.user or self.identified):
            raise ValueError("without TLS neither a password nor a patient is sent")
        return self


class UpsChannel(Receiver, DicomPeer):
    """A manager of procedure steps (UPS) in which a suspicion's step is raised."""

    @property
    def address(self) -> str:
        """The manager's address, or its name."""
        return self.host


SendingChannel: TypeAlias = (
    DicomChannel
    | DicomWebChannel
    | Hl7Channel
    | FhirChannel
    | WebhookChannel
    | EmailChannel
    | UpsChannel
)
