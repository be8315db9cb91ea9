"""The C-STORE and C-ECHO SCP: what pynetdicom hears, and what it is told to answer."""

from __future__ import annotations

import errno
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from socketserver import BaseServer
from typing import Final, TypeAlias, cast
from weakref import WeakKeyDictionary

from prometheus_client import start_http_server
from pydicom.dataset import Dataset
from pynetdicom import _config as pynetdicom_settings
from pynetdicom import evt
from pynetdicom.ae import ApplicationEntity
from pynetdicom.association import Association
from pynetdicom.dimse_messages import C_STORE_RQ, N_CREATE_RQ, N_SET_RQ
from pynetdicom.dimse_primitives import C_STORE, N_CREATE, N_SET
from pynetdicom.events import Event
from pynetdicom.pdu import P_DATA_TF
from pynetdicom.pdu_primitives import A_ASSOCIATE
from structlog.typing import FilteringBoundLogger

from agent.errors import ConfigError, legible
from agent.inlet.connections import WAITING, InletServer
from agent.inlet.counts import Counts
from agent.inlet.folder import ReceivedFolder
from agent.inlet.limits import Arriving
from agent.inlet.objects import (
    OF_DRAWINGS,
    SEGMENTATIONS,
    STATUSES,
    SUCCESS,
    as_file,
    why_not_taken,
)
from agent.inlet.settings import InletSettings
from agent.inlet.steps import PROCEDURE_STEP, step_of
from agent.inlet.steps import STATUSES as STEP_STATUSES
from agent.inlet.tls import server_context
from agent.reasons import Reason, english
from agent.records import Clock, PerformedStep

PDU_BYTES: Final = 256 * 1024
"""Length of PDU that senders are asked for [bytes]. Ours: a slice of 512² is three of them."""

IDLE_S: Final = 60.0
"""A sender that is silent for so long is cut off [s]. Ours: pynetdicom's own."""

REQUEST_S: Final = 5.0
"""Within so long a connection asks for an association, or is closed [s]. Ours: a sender does so at
once, and one that does not takes a place."""

REJECTIONS: Final = {
    "inlet_sender_unknown": (1, 1, 3),
    "inlet_called_otherwise": (1, 1, 7),
    "inlet_associations_taken": (2, 3, 2),
}
"""Event → result, source, diagnostic of the rejection. Source: PS3.8 table 9-21."""

VERIFICATION: Final = "1.2.840.10008.1.1"
"""C-ECHO's SOP class. Source: PS3.4 annex A."""

Notice: TypeAlias = Callable[[Reason], None]

Received: TypeAlias = Callable[[str, str, int], None]
"""Takes who sent images, from which address, and how many."""

Draw: TypeAlias = Callable[[bytes, str], Reason | None]
"""Takes a segmentation's file, and which AE title sent it; returns why it is refused."""

Record: TypeAlias = Callable[[PerformedStep], Reason | None]
"""Stores that a procedure step began or changed; says why that cannot be."""

UNNOTICED: Final = frozenset({"object_of_other_kind", *OF_DRAWINGS})
"""Refusals that concern no image: scanners send reports beside them every day, and who sends a
segmentation is told by its own workstation."""

OF_COMMAND: Final = 1
"""This bit of a fragment's header says that it is of a command. Source: PS3.8 annex E.2."""

LOOPBACK: Final = "127.0.0.1"

LONGEST_COMMENT: Final = 64
"""Error Comment is an LO. Source: PS3.7 annex C."""


@dataclass(slots=True)
class _Visit:
    """What came of one association so far."""

    began_s: float
    stored: int = 0
    n_bytes: int = 0
    refused: dict[str, tuple[Reason, int]] = field(default_factory=dict)
    """By code: the first such reason, and how many there were."""

    @property
    def n_refused(self) -> int:
        return sum(number for _, number in self.refused.values())


@dataclass(frozen=True, slots=True)
class Told:
    """Whom the inlet tells of what comes.

    ``notice`` is told why images were refused, ``received`` of each association's images.
    ``record`` stores what scanners say of their procedure steps, ``draw`` what people outlined.
    """

    notice: Notice
    received: Received
    record: Record
    draw: Draw


@dataclass(slots=True)
class StorageScp:
    """Answers associations. Each runs in threads of its own."""

    settings: InletSettings
    folder: ReceivedFolder
    counts: Counts
    told: Told
    log: FilteringBoundLogger
    _arriving: Arriving = field(init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _visits: MutableMapping[Association, _Visit] = field(default_factory=WeakKeyDictionary)

    def __post_init__(self) -> None:
        """Begin with nothing held."""
        self._arriving = Arriving(self.settings.limits)

    @property
    def _besides(self) -> frozenset[str]:
        """What is taken beside images."""
        return SEGMENTATIONS if self.settings.segmentations else frozenset()

    @property
    def handlers(self) -> list[evt.EventHandlerType]:
        """What pynetdicom is to call."""
        return [
            (evt.EVT_REQUESTED, self.requested),
            (evt.EVT_ESTABLISHED, self.established),
            (evt.EVT_PDU_RECV, self.piece_came),
            (evt.EVT_DIMSE_RECV, self.message_came),
            (evt.EVT_C_ECHO, self.echo),
            (evt.EVT_C_STORE, self.store),
            (evt.EVT_N_CREATE, self.step_created),
            (evt.EVT_N_SET, self.step_changed),
            (evt.EVT_RELEASED, self.ended),
            (evt.EVT_ABORTED, self.ended),
            (evt.EVT_CONN_CLOSE, self.ended),
        ]

    def requested(self, event: Event) -> None:
        """Reject an association by who asks for it, or where too many are open."""
        association = event.assoc
        request = cast("A_ASSOCIATE", association.requestor.primitive)
        why = self._why_rejected(request, association.requestor.address)
        if why is None:
            return
        self.counts.association("rejected")
        self.log.warning(
            why,
            address=association.requestor.address,
            calling=legible(request.calling_ae_title),
            called=legible(request.called_ae_title),
        )
        association.acse.send_reject(*REJECTIONS[why])
        association.kill()

    def _why_rejected(self, request: A_ASSOCIATE, address: str) -> str | None:
        calling, called = request.calling_ae_title.strip(), request.called_ae_title.strip()
        if not any(s.ae_title == calling and s.is_at(address) for s in self.settings.senders):
            return "inlet_sender_unknown"
        if called != self.settings.ae_title:
            return "inlet_called_otherwise"
        with self._lock:
            # One whose reading thread died of what it read ends without a word.
            n_open = sum(association.is_alive() for association in self._visits)
        is_full = n_open >= self.settings.limits.associations
        return "inlet_associations_taken" if is_full else None

    def established(self, event: Event) -> None:
        """Note that an association begins."""
        with self._lock:
            self._visits[event.assoc] = _Visit(time.monotonic())
        self.counts.association("accepted")

    def piece_came(self, event: Event) -> None:
        """Count what comes of a request; what goes beyond a limit is let go of as it comes.

        Without the rest of its object a request can be answered, without its command it cannot.
        """
        if not isinstance(event.pdu, P_DATA_TF):
            return
        for item in event.pdu.presentation_data_value_items:
            value = item.presentation_data_value or b"\0"
            with self._lock:
                if self._arriving.take(event.assoc, len(value) - 1):
                    continue
            if value[0] & OF_COMMAND:
                event.assoc.abort()
            item.presentation_data_value = value[:1]
            message = event.assoc.dimse.message
            if message is not None and message.data_set is not None:
                message.data_set.seek(0)
                message.data_set.truncate()

    def message_came(self, event: Event) -> None:
        """Keep what a request holds until it is answered; other messages hold nothing here."""
        with self._lock:
            if isinstance(event.message, C_STORE_RQ | N_CREATE_RQ | N_SET_RQ):
                self._arriving.complete(event.assoc, event.message.command_set.MessageID)
            else:
                self._arriving.drop(event.assoc)

    def echo(self, event: Event) -> int:
        """Answer that somebody is there."""
        self.log.info("inlet_echo", address=event.assoc.requestor.address)
        return SUCCESS

    def store(self, event: Event) -> Dataset:
        """Store an object, or refuse it by name."""
        try:
            return _answer(self._stored(event), STATUSES)
        except Exception:
            self.log.exception("inlet_failed")
            raise  # pynetdicom answers that it cannot understand

    def _stored(self, event: Event) -> Reason | None:
        """Store an object; returns why it is refused, None where it is not."""
        request, began_s = cast("C_STORE", event.request), time.monotonic()
        with self._lock:
            why = self._arriving.answered(event.assoc, event.message_id)
        data_set = request.DataSet.getbuffer() if request.DataSet else b""
        sop_class, sop_uid = str(request.AffectedSOPClassUID), str(request.AffectedSOPInstanceUID)
        told = sop_class, sop_uid, str(event.context.transfer_syntax)
        why = why or why_not_taken(*told, data_set, self._besides)
        if why is None and sop_class in SEGMENTATIONS:
            why = self.told.draw(as_file(*told, data_set), legible(event.assoc.requestor.ae_title))
        elif why is None:
            why = self.folder.add(sop_uid, as_file(*told, data_set))
        self._note(event.assoc, why, len(data_set))
        took_s = time.monotonic() - began_s
        self.counts.object(why.code if why else "stored", len(data_set), took_s)
        return why

    def step_created(self, event: Event) -> tuple[Dataset, Dataset | None]:
        """Take note of a procedure step that begins, or refuse it by name."""
        request = cast("N_CREATE", event.request)
        uid, held = str(request.AffectedSOPInstanceUID or ""), request.AttributeList
        n_bytes = held.getbuffer().nbytes if held else 0
        step = step_of(uid, lambda: event.attribute_list, n_bytes, created=True)
        return self._step_answered(event, step)

    def step_changed(self, event: Event) -> tuple[Dataset, Dataset | None]:
        """Take note of a procedure step that changes, or refuse it by name."""
        request = cast("N_SET", event.request)
        uid, held = str(request.RequestedSOPInstanceUID or ""), request.ModificationList
        n_bytes = held.getbuffer().nbytes if held else 0
        step = step_of(uid, lambda: event.modification_list, n_bytes, created=False)
        return self._step_answered(event, step)

    def _step_answered(
        self, event: Event, step: PerformedStep | Reason
    ) -> tuple[Dataset, Dataset | None]:
        """Store a step, unless it was refused while it came or is nonsense."""
        with self._lock:
            why = self._arriving.answered(event.assoc, event.message_id)
        if why is None:
            why = step if isinstance(step, Reason) else self.told.record(step)
        self.counts.step(why.code if why else "stored")
        if why:
            self.log.warning("inlet_step_refused", code=why.code)
        return _answer(why, STEP_STATUSES), None if why else Dataset()

    def ended(self, event: Event) -> None:
        """Let go of what an association has sent, and tell once what came of it."""
        with self._lock:
            self._arriving.forget(event.assoc)
            visit = self._visits.pop(event.assoc, None)
        if visit is None:
            return
        tell = self.log.info if event.assoc.is_released else self.log.warning
        tell(
            "inlet_released" if event.assoc.is_released else "inlet_association_lost",
            address=event.assoc.requestor.address,
            stored=visit.stored,
            refused=visit.n_refused,
            mb=visit.n_bytes / 2**20,
            took_s=time.monotonic() - visit.began_s,
        )
        sender = legible(event.assoc.requestor.ae_title)
        if visit.stored:
            self.told.received(sender, event.assoc.requestor.address, visit.stored)
        for code, (why, n_images) in visit.refused.items():
            if code not in UNNOTICED:
                self.told.notice(
                    Reason("images_refused", n_images=n_images, sender=sender, why=why)
                )

    def _note(self, association: Association, why: Reason | None, n_bytes: int) -> None:
        with self._lock:
            visit = self._visits.setdefault(association, _Visit(time.monotonic()))
            visit.stored += why is None
            visit.n_bytes += n_bytes
            if why:
                first, number = visit.refused.get(why.code, (why, 0))
                visit.refused[why.code] = first, number + 1
        if why:
            self.log.warning("inlet_refused", code=why.code, reason=english(why))


@contextmanager
def serving(
    settings: InletSettings,
    clock: Clock,
    told: Told,
    log: FilteringBoundLogger,
) -> Iterator[InletServer]:
    """Serve until the end of the block.

    Raises
    ------
    ConfigError
        If no sender is named, the folder or a certificate cannot be used, or the address is taken.
    """
    if not settings.senders:
        raise ConfigError("inlet_off")
    context = server_context(settings, clock())
    target = ReceivedFolder(settings.folder, settings.limits, clock)
    with _pynetdicom_set_up(log), target.opened() as folder:
        scp = StorageScp(settings, folder, Counts(), told, log)
        entity = _entity(settings)
        with _bound(settings.host, settings.port):
            server = InletServer(entity, settings, context, scp.handlers, log)
        with _served(server, entity), _measured(settings, scp.counts):
            yield server


@contextmanager
def _served(server: InletServer, entity: ApplicationEntity) -> Iterator[None]:
    """Take connections in a thread; at the end, abort the associations that are open."""
    thread = threading.Thread(target=server.serve_forever, name="inlet")
    thread.start()
    try:
        yield
    finally:
        BaseServer.shutdown(server)
        server.server_close()
        for association in entity.active_associations:
            association.abort()
        thread.join()


@contextmanager
def _measured(settings: InletSettings, counts: Counts) -> Iterator[None]:
    """Serve the metrics to this computer."""
    with _bound(LOOPBACK, settings.metrics_port):
        server, thread = start_http_server(settings.metrics_port, LOOPBACK, counts.registry)
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def _bound(host: str, port: int) -> Iterator[None]:
    """Say of an address that cannot be bound why."""
    try:
        yield
    except OSError as error:
        where, why = f"{host}:{port}", str(error.strerror)
        if error.errno == errno.EADDRINUSE:
            raise ConfigError("inlet_address_in_use", address=where, why=why) from error
        raise ConfigError("inlet_address_unfit", address=where, why=why) from error


def _entity(settings: InletSettings) -> ApplicationEntity:
    entity = ApplicationEntity(settings.ae_title)
    entity.add_supported_context(VERIFICATION)
    entity.add_supported_context(PROCEDURE_STEP)
    entity.maximum_associations = settings.limits.associations + WAITING  # ``requested`` counts
    entity.maximum_pdu_size = PDU_BYTES
    entity.acse_timeout = REQUEST_S
    entity.network_timeout = IDLE_S
    return entity


class _WithoutWords(logging.Handler):
    """Tells of what pynetdicom logs where in it that was, and no more: it quotes headers."""

    def __init__(self, log: FilteringBoundLogger) -> None:
        super().__init__(logging.ERROR)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        place = f"{record.module}:{record.lineno}"
        self._log.warning("inlet_protocol_error", place=place, exc_info=record.exc_info)


@contextmanager
def _pynetdicom_set_up(log: FilteringBoundLogger) -> Iterator[None]:
    """Set what pynetdicom has for a whole process, until the end of the block.

    All storage classes are agreed on, with whatever transfer syntax is proposed first: an object
    that is not taken is refused by itself.
    """
    its_log = logging.getLogger("pynetdicom")
    handlers, propagate = its_log.handlers, its_log.propagate
    unrestricted, level = (
        pynetdicom_settings.UNRESTRICTED_STORAGE_SERVICE,
        pynetdicom_settings.LOG_HANDLER_LEVEL,
    )
    pynetdicom_settings.UNRESTRICTED_STORAGE_SERVICE = True
    pynetdicom_settings.LOG_HANDLER_LEVEL = "none"
    its_log.handlers, its_log.propagate = [_WithoutWords(log)], False
    try:
        yield
    finally:
        pynetdicom_settings.UNRESTRICTED_STORAGE_SERVICE = unrestricted
        pynetdicom_settings.LOG_HANDLER_LEVEL = level
        its_log.handlers, its_log.propagate = handlers, propagate


def _answer(why: Reason | None, statuses: Mapping[str, int]) -> Dataset:
    """Say what a request is answered."""
    answer = Dataset()
    answer.Status = statuses[why.code] if why else SUCCESS
    if why:
        answer.ErrorComment = english(why)[:LONGEST_COMMENT]
    return answer
