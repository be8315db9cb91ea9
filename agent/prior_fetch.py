"""Fetches a suspected patient's earlier head CT from an archive; in the delivery service's process.

It is begun when the alert is out, and goes into a folder of its own. That folder makes it an
earlier examination, which alerts nobody, whatever its headers say: nothing that a scanner sends
lies there.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, TypeAlias

from structlog.typing import FilteringBoundLogger

from agent.assemble.dicom_file import read_slices
from agent.assemble.header import SliceUnneeded
from agent.assemble.limits import ReadLimits
from agent.assemble.protocol import ProtocolProfile, choose, extent_objections
from agent.deliver.moved import MovedImages
from agent.deliver.prior_web import WebPriors
from agent.deliver.priors import (
    MOST_IMAGES,
    FoundSeries,
    FoundStudy,
    PriorArchive,
    days_before,
    earlier_ones,
    is_same_patient,
    is_told_of,
    refused,
)
from agent.deliver.settings import PriorDicomArchive, PriorSettings, PriorWebArchive
from agent.dispatch import wait_s
from agent.errors import (
    ArchiveRefused,
    ArchiveUnreachable,
    DeliveryError,
    FileRefused,
    NotEligible,
    StoreUnwritable,
)
from agent.reasons import Reason
from agent.records import FRAME_MARK, PRIOR_MARK, Clock, Identity, SliceHeader, State
from agent.store.delivery_store import DeliveryStore
from agent.store.rows import PriorWanted

LOOKED_BACK: Final = timedelta(hours=12)
"""For suspicions whose slices came since, an earlier examination is fetched. Ours: a shift."""

MOST_TRIED: Final = 5
"""Of so many studies is it looked whether they hold a head. Ours."""

MOST_BYTES: Final = 1 << 30
MOST_S: Final = 600.0
"""A series that is larger, or takes longer to come, is not fetched [bytes, s]. Ours."""

FREE_BYTES: Final = 4 << 30
"""With less free space nothing is fetched [bytes]. Ours: the box's own results come first."""

KEPT: Final = timedelta(days=1)
"""Files that are not analysed after so long are deleted. Ours."""

Fetched: TypeAlias = Callable[[str, str, int], None]
"""Takes study and series of an earlier examination, and how many images came of it."""

NO_IMAGE: Final = "an object that is no CT image, or cannot be read"


def prior_archive(
    settings: PriorWebArchive | PriorDicomArchive, moved: MovedImages
) -> PriorArchive:
    """Return what asks an archive; ``moved`` listens where one that is asked by C-MOVE sends to."""
    match settings:
        case PriorWebArchive():
            return WebPriors(settings)
        case PriorDicomArchive():
            from agent.deliver.prior_dimse import DicomPriors  # noqa: PLC0415 - of the dicom extra

            return DicomPriors(settings, moved)


@dataclass
class _Coming:
    """Images of one series as they come: written one by one, until it is too much."""

    folder: Path
    clock: Clock
    began_s: float
    paths: list[Path] = field(default_factory=list)
    n_bytes: int = 0

    def take(self, file: bytes) -> None:
        """Write an image's file."""
        self.n_bytes += len(file)
        is_late = self.clock().monotonic_s - self.began_s > MOST_S
        if self.n_bytes > MOST_BYTES or len(self.paths) >= MOST_IMAGES or is_late:
            raise ArchiveRefused(
                "prior_too_much", n_images=MOST_IMAGES, mb=MOST_BYTES >> 20, minutes=MOST_S / 60
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        self.paths.append(self.folder / f"{len(self.paths):05d}.dcm")
        self.paths[-1].write_bytes(file)


@dataclass(frozen=True, slots=True)
class _Scan:
    """Whose earlier examination is wanted, and before when."""

    identity: Identity
    at: datetime

    def is_after(self, header: SliceHeader) -> bool:
        """Whether it is known that an image was scanned earlier."""
        return header.acquired_at is not None and header.acquired_at < self.at


@dataclass(frozen=True, slots=True)
class _Head:
    """A series of an earlier study that is a plain head; ``rank`` is 0 for the most preferred."""

    study: FoundStudy
    series_uid: str
    sop_uids: list[str]
    rank: int


@dataclass(slots=True)
class PriorFetch:
    """Fetches one earlier examination at a time, into ``folder``. All of it is one thread's.

    The agent watches ``folder``. ``fetched`` is told of what came.
    """

    settings: PriorSettings
    archive: PriorArchive
    profiles: Sequence[ProtocolProfile]
    folder: Path
    store: DeliveryStore
    clock: Clock
    log: FilteringBoundLogger
    fetched: Fetched
    left: set[str] = field(default_factory=set)
    """Names of what could not be deleted: told once."""

    @property
    def staging(self) -> Path:
        """Where images lie until all of them are there."""
        return self.folder.with_name(f"{self.folder.name}.part")

    def turn(self) -> int:
        """Fetch the next earlier examination that is due; returns how many came."""
        self._tidy()
        for wanted in self.store.priors_wanted(self.clock().utc - LOOKED_BACK):
            if self._is_due(wanted):
                return self._attempt(wanted)
        return 0

    def _is_due(self, wanted: PriorWanted) -> bool:
        if wanted.tried_utc is None:
            return True
        why = dict(wanted.problem.values).get("why") if wanted.problem else None
        problem = why if isinstance(why, Reason) else None
        waited_s = (self.clock().utc - wanted.tried_utc).total_seconds()
        return waited_s >= wait_s(wanted.n_attempts, problem)

    def _attempt(self, wanted: PriorWanted) -> int:
        """Fetch beside one study, and store what came of it."""
        study_uid, over = wanted.identity.study_uid, True
        try:
            outcome = self._outcome(wanted)
        except DeliveryError as error:
            over = not isinstance(error, ArchiveUnreachable)
            outcome = Reason("prior_not_fetched", why=error.reason)
        except StoreUnwritable:
            raise
        except Exception as error:  # a bug of ours must not stop the channels
            self.log.exception("prior_failed", study_uid=study_uid)
            failed = Reason("prior_failed", error=type(error).__name__)
            outcome = Reason("prior_not_fetched", why=failed)
        finally:
            shutil.rmtree(self.staging, ignore_errors=True)
        self.store.prior_tried(study_uid, outcome, over=over)
        self.log.info("prior_tried", study_uid=study_uid, code=outcome.code)
        return int(outcome.code == "prior_fetched")

    def _outcome(self, wanted: PriorWanted) -> Reason:
        """Find and fetch what is wanted; returns what came of it."""
        acquired = wanted.acquisition.acquired
        if acquired is None or not is_told_of(wanted.identity):
            return Reason("prior_unidentified")
        scan = _Scan(wanted.identity, acquired[0])
        days = days_before(scan.at, self.settings.days)
        found = self.archive.studies(scan.identity.patient_id, days)
        earlier = earlier_ones(found, scan.identity, scan.at, self.settings.issuer)
        for study in earlier[:MOST_TRIED]:
            date = f"{study.at:%Y-%m-%d}"
            if self.store.has_prior(study.uid):
                return Reason("prior_here", date=date)
            head = self._head_in(study, scan)
            if head is not None:
                self._fetch(head, scan)
                return Reason("prior_fetched", date=date)
        return Reason("prior_none", date=f"{days[0]:%Y-%m-%d}")

    def _head_in(self, study: FoundStudy, scan: _Scan) -> _Head | None:
        """Return the series of a study that the profiles prefer, None where they take none."""
        heads = [
            head
            for one in self.archive.series(study.uid)
            if one.modality == "CT" and one.n_images <= MOST_IMAGES
            if (head := self._head(study, one, scan))
        ]
        return min(heads, key=lambda one: (one.rank, one.series_uid), default=None)

    def _head(self, study: FoundStudy, found: FoundSeries, scan: _Scan) -> _Head | None:
        """Look at one image of a series; None where that is no plain head, or no earlier one."""
        sop_uids = self.archive.images(study.uid, found.uid)
        if not sop_uids:
            return None
        middle = sop_uids[len(sop_uids) // 2]
        head = _Head(study, found.uid, [middle], 0)
        try:
            (header,) = self._come(head, scan)
            profile = choose([header], self.profiles)
        except (FileRefused, NotEligible):
            return None
        if extent_objections(len(sop_uids), profile) or not scan.is_after(header):
            return None
        rank = profile.preference(header.thickness_mm)
        return replace(head, sop_uids=sop_uids, rank=rank)

    def _fetch(self, head: _Head, scan: _Scan) -> None:
        """Fetch a series whole, and let the agent have it."""
        to, free_bytes = self.folder / head.series_uid, self.store.queries.free_bytes()
        if free_bytes < FREE_BYTES:
            raise ArchiveRefused("prior_no_room", gb=free_bytes / 1e9)
        try:
            headers = self._come(head, scan)
        except FileRefused as error:
            raise refused(self.settings.archive.name, NO_IMAGE) from error
        if not all(map(scan.is_after, headers)):
            raise ArchiveRefused("prior_of_another", channel=self.settings.archive.name)
        self.folder.mkdir(exist_ok=True)
        if not to.exists():  # else the agent has it, and has not begun to read
            (self.staging / head.series_uid).rename(to)
        self.fetched(head.study.uid, head.series_uid, len(headers))

    def _come(self, head: _Head, scan: _Scan) -> list[SliceHeader]:
        """Fetch images, each of which must be what was asked for; returns their headers.

        Raises FileRefused where one is no CT image.
        """
        shutil.rmtree(self.staging, ignore_errors=True)
        coming = _Coming(self.staging / head.series_uid, self.clock, self.clock().monotonic_s)
        self.archive.fetch(head.study.uid, head.series_uid, head.sop_uids, coming.take)
        headers = list(map(_header, coming.paths))
        asked = {(head.study.uid, head.series_uid, uid) for uid in head.sop_uids}
        came = {
            (one.identity.study_uid, one.series_uid, one.sop_uid.partition(FRAME_MARK)[0])
            for one in headers
        }
        if came != asked or not all(
            is_same_patient(one.identity, scan.identity) for one in headers
        ):
            raise ArchiveRefused("prior_of_another", channel=self.settings.archive.name)
        return headers

    def _tidy(self) -> None:
        """Delete the files that the agent has analysed, or left for too long."""
        if not self.folder.is_dir():
            return
        for folder in self.folder.iterdir():
            try:
                since = datetime.fromtimestamp(folder.stat().st_mtime, self.clock().utc.tzinfo)
                if self._is_analysed(folder) or self.clock().utc - since > KEPT:
                    shutil.rmtree(folder)
            except OSError as error:  # what cannot be deleted must not end what fetches
                if folder.name not in self.left:
                    error_name = type(error).__name__  # its text may name a patient
                    self.log.warning("prior_not_deleted", where=str(self.folder), error=error_name)
                self.left.add(folder.name)

    def _is_analysed(self, folder: Path) -> bool:
        """Whether a result holds all files of a series."""
        uid = PRIOR_MARK + folder.name
        row, notes = self.store.queries.series(uid), self.store.queries.notes_of(uid)
        if row is None or row.state in (State.RECEIVING, State.ANALYSING):
            return False
        return sum(note.settled for note in notes) >= sum(1 for _ in folder.iterdir())


def _header(path: Path) -> SliceHeader:
    """Read an image's header, FileRefused where it is none."""
    try:
        read_slices(path, ReadLimits(), unneeded=lambda _uid, _header: Reason("fetched_earlier"))
    except SliceUnneeded as image:
        return image.header
    raise AssertionError("no image's pixels are needed")
