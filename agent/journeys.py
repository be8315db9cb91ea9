"""All series on their way: files in at one end, concluded reports in the store at the other.

``take`` and ``close_complete`` belong to the thread that reads files, ``work_once`` to the one that
owns the networks. They meet in the open journeys, under one lock that is never held while a file is
read or a network runs.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from structlog.typing import FilteringBoundLogger

from agent.analyst import Analyst
from agent.archive import Archive
from agent.assemble.completeness import Completion
from agent.assemble.dicom_file import ReadSlice
from agent.assemble.header import SliceRefused
from agent.errors import FileRefused, InputError, NotWholeYet
from agent.infer.slice_stage import SliceStage
from agent.intake import Intake, note_of
from agent.journey import FAULT, Journey
from agent.pipeline import Engine
from agent.reasons import Reason, english
from agent.records import Arrival, Clock, HeadVolume, Identity, Instant, is_test
from agent.store.agent_store import AgentStore
from agent.store.rows import FileNote, SeriesRow

REMEMBERED_SERIES = 200
"""Concluded series whose digests are kept, so that a copy costs a look-up and no reading."""


class Journeys:
    """All series on their way, and what moves them on."""

    def __init__(
        self,
        engine: Engine,
        store: AgentStore,
        archive: Archive,
        intake: Intake,
        clock: Clock,
        log: FilteringBoundLogger,
    ) -> None:
        """Start with no journey open; ``adopt`` takes up what an earlier process left."""
        self.engine = engine
        self._store = store
        self._clock = clock
        self._log = log
        self._intake = intake
        self._archive = archive
        self._analyst = Analyst(engine, store, archive, clock, log)
        self._unnoted: list[FileNote] = []
        """Files that were read and are not in the store's journal yet."""
        self._lock = threading.Lock()
        self._open: dict[str, Journey] = {}
        self._untold: set[str] = set()
        """Open series whose progress the store does not know yet."""
        self._concluding: Journey | None = None
        """Withdrawn from the open ones, and with no result yet."""
        self._concluded: OrderedDict[str, dict[str, str]] = OrderedDict()

    @property
    def counts(self) -> tuple[int, int]:
        """Series that are receiving, and those that wait to be concluded."""
        with self._lock:
            queued = sum(journey.completion is not None for journey in self._open.values())
            return len(self._open) - queued, queued

    def adopt(self, rows: Iterable[SeriesRow]) -> None:
        """Open a journey for each series that an earlier process left unfinished.

        Files that are in no result are read as they arrive; if none does, it still ends by name.
        """
        for row in rows:
            opened = self._opened(row.uid, row.identity)
            with self._lock:
                self._open[row.uid] = opened

    def take(self, arrivals: Iterable[Arrival]) -> dict[Path, str]:
        """Read files into their series; returns those that are not whole yet, and why."""
        not_whole: dict[Path, str] = {}
        for arrival in arrivals:
            try:
                slices = self._intake.read(arrival)
            except NotWholeYet as error:
                not_whole[arrival.path] = str(error)
            except SliceRefused as error:
                with self._journey(error.series_uid, error.identity) as journey:
                    journey.refuse(error, self._clock())
                    self._hold(journey, arrival, note_of(arrival, error.series_uid))
            except FileRefused as error:
                self._unnoted.append(note_of(arrival, refusal=str(error)))
            else:
                self._put(arrival, slices)
        self._note_files()
        self._tell_progress()
        return not_whole

    def open_requested(self) -> None:
        """Open a journey for each concluded series that was asked for again; all of it is read."""
        for series_uid in self._store.queries.requested():
            row = self._store.queries.series(series_uid)
            with self._lock:
                under_way = {*self._open, self._concluding and self._concluding.series_uid}
            if row is None or series_uid in under_way:
                continue
            self._intake.forgive(series_uid)
            journey = self._opened(series_uid, row.identity)
            if journey.n_unread:
                reason = Reason("files_unreadable", n_files=journey.n_unread)
                self._store.decline(series_uid, english(reason))
                continue
            with self._lock:
                self._open[series_uid] = journey
                self._untold.add(series_uid)
        self._tell_progress()

    def close_complete(self) -> None:
        """Decide for each open series whether all of it has come."""
        now = self._clock()
        with self._lock:
            for journey in self._open.values():
                if journey.completion is None:
                    journey.completion = self._judged(journey, now)
                    journey.completed_at = now

    def _judged(self, journey: Journey, now: Instant) -> Completion | None:
        """Judge a series; one on which our own rules fail ends by name, when it is silent."""
        try:
            return journey.judged(now)
        except Exception:  # noqa: BLE001 - a bug of ours must disturb no other series
            if journey.refusal is not FAULT:
                self._log.exception("judging_failed", series_uid=journey.series_uid)
            journey.refusal = FAULT
            return journey.judged_by_silence(now)

    def close_all(self, completion: Completion) -> None:
        """Call every open series complete: a folder that is read once has no more to come."""
        now = self._clock()
        with self._lock:
            for journey in self._open.values():
                journey.completion, journey.completed_at = completion, now

    @property
    def at_rest(self) -> bool:
        """Whether no series is under way."""
        with self._lock:
            return not self._open and self._concluding is None

    def work_once(self) -> bool:
        """Conclude a complete series, run slabs of an open one, or keep some slices.

        The first of these that there is to do; False if there was nothing.
        """
        if self._between_series():
            self.engine.networks.refresh()
        withdrawn = self._withdrawn()
        if withdrawn:
            self._analyst.conclude(*withdrawn)
            self._remember(withdrawn[0])
            return True
        with self._lock:
            receiving = list(self._open.values())
        return any(self._advance(journey) for journey in receiving) or self._archive.keep_some()

    def _between_series(self) -> bool:
        """Whether the networks have run on no open series yet."""
        with self._lock:
            return not any(journey.advanced_slices for journey in self._open.values())

    def _put(self, arrival: Arrival, slices: tuple[ReadSlice, ...]) -> None:
        """Put one file's slices into their series, unless they are copies of what is concluded."""
        header = slices[0].header
        copies = self._are_copies(slices)
        note = note_of(arrival, header.series_uid, header.sop_uid, settled=copies)
        if copies:
            self._unnoted.append(note)
            return
        with self._journey(header.series_uid, header.identity) as journey:
            for read in slices:
                self._put_slice(journey, read)
            self._hold(journey, arrival, note)

    def _hold(self, journey: Journey, arrival: Arrival, note: FileNote) -> None:
        """Keep a file with its series until both are in the store; the lock is held."""
        journey.files.append(arrival)
        self._unnoted.append(note)

    def _put_slice(self, journey: Journey, read: ReadSlice) -> None:
        """Put a slice into its series; one on which our own code fails refuses it."""
        try:
            journey.put(read, self.engine.profiles, self._clock())
        except Exception:  # noqa: BLE001 - a bug of ours must disturb no other series
            self._log.exception("taking_in_failed", series_uid=journey.series_uid)
            journey.fail(self._clock())

    def _are_copies(self, slices: tuple[ReadSlice, ...]) -> bool:
        series_uid = slices[0].header.series_uid
        with self._lock:
            known = self._concluded.get(series_uid, {})
            return series_uid not in self._open and all(
                known.get(read.header.sop_uid) == read.header.digest for read in slices
            )

    @contextmanager
    def _journey(self, series_uid: str, identity: Identity) -> Iterator[Journey]:
        """Find the series' open journey or open one; it cannot be withdrawn before this ends."""
        with self._lock:
            journey = self._open.get(series_uid) or self._taken_up(series_uid)
            if journey is not None:
                self._open[series_uid] = journey
                self._untold.add(series_uid)
                yield journey
                return
        opened = self._opened(series_uid, identity)  # no other thread opens one meanwhile
        with self._lock:
            self._open[series_uid] = opened
            self._untold.add(series_uid)
            yield opened

    def _taken_up(self, series_uid: str) -> Journey | None:
        """Go on with the series that is being concluded, if it is this one."""
        journey = self._concluding
        if journey is None or journey.series_uid != series_uid:
            return None
        return journey.taken_up(self._clock(), self.engine.bundle.digest)

    def _opened(self, series_uid: str, identity: Identity) -> Journey:
        """Open a journey that the store knows of; a concluded series is read again whole."""
        now = self._clock()
        journey = Journey(series_uid, identity, now, now, SliceStage(self.engine.bundle.contract))
        before = self._store.queries.series(series_uid)
        if before is None:
            self._store.progress(journey.progress())
        elif before.report is not None:
            journey.concluded_id, journey.repeats = before.report.result_id, before.repeats
            self._note_files()  # or those of this turn would be left out
            for path in self._store.queries.files_of(series_uid):
                self._read_again(journey, Path(path))
        return journey

    def _read_again(self, journey: Journey, path: Path) -> None:
        try:
            slices = self._intake.read_again(path)
        except SliceRefused as error:
            journey.refuse(error, self._clock())
        except FileRefused as error:
            journey.n_unread += 1
            self._log.info("file_gone_since", series_uid=journey.series_uid, code=error.reason.code)
        else:
            for read in slices:
                if read.header.series_uid == journey.series_uid:
                    self._put_slice(journey, read)

    def _note_files(self) -> None:
        with self._lock:
            self._write_notes()

    def _write_notes(self) -> None:
        """Write what is to be noted; the lock is held, but more may be appended meanwhile."""
        notes = tuple(self._unnoted)
        self._store.note_files(notes)
        del self._unnoted[: len(notes)]

    def _tell_progress(self) -> None:
        """Tell the store how far the series are that have grown; not of one concluded meanwhile."""
        with self._lock:
            untold = list(self._untold)
        for series_uid in untold:
            with self._lock:
                if series_uid in self._untold:
                    self._tell(self._open[series_uid])

    def _tell(self, journey: Journey) -> None:
        self._untold.discard(journey.series_uid)
        if journey.concluded_id != journey.result_id(self.engine.bundle.digest):
            self._store.progress(journey.progress())

    def _withdrawn(self) -> tuple[Journey, Completion] | None:
        """Take a complete journey from the open ones: from now on, it changes no more."""
        with self._lock:
            complete = [(j, j.completion) for j in self._open.values() if j.completion]
            # A patient's goes before a test's.
            withdrawn = min(complete, key=lambda each: is_test(each[0].series_uid), default=None)
            if withdrawn:
                self._concluding = withdrawn[0]
                if self._concluding.series_uid in self._untold:
                    self._tell(self._concluding)
                self._write_notes()  # a result settles only files that are noted
                del self._open[self._concluding.series_uid]
        return withdrawn

    def _remember(self, journey: Journey) -> None:
        """Know copies of what was concluded; what came too late for it is under way again."""
        with self._lock:
            self._concluding = None
            digests = {header.sop_uid: header.digest for header in journey.headers}
            self._concluded[journey.series_uid] = digests
            self._concluded.move_to_end(journey.series_uid)
            while len(self._concluded) > REMEMBERED_SERIES:
                self._concluded.popitem(last=False)
            later = self._open.get(journey.series_uid)
            if later:
                self._tell(later)

    def _advance(self, journey: Journey) -> bool:
        """Run slabs of an open series, once enough slices have come since the last time."""
        fewest = journey.advanced_slices + self.engine.bundle.contract.slices.batch
        if journey.refusal or journey.profile is None or len(journey.slices.headers) < fewest:
            return False
        journey.advanced_slices = len(journey.slices.headers)
        return self._analyst.advance(journey, self._settled_head)

    def _settled_head(self, journey: Journey) -> HeadVolume | None:
        """Return the slices so far, None where they did not come in order."""
        try:
            with self._lock:
                return journey.slices.volume() if journey.slices.layout().in_order else None
        except InputError:
            return None  # the whole series will say so, by name, when it is complete
