"""The delivery service: takes results out of the outbox, one thread for each channel.

A process of its own: neither making objects nor an archive that is slow or down can delay an alert,
nor can one archive delay another. It may be killed at any instant. What an object is called follows
from the result, so that one that is sent twice is in the archive once.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Final

import numpy as np
from structlog.typing import FilteringBoundLogger

from agent.deliver.channel import Channel, Reference
from agent.deliver.dicom.objects import objects_of
from agent.deliver.dicom.result import StoredResult
from agent.deliver.dicomweb import DicomWebArchive
from agent.deliver.dimse import Commitments, DicomArchive
from agent.deliver.settings import DicomChannel, SendingChannel
from agent.errors import ArchiveUnreachable, DeliveryError, StoreUnwritable
from agent.measure import numbered
from agent.reasons import Reason
from agent.records import Clock
from agent.store.delivery_store import DeliveryStore
from agent.store.rows import Delivery, Parcel

LOOK_S: Final = 0.5
"""Between two looks into the outbox [s]. Ours."""

FIRST_S: Final = 15.0
"""After the first attempt that failed so long is waited, then twice as long each time [s]. Ours."""

LONGEST_UNREACHABLE_S: Final = 600.0
LONGEST_S: Final = 3600.0
"""And no longer: where the archive cannot be reached, and where it refuses [s]. Ours."""


def archive_of(settings: SendingChannel, commitments: Commitments) -> Channel:
    """Return what speaks to the archive of a channel."""
    if isinstance(settings, DicomChannel):
        return DicomArchive(settings, commitments)
    return DicomWebArchive(settings)


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
    )


def wait_s(n_attempts: int, problem: Reason | None) -> float:
    """Return how long is waited after so many failed attempts, the last for ``problem`` [s]."""
    if not n_attempts:
        return 0.0
    longest_s = LONGEST_UNREACHABLE_S if is_unreachable(problem) else LONGEST_S
    return min(FIRST_S * 2.0 ** min(n_attempts - 1, 16), longest_s)


def is_unreachable(problem: Reason | None) -> bool:
    """Whether nothing else of the channel would be delivered either."""
    return problem is not None and problem.code == "archive_unreachable"


class Courier:
    """Delivers what one channel is to be told. All of it is one thread's."""

    def __init__(
        self,
        settings: SendingChannel,
        archive: Channel,
        store: DeliveryStore,
        clock: Clock,
        log: FilteringBoundLogger,
    ) -> None:
        """Deliver what the store has for the channel of these settings."""
        self._settings = settings
        self._archive = archive
        self._store = store
        self._clock = clock
        self._log = log.bind(channel=settings.name)
        self._tried_s: dict[tuple[str, int], float] = {}

    def turn(self) -> int:
        """Try all that is due; returns how many results the archive now keeps.

        An archive that cannot be reached is left alone until its oldest result is due again.
        """
        n_delivered = 0
        for delivery in self._store.waiting(self._settings.name):
            if self._is_due(delivery):
                problem = self._attempt(delivery)
                n_delivered += problem is None
            else:
                problem = delivery.problem
            if is_unreachable(problem):
                break
        return n_delivered

    def _is_due(self, delivery: Delivery) -> bool:
        tried_s = self._tried_s.get((delivery.series_uid, delivery.revision))
        if tried_s is None:
            return True  # not by this process: after a start everything is tried at once
        waited_s = self._clock().monotonic_s - tried_s
        return waited_s >= wait_s(delivery.n_attempts, delivery.problem)

    def _attempt(self, delivery: Delivery) -> Reason | None:
        """Deliver one result, or store and return why that failed."""
        named = {"series_uid": delivery.series_uid, "revision": delivery.revision}
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
        key = (delivery.series_uid, delivery.revision)
        if why is None:
            self._tried_s.pop(key, None)
            self._log.info("delivered", **named)
        else:
            self._tried_s[key] = self._clock().monotonic_s
            self._log.warning("not_delivered", code=why.code, **named)
        return why

    def _delivered(self, delivery: Delivery) -> bool:
        """Send what is not sent yet, and ask for the archive's word; False where it gives none."""
        result = result_of(self._store.parcel(delivery))
        objects = list(objects_of(result, self._settings.objects))
        if delivery.sent_at is None:
            self._archive.send(objects)
            self._store.sent(delivery)
        kept = self._archive.keeps(list(map(Reference.of, objects)))
        if kept:
            self._store.delivered(delivery)
        return kept


def serve(
    couriers: Sequence[Courier],
    stop: threading.Event,
    log: FilteringBoundLogger,
) -> None:
    """Let each courier work in a thread of its own until ``stop`` is set.

    Raises RuntimeError if a thread died: the process must end, so that it is started afresh.
    """
    threads = [
        threading.Thread(target=_work, args=(courier, stop, log), daemon=True)
        for courier in couriers
    ]
    for thread in threads:
        thread.start()
    while not stop.wait(1.0):
        if not all(thread.is_alive() for thread in threads):
            raise RuntimeError("a channel's thread died; its traceback is in the log above")
    for thread in threads:
        thread.join()


def _work(courier: Courier, stop: threading.Event, log: FilteringBoundLogger) -> None:
    while not stop.is_set():
        try:
            courier.turn()
        except StoreUnwritable as error:
            log.warning(error.kind, reason=str(error), what_to_do=error.what_to_do)
        stop.wait(LOOK_S)
