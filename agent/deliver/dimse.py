"""An archive that objects are sent to by C-STORE, and that is asked for storage commitment."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from typing import Any, Final, cast

from pydicom.dataset import Dataset
from pydicom.uid import (
    BasicTextSRStorage,
    Comprehensive3DSRStorage,
    CTImageStorage,
    EnhancedCTImageStorage,
    ExplicitVRLittleEndian,
    GrayscaleSoftcopyPresentationStateStorage,
    ImplicitVRLittleEndian,
    KeyObjectSelectionDocumentStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
)
from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, evt
from pynetdicom.association import Association
from pynetdicom.sop_class import StorageCommitmentPushModel, Verification  # type: ignore[attr-defined]
from pynetdicom.status import code_to_category
from pynetdicom.transport import ThreadedAssociationServer

from agent.deliver.channel import tls_context, unreachable
from agent.deliver.commitments import Commitments
from agent.deliver.dicom.objects import letter_of
from agent.deliver.dicom.trial import trial_object
from agent.deliver.result import StoredResult
from agent.deliver.settings import DicomChannel, DicomPeer
from agent.errors import ArchiveRefused

STORED: Final = (
    SegmentationStorage,
    Comprehensive3DSRStorage,
    KeyObjectSelectionDocumentStorage,
    SecondaryCaptureImageStorage,
    BasicTextSRStorage,
    GrayscaleSoftcopyPresentationStateStorage,
)
"""SOP classes of all that is sent."""

CT_CLASSES: Final = CTImageStorage, EnhancedCTImageStorage
"""SOP classes of what is fetched."""

SYNTAXES: Final = [ExplicitVRLittleEndian, ImplicitVRLittleEndian]

WELL_KNOWN: Final = "1.2.840.10008.1.20.1.1"
"""The one instance that storage commitment is asked of. Source: PS3.4 J.3.5."""

COMMIT: Final = 1
"""Action: request storage commitment. Source: PS3.4 table J.3.2-1."""

REPORT_S: Final = 5.0
"""How long the archive's report is waited for; a later one counts as well [s]. Ours."""


class DicomArchive:
    """One archive, with an association for each call."""

    def __init__(self, settings: DicomChannel, commitments: Commitments) -> None:
        """Speak to the archive of the settings."""
        self._settings = settings
        self._commitments = commitments

    def greet(self) -> None:
        """Send a C-ECHO. See ``Channel``."""
        with self._associated([Verification]) as association:
            self._check(association.send_c_echo())

    def letter(self, result: StoredResult) -> list[Dataset]:
        """Make the objects of a result. See ``Channel``."""
        return letter_of(result, self._settings)

    def trial(self, study_uid: str, at: datetime) -> list[Dataset]:
        """Make a picture of nobody. See ``Channel``."""
        return [trial_object(study_uid, at)]

    def send(self, objects: Sequence[Dataset]) -> None:
        """Send each by C-STORE. See ``Channel``."""
        self._commitments.forget([str(one.SOPInstanceUID) for one in objects])
        refusals = []
        with self._associated(STORED) as association:
            accepted = {context.abstract_syntax for context in association.accepted_contexts}
            for one in objects:
                if one.SOPClassUID not in accepted:
                    refusals.append(f"{one.SOPClassUID.name}: SOP class not accepted")
                    continue
                status = association.send_c_store(one)
                self._check(status)
                if code_to_category(status.Status) not in ("Success", "Warning"):
                    refusals.append(f"{one.SOPClassUID.name}: {_words(status)}")
        if refusals:
            raise ArchiveRefused(
                "archive_refused",
                channel=self._settings.name,
                n_refused=len(refusals),
                n_objects=len(objects),
                why="; ".join(refusals),
            )

    def keeps(self, objects: Sequence[Dataset]) -> bool:
        """Request storage commitment, unless it is not to be asked for. See ``Channel``."""
        if not self._settings.commitment:
            return True
        uids = [str(one.SOPInstanceUID) for one in objects]
        said = self._commitments.said_of(uids, 0.0)
        if None in said:
            said = self._asked(objects, uids)
        if False in said:
            self._commitments.forget(uids)
            raise ArchiveRefused(
                "archive_lost",
                channel=self._settings.name,
                n_lost=said.count(False),
                n_objects=len(objects),
            )
        return None not in said

    def _asked(self, objects: Sequence[Dataset], uids: Sequence[str]) -> list[bool | None]:
        request = Dataset()
        request.TransactionUID = self._commitments.request()
        request.ReferencedSOPSequence = [_reference(one) for one in objects]
        with self._associated([StorageCommitmentPushModel]) as association:
            status, _ = association.send_n_action(
                request, COMMIT, StorageCommitmentPushModel, WELL_KNOWN
            )
            self._check(status)
            if code_to_category(status.Status) != "Success":
                raise ArchiveRefused(
                    "commitment_refused", channel=self._settings.name, why=_words(status)
                )
            return self._commitments.said_of(uids, REPORT_S)

    def _associated(self, classes: Sequence[str]) -> AbstractContextManager[Association]:
        handlers = [(evt.EVT_N_EVENT_REPORT, report_handler, [self._commitments])]
        return associated(self._settings, classes, handlers)

    def _check(self, status: Dataset) -> None:
        """Make sure that there was an answer."""
        if "Status" not in status:
            raise unreachable(self._settings, LOST)


LOST: Final = "the association was lost, or there was no answer in time"


@contextmanager
def associated(
    settings: DicomPeer, classes: Sequence[str], handlers: Sequence[Any] = ()
) -> Iterator[Association]:
    """Hold an association within which these SOP classes are proposed.

    Raises ArchiveUnreachable where there is none, or none of the SOP classes is accepted.
    """
    ae = AE(ae_title=settings.calling_ae_title)
    ae.acse_timeout = ae.dimse_timeout = ae.connection_timeout = settings.timeout_s
    ae.network_timeout = settings.timeout_s
    for sop_class in classes:
        ae.add_requested_context(sop_class, SYNTAXES)
    association = ae.associate(
        settings.host,
        settings.port,
        ae_title=settings.ae_title,
        tls_args=(tls_context(settings), settings.host) if settings.tls else None,
        evt_handlers=list(handlers),
    )
    if not association.is_established:
        raise unreachable(settings, _why_not(association))
    if not association.accepted_contexts:
        association.release()
        raise unreachable(settings, "it accepts none of the SOP classes")
    try:
        yield association
    finally:
        if association.is_established:
            association.release()


def _reference(one: Dataset) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = one.SOPClassUID
    item.ReferencedSOPInstanceUID = one.SOPInstanceUID
    return item


def _words(status: Dataset) -> str:
    """Say what the archive said: its status, and its own comment where it gave one."""
    comment = str(status.get("ErrorComment", ""))
    return f"status 0x{status.Status:04X}{' ' if comment else ''}{comment}"


def _why_not(association: Association) -> str:
    if association.is_rejected:
        answer = association.acceptor.primitive
        reason = getattr(answer, "reason_str", "") if answer else ""
        return f"it rejects the association: {reason or 'no reason given'}"
    if association.is_aborted:
        return "no connection, or it was aborted"
    return "no connection"


def report_handler(event: evt.Event, commitments: Commitments) -> tuple[int, None]:
    """Answer a report of an archive's on what it has committed itself to keep."""
    said = event.event_information
    believed = "TransactionUID" in said and commitments.report(said)
    return (0x0000 if believed else 0x0112), None  # success, or: no such object instance


def listening(
    host: str,
    port: int,
    ae_title: str,
    commitments: Commitments,
    store: Callable[[evt.Event], int] | None = None,
) -> ThreadedAssociationServer:
    """Listen for reports that archives send on associations of their own, and answer C-ECHO.

    With ``store``, CT images are listened for too, and it says what they are answered.
    """
    ae = AE(ae_title=ae_title)
    ae.maximum_associations = 8
    ae.add_supported_context(Verification)
    ae.add_supported_context(StorageCommitmentPushModel, scu_role=True, scp_role=True)
    handlers: list[Any] = [(evt.EVT_N_EVENT_REPORT, report_handler, [commitments])]
    if store:
        for sop_class in CT_CLASSES:
            ae.add_supported_context(sop_class, ALL_TRANSFER_SYNTAXES)
        handlers.append((evt.EVT_C_STORE, store))
    server = ae.start_server((host, port), block=False, evt_handlers=handlers)
    return cast("ThreadedAssociationServer", server)  # it is None only where it blocks
