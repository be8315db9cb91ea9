"""The delivery service: takes results out of the outbox, one thread for each channel.

A process of its own: neither making objects nor an archive that is slow or down can delay an alert,
nor can one archive delay another. It may be killed at any instant. What an object is called follows
from the result, so that one that is sent twice is in the archive once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol, TypeAlias

import numpy as np
from structlog.typing import FilteringBoundLogger

from agent.deliver.channel import Channel
from agent.deliver.commitments import Commitments
from agent.deliver.fhir import FhirServer
from agent.deliver.hl7 import Hl7Receiver
from agent.deliver.mail import MailServer
from agent.deliver.result import SignedText, StoredResult
from agent.deliver.settings import (
    DicomChannel,
    DicomWebChannel,
    EmailChannel,
    FhirChannel,
    Hl7Channel,
    SendingChannel,
    UpsChannel,
    WebhookChannel,
)
from agent.deliver.webhook import Webhook
from agent.errors import ArchiveUnreachable, DeliveryError, StoreUnwritable
from agent.measure import numbered
from agent.reasons import Reason
from agent.records import Clock
from agent.store.delivery_store import DeliveryStore
from agent.store.rows import Delivery, Parcel

Exported: TypeAlias = Callable[[str, tuple[str, int], str], None]
"""Takes the study's UID, the series' with the result's number, and the channel's name."""

LOOK_S: Final = 0.5
"""Between two looks into the outbox [s]. Ours."""

FIRST_S: Final = 15.0
"""After the first attempt that failed so long is waited, then twice as long each time [s]. Ours."""

LONGEST_UNREACHABLE_S: Final = 600.0
LONGEST_S: Final = 3600.0
"""And no longer: where the archive cannot be reached, and where it refuses [s]. Ours."""


def channel_of(settings: SendingChannel, commitments: Commitments) -> Channel[Any]:
    """Return what speaks to a channel's receiver; what archives need is imported for them alone."""
    match settings:
        case Hl7Channel():
            return Hl7Receiver(settings)
        case FhirChannel():
            return FhirServer(settings)
        case WebhookChannel():
            return Webhook(settings)
        case EmailChannel():
            return MailServer(settings)
        case DicomChannel() | DicomWebChannel() | UpsChannel():
            return _speaking_dicom(settings, commitments)


def _speaking_dicom(
    settings: DicomChannel | DicomWebChannel | UpsChannel, commitments: Commitments
) -> Channel[Any]:
    from agent.deliver.dicomweb import DicomWebArchive  # noqa: PLC0415 - of the dicom extra
    from agent.deliver.dimse import DicomArchive  # noqa: PLC0415 - likewise
    from agent.deliver.ups import WorkList  # noqa: PLC0415 - likewise

    match settings:
        case DicomChannel():
            return DicomArchive(settings, commitments)
        case DicomWebChannel():
            return DicomWebArchive(settings)
        case UpsChannel():
            return WorkList(settings)


def result_of(parcel: Parcel) -> StoredResult:
    """Return what objects are made of.

    Raises DeliveryError where the source images are no longer there.
    """
    if parcel.sources is None:
        raise DeliveryError("sources_gone")
    images, labels = parcel.sources.images, parcel.sources.labels
    numbers = None
    if labels is not None:
        voxels_ml = np.array(images.voxels_ml)
        numbers = images.turned_back(numbered(labels.unpacked(), voxels_ml))
    return StoredResult(
        report=parcel.report,
        at=parcel.at.utc,
        identity=parcel.identity,
        images=images,
        numbers=numbers,
        key_png=parcel.key_png,
        predecessor=parcel.predecessor,
        n_former_findings=parcel.n_former_findings,
        signed=_signed_of(parcel),
    )


def _signed_of(parcel: Parcel) -> SignedText | None:
    if parcel.signed is None:
        return None
    return SignedText(
        version=parcel.signed.version,
        former_version=parcel.former_signed or None,
        who=parcel.signed.who,
        at=parcel.signed.at_utc,
        language=parcel.signed.language,
        sections={
            one.section: tuple(sentence.text for sentence in one.sentences)
            for one in parcel.signed.sections
        },
    )


def wait_s(n_attempts: int, problem: Reason | None) -> float:
    """Return how long is waited after so many failed attempts, the last for ``problem`` [s].

    It is at least as long as the receiver asked for, but no longer than ``LONGEST_S``.
    """
    if not n_attempts:
        return 0.0
    longest_s = LONGEST_UNREACHABLE_S if is_unreachable(problem) else LONGEST_S
    asked_s = dict(problem.values).get("retry_after_s") if problem else None
    least_s = min(float(asked_s), LONGEST_S) if isinstance(asked_s, (int, float)) else 0.0
    return max(least_s, min(FIRST_S * 2.0 ** min(n_attempts - 1, 16), longest_s))


def is_unreachable(problem: Reason | None) -> bool:
    """Whether nothing else of the channel would be delivered either."""
    return problem is not None and problem.code in {"archive_unreachable", "receiver_busy"}


class Courier:
    """Delivers what one channel is to be told. All of it is one thread's."""

    def __init__(
        self,
        settings: SendingChannel,
        channel: Channel[Any],
        store: DeliveryStore,
        clock: Clock,
        log: FilteringBoundLogger,
        exported: Exported,
    ) -> None:
        """Deliver what the store has for the channel of these settings.

        ``exported`` is told of each result that the receiver has taken, at least once.
        """
        self._settings = settings
        self._channel = channel
        self._store = store
        self._clock = clock
        self._log = log.bind(channel=settings.name)
        self._exported = exported
        self._tried_s: dict[tuple[str, int, int], float] = {}
        self._n_lost, self._rests_until_s = 0, 0.0

    def turn(self) -> int:
        """Try all that is due; returns how many results the receiver now keeps.

        A receiver that cannot be reached is left alone for a while, longer each time. Then what was
        tried least is tried first: one that is never answered holds up no other.
        """
        n_delivered = 0
        waiting = sorted(self._store.waiting(self._settings.name), key=lambda one: one.n_attempts)
        if self._rests(waiting):
            return 0
        for delivery in filter(self._is_due, waiting):
            problem = self._attempt(delivery)
            n_delivered += problem is None
            if is_unreachable(problem):
                self._n_lost += 1
                self._rests_until_s = self._clock().monotonic_s + wait_s(self._n_lost, problem)
                break
            self._n_lost = 0
        return n_delivered

    def _rests(self, waiting: Sequence[Delivery]) -> bool:
        """Whether the receiver was lost a moment ago, and nobody has asked for a retry since."""
        retried = any(one.n_attempts == 0 and _key(one) in self._tried_s for one in waiting)
        return self._clock().monotonic_s < self._rests_until_s and not retried

    def _is_due(self, delivery: Delivery) -> bool:
        tried_s = self._tried_s.get(_key(delivery))
        if tried_s is None:
            return True  # not by this process: after a start everything is tried at once
        waited_s = self._clock().monotonic_s - tried_s
        return waited_s >= wait_s(delivery.n_attempts, delivery.problem)

    def _attempt(self, delivery: Delivery) -> Reason | None:
        """Deliver one result, or store and return why that failed."""
        named = {
            "series_uid": delivery.series_uid,
            "revision": delivery.revision,
            "signed": delivery.signed,
        }
        why: Reason | None = None
        try:
            if not self._delivered(delivery):
                why = Reason("archive_silent", channel=self._settings.name)
                self._store.failed(delivery, why, send_again=False)
        except ArchiveUnreachable as error:
            why = error.reason
            self._store.failed(delivery, why, send_again=False)
        except DeliveryError as error:
            why = error.reason
            self._store.failed(delivery, why, send_again=True)
        except StoreUnwritable:
            raise
        except Exception as error:  # noqa: BLE001 - a bug of ours must not stop the others
            self._log.exception("objects_not_made", **named)
            why = Reason("objects_not_made", error=type(error).__name__)
            self._store.failed(delivery, why, send_again=True)
        if why is None:
            self._tried_s.pop(_key(delivery), None)
            self._log.info("delivered", **named)
        else:
            self._tried_s[_key(delivery)] = self._clock().monotonic_s
            self._log.warning("not_delivered", code=why.code, **named)
        return why

    def _delivered(self, delivery: Delivery) -> bool:
        """Send what is not sent yet, and ask for the receiver's word; False where it gives none."""
        result = result_of(self._store.parcel(delivery))
        letter = self._channel.letter(result)
        if delivery.sent_at is None:
            remark = self._channel.send(letter)
            if letter is not None:
                series = result.report.series_uid, result.report.revision
                self._exported(result.report.study_uid, series, self._settings.name)
            self._store.sent(delivery, remark)
        kept = self._channel.keeps(letter)
        if kept:
            self._store.delivered(delivery)
        return kept


def _key(delivery: Delivery) -> tuple[str, int, int]:
    return delivery.series_uid, delivery.revision, delivery.signed


class Worker(Protocol):
    """What a thread of its own is for."""

    def turn(self) -> int:
        """Do what is due; return how much that was."""


def serve(
    workers: Sequence[Worker],
    stop: threading.Event,
    log: FilteringBoundLogger,
) -> None:
    """Let each work in a thread of its own until ``stop`` is set.

    Raises RuntimeError if a thread died: the process must end, so that it is started afresh.
    """
    threads = [
        threading.Thread(target=_work, args=(worker, stop, log), daemon=True) for worker in workers
    ]
    for thread in threads:
        thread.start()
    while not stop.wait(1.0):
        if not all(thread.is_alive() for thread in threads):
            raise RuntimeError("a channel's thread died; its traceback is in the log above")
    for thread in threads:
        thread.join()


def _work(worker: Worker, stop: threading.Event, log: FilteringBoundLogger) -> None:
    while not stop.is_set():
        try:
            worker.turn()
        except StoreUnwritable as error:
            log.warning(error.kind, reason=str(error), what_to_do=error.what_to_do)
        stop.wait(LOOK_S)
