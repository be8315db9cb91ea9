"""The agent's configuration: one TOML file, overridden by environment, parsed once, frozen."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    HttpUrl,
    ValidationError,
    model_validator,
)
from typing_extensions import Self

from agent.assemble.bounds import Bounds
from agent.assemble.limits import ReadLimits
from agent.console.address import Address
from agent.console.settings import Language, PageSettings, Shown
from agent.deliver.outbox import OWN_CHANNELS, signed_to
from agent.deliver.settings import (
    DicomChannel,
    DicomWebChannel,
    EmailChannel,
    FhirChannel,
    Hl7Channel,
    PriorSettings,
    SendingChannel,
    UpsChannel,
    WebhookChannel,
    WorklistSettings,
)
from agent.errors import ConfigError
from agent.infer.server_settings import ServerSettings
from agent.inlet.limits import InletLimits
from agent.inlet.settings import RECEIVED, InletSettings, checked_ae_title, sender_of
from agent.records import PRIOR_MARK, TEST_MARK
from agent.store.rows import Keep

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ENV_PREFIX: Final = "BLEEDWATCH_"
ENV_NESTED: Final = "__"

DEFAULT_PATH = Path("/etc/bleedwatch/agent.toml")

PACKAGED_ENGINES = Path(__file__).resolve().parent.parent / "engines"
"""Bundles and protocol profiles as they are installed."""

Seconds = Annotated[float, Field(gt=0)]


def _checked_sender(text: str) -> str:
    """Return a sender that is one; pydantic tells a ValueError as the setting's fault."""
    sender_of(text)
    return text


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class WatchConfig(_Table):
    """How the export folder is watched."""

    rescan_s: Seconds = 2.0
    """The folder is listed whole this often: events are hints, the listing is the truth."""
    polling: bool | None = None
    """True for a share that sends no events; left out, the file system's type decides."""


class ReadConfig(_Table):
    """How large a file may be, or say that it is, to be read at all; and a series."""

    file_mb: Annotated[int, Field(ge=1, le=2048)] = 512
    """Size of a file, and of its pixels once decompressed [MiB]."""
    matrix_px: Annotated[int, Field(ge=512, le=16384)] = 4096
    frames: Annotated[int, Field(ge=1)] = 4096
    series_images: Annotated[int, Field(ge=1)] = 2000
    """Images whose pixels are read of one series; one with more is not analysed."""
    series_mb: Annotated[int, Field(ge=1)] = 512
    """Memory that the pixels of one series may take [MiB]."""
    all_series_mb: Annotated[int, Field(ge=1)] = 768
    """Memory that the pixels of all series under way may take; beyond it the largest of them is not
    analysed [MiB]."""

    @property
    def limits(self) -> ReadLimits:
        """The limits in the units that the reader uses."""
        return ReadLimits(self.file_mb * 2**20, self.matrix_px, self.frames)

    @property
    def bounds(self) -> Bounds:
        """What series may take of the memory."""
        return Bounds(self.series_images, self.series_mb * 2**20, self.all_series_mb * 2**20)


def _named_gpu(value: str) -> str:
    if not re.fullmatch("first|none|GPU-[0-9a-f-]+|MIG-[0-9A-Za-z/-]+", value):
        raise ValueError("neither a UUID, as `nvidia-smi -L` tells it, nor first, nor none")
    return value


def _checked_server(value: str) -> str:
    """Return a server's address; plain text does not leave this computer."""
    found = re.fullmatch(r"(grpcs?)://(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+):(\d{1,5})", value)
    if not found or not 0 < int(found[3]) < 65536:  # noqa: PLR2004 - ports
        raise ValueError("no address such as grpcs://10.20.0.7:8001")
    if found[1] == "grpc" and found[2] not in ("127.0.0.1", "[::1]", "localhost"):
        raise ValueError("grpc:// is for this computer alone; grpcs:// encrypts")
    return value


class InferConfig(_Table):
    """How the networks are run."""

    bundle: str = "default/2.0.0"
    """Name and version, below ``engines_folder``."""
    threads: Annotated[int, Field(ge=1)] = 3
    """CPU threads for the networks; leave one core for reading files."""
    backend: Literal["auto", "onnxruntime"] = "auto"
    """On the CPU: auto is OpenVINO where it is installed and was verified on this computer."""
    gpu: Annotated[str, AfterValidator(_named_gpu)] = "first"
    """The GPU, or part of one (MIG), by the UUID that ``nvidia-smi -L`` tells; none uses none."""
    gpu_memory_share: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Share of the GPU's memory that the active plans may take. Without a plan the CPU is used."""
    server: Annotated[str, AfterValidator(_checked_server)] | None = None
    """A Triton server that runs the networks in place of this box's GPU, as grpcs://HOST:PORT; the
    CPU takes over where it does not answer. grpc:// is for this computer alone."""
    server_ca: Path | None = None
    """PEM file of who signed the server's certificate."""
    server_certificate: Path | None = None
    server_key: Path | None = None
    """PEM files by which the server knows this box."""
    server_deadline_s: Annotated[float, Field(ge=0.05, le=60)] = 1.0
    """How long it may take to answer one request [s]."""
    public_key: Path | None = None
    """PEM file of the Ed25519 key by which bundles and plans must be signed; left out, only digests
    are checked."""

    @property
    def server_settings(self) -> ServerSettings | None:
        """The server, as the networks take it; None where there is none."""
        if self.server is None:
            return None
        scheme, _, target = self.server.partition("://")
        files = (self.server_ca, self.server_certificate, self.server_key)
        return ServerSettings(target, scheme == "grpcs", *files, self.server_deadline_s)

    @model_validator(mode="after")
    def _server_is_known(self) -> Self:
        files = (self.server_ca, self.server_certificate, self.server_key)
        if self.server and self.server.startswith("grpcs:") and None in files:
            raise ValueError("grpcs:// needs server_ca, server_certificate and server_key")
        return self


class StoreConfig(_Table):
    """How long results are kept. Undelivered and unacknowledged ones are always kept."""

    keep_days: Annotated[float, Field(ge=1)] = 400.0
    """Series older than this are deleted [days]."""
    keep_mb: Annotated[int, Field(ge=10)] = 8192
    """Above this size the oldest series are deleted [MiB]."""
    slices_days: Annotated[float, Field(gt=0)] = 7.0
    """How long all slices of an analysed head are kept, to be scrolled through [days]."""
    slices_mb: Annotated[int, Field(ge=0)] = 4096
    """Above this size slices are deleted, of what is not suspected first; 0 keeps none [MiB]."""

    @property
    def keep(self) -> Keep:
        """The limits for series, as the store takes them."""
        return Keep(self.keep_days, self.keep_mb * 2**20)

    @property
    def keep_slices(self) -> Keep:
        """The limits for slices, as the store takes them."""
        return Keep(self.slices_days, self.slices_mb * 2**20)


class ConsoleConfig(_Table):
    """Where the console's page is served."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)] = 8742
    sign_in: bool | None = None
    """Whether users sign in; left out, they do unless the address is loopback."""
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    """PEM files, required unless the address is loopback."""
    language: Language | None = None
    """Left out: the browser's, if the page is translated into it."""
    patient: Shown = "full"
    """How much of the patient's identity the page shows: full, initials or nothing."""

    @property
    def address(self) -> Address:
        """The address, as the console's server takes it."""
        return Address(self.host, self.port, self.sign_in, self.tls_certificate, self.tls_key)


class InletConfig(_Table):
    """Images that scanners send by C-STORE, instead of exporting them into the folder."""

    senders: tuple[Annotated[str, AfterValidator(_checked_sender)], ...] = ()
    """Who may send, as ``AE_TITLE@ADDRESS`` or ``AE_TITLE@NETWORK``; without any the inlet is
    off."""
    ae_title: Annotated[str, AfterValidator(checked_ae_title)] = "BLEEDWATCH"
    host: str = "0.0.0.0"  # noqa: S104 - who may send is said by ``senders``
    port: Annotated[int, Field(ge=1, le=65535)] = 11112
    metrics_port: Annotated[int, Field(ge=1, le=65535)] = 8743
    """Where monitoring reads ``/metrics``, on this computer alone."""
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    """PEM files; left out, images come unencrypted, as most scanners send them."""
    tls_senders: Path | None = None
    """PEM file of the authorities that senders' own certificates must come from."""
    segmentations: bool = False
    """Whether segmentations that people drew or corrected are taken too, from the same senders."""
    associations: Annotated[int, Field(ge=1, le=64)] = 8
    """Associations open at once."""
    arriving_mb: Annotated[int, Field(ge=64)] = 1024
    """Memory that objects may take until they are on disk, all together [MiB]."""
    keep_days: Annotated[float, Field(ge=2)] = 7.0
    """Received images older than this are deleted [days]."""
    keep_mb: Annotated[int, Field(ge=1024)] = 51200
    """Above this size the oldest days' images are deleted, but not today's and yesterday's; what
    then finds no room is refused [MiB]."""


class AlertConfig(_Table):
    """What happens to an alert that nobody acknowledges."""

    repeat_s: Annotated[tuple[Seconds, ...], Field(min_length=1)] = PageSettings().repeat_s
    """It sounds again after each of these intervals, then after the last again and again [s]."""
    escalate_after_s: Seconds = PageSettings().escalate_after_s
    escalate_to: HttpUrl | None = None
    """URL to which it is then POSTed, as JSON without patient data."""
    call: Annotated[str, Field(max_length=120)] = ""
    """What to do next, on each alert: whom to call, and how. No patient's data."""


class SelftestConfig(_Table):
    """The self-test: a generated bleed, processed like a patient's series."""

    daily: bool = False
    """Whether one is expected every day; the console warns when it is missing."""


class DeliverConfig(_Table):
    """Where results are sent to; nowhere unless a channel is named."""

    listen_port: Annotated[int, Field(ge=1, le=65535)] | None = None
    """Port on which archives say that they have committed themselves, where they call back."""
    listen_host: str = "127.0.0.1"
    dicom: tuple[DicomChannel, ...] = ()
    dicomweb: tuple[DicomWebChannel, ...] = ()
    hl7: tuple[Hl7Channel, ...] = ()
    fhir: tuple[FhirChannel, ...] = ()
    webhook: tuple[WebhookChannel, ...] = ()
    email: tuple[EmailChannel, ...] = ()
    ups: tuple[UpsChannel, ...] = ()

    @property
    def channels(self) -> tuple[SendingChannel, ...]:
        """All channels."""
        return (
            *self.dicom,
            *self.dicomweb,
            *self.hl7,
            *self.fhir,
            *self.webhook,
            *self.email,
            *self.ups,
        )

    @model_validator(mode="after")
    def _told_apart(self) -> Self:
        names = [channel.name for channel in self.channels]
        if len({*names, *OWN_CHANNELS}) < len(names) + len(OWN_CHANNELS):
            raise ValueError("two channels have the same name, or one is named as our own")
        return self


class Config(_Table):
    """Everything that a site sets. Unknown keys are errors."""

    export_folder: Path
    """The folder into which the scanner exports. The agent only reads it; the inlet, where it is
    used, writes to a folder of its own in it."""
    state_folder: Path = Path("/var/lib/bleedwatch")
    """Where the store lies."""
    engines_folder: Path = Field(default_factory=lambda: PACKAGED_ENGINES)
    """Model bundles and protocol profiles."""
    watch: WatchConfig = WatchConfig()
    read: ReadConfig = ReadConfig()
    infer: InferConfig = InferConfig()
    store: StoreConfig = StoreConfig()
    console: ConsoleConfig = ConsoleConfig()
    inlet: InletConfig = InletConfig()
    alert: AlertConfig = AlertConfig()
    selftest: SelftestConfig = SelftestConfig()
    deliver: DeliverConfig = DeliverConfig()
    worklist: WorklistSettings | None = None
    """Who is asked which patients are expected; nobody where it is not set."""
    prior: PriorSettings | None = None
    """Which archive a patient's earlier examination is fetched from; none where it is not set."""

    @model_validator(mode="after")
    def _listens_for_images(self) -> Self:
        if self.prior and self.prior.dicom and self.deliver.listen_port is None:
            raise ValueError("prior.dicom asks for deliver.listen_port, which the archive sends to")
        return self

    @property
    def page(self) -> PageSettings:
        """The settings of the page."""
        return PageSettings(
            language=self.console.language,
            patient=self.console.patient,
            repeat_s=self.alert.repeat_s,
            escalate_after_s=self.alert.escalate_after_s,
            escalate_to=str(self.alert.escalate_to) if self.alert.escalate_to else None,
            call=self.alert.call,
            signed_to=signed_to(self.deliver.channels),
        )

    @property
    def inlet_settings(self) -> InletSettings:
        """The settings of the inlet. It takes no object that the agent would not read."""
        inlet = self.inlet
        return InletSettings(
            folder=self.export_folder.absolute() / RECEIVED,
            senders=tuple(map(sender_of, inlet.senders)),
            ae_title=inlet.ae_title,
            host=inlet.host,
            port=inlet.port,
            metrics_port=inlet.metrics_port,
            limits=InletLimits(
                associations=inlet.associations,
                object_bytes=self.read.limits.file_bytes,
                arriving_bytes=inlet.arriving_mb * 2**20,
                kept_days=inlet.keep_days,
                kept_bytes=inlet.keep_mb * 2**20,
            ),
            tls_certificate=inlet.tls_certificate,
            tls_key=inlet.tls_key,
            tls_senders=inlet.tls_senders,
            segmentations=inlet.segmentations,
        )

    @property
    def store_path(self) -> Path:
        """The SQLite file."""
        return self.state_folder / "bleedwatch.sqlite"

    @property
    def audit_path(self) -> Path:
        """The audit log."""
        return self.state_folder / "audit.log"

    @property
    def registry_key_path(self) -> Path:
        """The key by which registries' exports name examinations; made by the first one."""
        return self.state_folder / "registry.key"

    @property
    def selftest_folder(self) -> Path:
        """The folder that self-tests are written to, which the agent watches too."""
        return self.state_folder.absolute() / "selftest"

    @property
    def priors_folder(self) -> Path:
        """The folder that earlier examinations are fetched into, which the agent watches too."""
        return self.state_folder.absolute() / "priors"

    @property
    def marks(self) -> Mapping[Path, str]:
        """Each folder of ours that is watched, and what marks the series that come in it."""
        fetched = {self.priors_folder: PRIOR_MARK} if self.prior else {}
        return {self.selftest_folder: TEST_MARK, **fetched}

    @property
    def bundle_folder(self) -> Path:
        """The bundle in use."""
        return self.engines_folder / self.infer.bundle

    @property
    def plans_folder(self) -> Path:
        """TensorRT plans built on this machine."""
        return self.state_folder / "plans"

    @property
    def protocols_folder(self) -> Path:
        """The protocol profiles."""
        return self.engines_folder / "protocols"


@dataclass(frozen=True, slots=True)
class Setting:
    """One effective setting, its value as in JSON, and where it comes from.

    ``name`` is dotted: ``console.port``. ``default`` is None where there is none. ``origin`` is
    ``default``, the file's path, or the variable's name.
    """

    name: str
    value: Any
    default: Any
    origin: str


def load_config(path: Path) -> Config:
    """Read ``path``; the environment (``BLEEDWATCH_…``, nested with ``__``) wins over the file.

    Raises
    ------
    ConfigError
        If the file cannot be read, or a key is unknown or has no usable value.
    """
    if not path.is_file():
        raise ConfigError("no_configuration", path=str(path))
    try:
        return Config.model_validate(_overridden(_of_file(path), _of_environment()))
    except ValidationError as error:
        lines = [
            _problem(".".join(map(str, e["loc"])), e["type"], e["msg"]) for e in error.errors()
        ]
        raise ConfigError("configuration_wrong", path=str(path), why="; ".join(lines)) from error
    except (OSError, ValueError) as error:
        raise ConfigError("configuration_unreadable", path=str(path), why=str(error)) from error


def load_settings(path: Path) -> tuple[Setting, ...]:
    """Read ``path`` as ``load_config`` does, and say of each value where it comes from."""
    values = _flat(load_config(path).model_dump(mode="json"))
    in_file = _flat(_of_file(path))
    in_environment = _flat(_of_environment())

    def origin(name: str) -> str:
        if name in in_environment:
            return _variable(name)
        return str(path) if name in in_file else "default"

    defaults = _defaults()
    return tuple(
        Setting(name, value, defaults[name], origin(name)) for name, value in values.items()
    )


def _of_file(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text(encoding="utf-8"))


def _of_environment() -> dict[str, Any]:
    """Return what the environment sets, by tables.

    Few boxes set anything there: what parses it is loaded where one does.

    Raises
    ------
    ConfigError
        If a variable with our prefix is no setting.
    """
    ours = {name for name in map(str.upper, os.environ) if name.startswith(ENV_PREFIX)}
    if not ours:
        return {}
    _refuse_unknown(ours)
    from pydantic_settings import EnvSettingsSource  # noqa: PLC0415

    return EnvSettingsSource(
        Config,  # type: ignore[arg-type]  # of BaseSettings it needs what every model has
        env_prefix=ENV_PREFIX,
        env_nested_delimiter=ENV_NESTED,
    )()


def _overridden(values: Mapping[str, Any], by: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``values`` with what ``by`` sets, table by table."""
    both = {
        name: _overridden(values[name], by[name])
        for name in values.keys() & by.keys()
        if isinstance(values[name], dict) and isinstance(by[name], dict)
    }
    return {**values, **by, **both}


def _defaults() -> dict[str, Any]:
    """Return every setting's name with its default."""
    required = {name: None for name, field in Config.model_fields.items() if field.is_required()}
    return _flat(required | Config.model_construct().model_dump(mode="json"))


def _flat(values: Mapping[str, Any], table: str = "") -> dict[str, Any]:
    """Flatten nested tables into dotted names."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        within = _flat(value, f"{table}{name}.") if isinstance(value, dict) else None
        flat.update({f"{table}{name}": value} if within is None else within)
    return flat


def _variable(name: str) -> str:
    return ENV_PREFIX + name.replace(".", ENV_NESTED).upper()


def _problem(name: str, kind: str, message: str) -> str:
    return _unknown(name) if kind == "extra_forbidden" else f"{name}: {message}"


def _unknown(name: str) -> str:
    nearest = _nearest(name)
    return f"{name}: no such setting" + (f"; did you mean {nearest}?" if nearest else "")


def _nearest(name: str) -> str | None:
    """Return the setting or table that was probably meant, also where its table is missing."""
    known = list(_defaults())
    tables = {setting.partition(".")[0] for setting in known if "." in setting}
    by_last = {setting.rpartition(".")[2]: setting for setting in known}
    own = name.rpartition(".")[2]
    if own in by_last:
        return by_last[own]
    whole = get_close_matches(name, [*known, *tables], 1)
    last = get_close_matches(own, by_last, 1)
    return whole[0] if whole else by_last[last[0]] if last else None


def _refuse_unknown(variables: set[str]) -> None:
    """Refuse a misspelt environment variable, which pydantic-settings would ignore."""
    known = set(map(_variable, _defaults()))
    tables = {variable.rpartition(ENV_NESTED)[0] for variable in known}
    for variable in sorted(variables - known - tables):
        name = variable.removeprefix(ENV_PREFIX).replace(ENV_NESTED, ".").lower()
        nearest = _nearest(name)
        meant = f"; did you mean {_variable(nearest)}?" if nearest else ""
        raise ConfigError("variable_unknown", variable=variable, meant=meant)
