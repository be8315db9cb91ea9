"""All series on their way: files in at one end, concluded reports in the store at the other.

``take`` and ``close_complete`` belong to the thread that reads files, ``work_once`` to the one that
owns the networks. They meet in the open journeys, under one lock that is never held while a file is
read or a network runs.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from structlog.typing import FilteringBoundLogger

from agent.assemble.completeness import Completion, judge
from agent.assemble.dicom_file import ReadSlice
from agent.assemble.header import SliceRefused
from agent.assemble.protocol import ProtocolProfile, choose
from agent.assemble.series import Added, GrowingSeries
from agent.deliver.outbox import channels_for
from agent.errors import (
    AgentError,
    FileRefused,
    InferenceError,
    InputError,
    NotEligible,
    NotWholeYet,
)
from agent.infer.slice_stage import SliceStage
from agent.intake import Intake
from agent.pipeline import Analysis, Engine, Subject, analyse, key_slice_png, report_of
from agent.records import Arrival, Clock, Identity, Instant, NotAnalysed, SliceHeader
from agent.store import FileNote, SeriesProgress, SeriesRow, Store

MOST_ATTEMPTS = 2
"""An analysis begun this often and never ended took the process down each time: it is set aside."""

SILENT_S = 5.0
"""A series without one readable slice is ended when nothing more has come for this long [s]."""

LONGEST_S = 120.0
"""A series that no profile covers is ended this long after its first slice, come what may [s]."""

REMEMBERED_SERIES = 200
"""Concluded series whose digests are kept, so that a copy costs a look-up and no reading."""

READ_BY_EYE = "send the series again, or read it without Bleedwatch"


@dataclass
class Journey:
    """One series on its way. ``concluded_id`` names the result that it had before, if any."""

    series_uid: str
    identity: Identity
    first_slice: Instant
    last_slice: Instant
    stage: SliceStage
    slices: GrowingSeries = field(default_factory=GrowingSeries)
    sop_uids: set[str] = field(default_factory=set)
    seen_s: list[float] = field(default_factory=list)
    advanced_slices: int = 0
    profile: ProtocolProfile | None = None
    refusal: AgentError | None = None
    concluded_id: str | None = None
    completion: Completion | None = None
    completed_at: Instant | None = None

    @property
    def headers(self) -> list[SliceHeader]:
        """Headers of all images in hand, localizers first."""
        return [*self.slices.set_aside, *self.slices.headers]

    def result_id(self, engine_digest: str) -> str:
        """Name the result that these images give: the same images, engine and refusal, the same."""
        code = self.refusal.code if self.refusal else ""
        parts = [self.series_uid, engine_digest, code, *sorted(self.sop_uids)]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()


class Journeys:
    """All series on their way, and what moves them on."""

    def __init__(
        self, engine: Engine, store: Store, clock: Clock, log: FilteringBoundLogger
    ) -> None:
        """Start with no journey open; ``adopt`` takes up what an earlier process left."""
        self.engine = engine
        self._store = store
        self._clock = clock
        self._log = log
        self._intake = Intake(store, log)
        self._lock = threading.Lock()
        self._open: dict[str, Journey] = {}
        self._concluded: OrderedDict[str, dict[str, str]] = OrderedDict()

    @property
    def counts(self) -> tuple[int, int]:
        """Series that are receiving, and those that wait to be concluded."""
        with self._lock:
            queued = sum(journey.completion is not None for journey in self._open.values())
            return len(self._open) - queued, queued

    def adopt(self, rows: Iterable[SeriesRow]) -> None:
        """Open a journey for each series that an earlier process left unfinished.

        Its files are read again as they arrive; if none does, the series still ends by name.
        """
        now = self._clock()
        with self._lock:
            for row in rows:
                self._open[row.uid] = Journey(
                    row.uid, row.identity, now, now, SliceStage(self.engine.bundle)
                )

    def take(self, arrivals: Iterable[Arrival]) -> list[Arrival]:
        """Read files into their series; returns those that are not whole yet."""
        not_whole: list[Arrival] = []
        notes: list[FileNote] = []
        touched: dict[str, Journey] = {}
        for arrival in arrivals:
            try:
                slices = self._intake.read(arrival)
            except NotWholeYet:
                not_whole.append(arrival)
            except SliceRefused as error:
                journey = self._journey(error.series_uid, error.identity)
                journey.refusal, journey.last_slice = error, self._clock()
                journey.seen_s.append(journey.last_slice.monotonic_s)
                touched[journey.series_uid] = journey
                notes.append(_note(arrival, error.series_uid))
            except FileRefused as error:
                notes.append(_note(arrival, refusal=str(error)))
            else:
                for read in slices:
                    grown = self._add(read)
                    if grown is not None:
                        touched[grown.series_uid] = grown
                    header, settled = read.header, grown is None
                    notes.append(_note(arrival, header.series_uid, header.sop_uid, settled=settled))
        self._store.note_files(notes)
        for journey in touched.values():
            self._tell_progress(journey)
        return not_whole

    def close_complete(self) -> None:
        """Decide for each open series whether all of it has come."""
        now = self._clock()
        with self._lock:
            for journey in self._open.values():
                if journey.completion is None:
                    journey.completion = self._completion(journey, now)
                    journey.completed_at = now

    def close_all(self, completion: Completion) -> None:
        """Call every open series complete: a folder that is read once has no more to come."""
        now = self._clock()
        with self._lock:
            for journey in self._open.values():
                journey.completion, journey.completed_at = completion, now

    def work_once(self) -> bool:
        """Conclude a complete series, or run slabs of an open one; False if there was neither."""
        with self._lock:
            complete = next((j for j in self._open.values() if j.completion), None)
            if complete is not None:
                del self._open[complete.series_uid]
            receiving = list(self._open.values())
        if complete is not None:
            self._conclude(complete)
            return True
        return any(self._advance(journey) for journey in receiving)

    def _add(self, read: ReadSlice) -> Journey | None:
        """Put one slice into its series; None if it is a copy of what is concluded."""
        header = read.header
        known = self._concluded.get(header.series_uid, {})
        if known.get(header.sop_uid) == header.digest and header.series_uid not in self._open:
            return None
        journey = self._journey(header.series_uid, header.identity)
        self._put(journey, read)
        return journey

    def _put(self, journey: Journey, read: ReadSlice) -> None:
        journey.sop_uids.add(read.header.sop_uid)
        try:
            with self._lock:
                added = journey.slices.add(read.header, read.hu)
        except InputError as error:
            journey.refusal, added = error, Added.NEW
        if added is not Added.DUPLICATE:
            journey.last_slice = self._clock()
            journey.seen_s.append(journey.last_slice.monotonic_s)
        if journey.profile is None:
            with suppress(NotEligible):
                journey.profile = choose([read.header], self.engine.profiles)

    def _journey(self, series_uid: str, identity: Identity) -> Journey:
        """Find the series' open journey, or open one; a concluded series is read again whole."""
        with self._lock:
            journey = self._open.get(series_uid)
        if journey is not None:
            return journey
        now = self._clock()
        journey = Journey(series_uid, identity, now, now, SliceStage(self.engine.bundle))
        before = self._store.series(series_uid)
        if before is not None and before.report is not None:
            journey.concluded_id = before.report.result_id
            for path in self._store.files_of(series_uid):
                self._read_again(journey, Path(path))
        with self._lock:
            self._open[series_uid] = journey
        return journey

    def _read_again(self, journey: Journey, path: Path) -> None:
        try:
            slices = self._intake.read_again(path)
        except SliceRefused as error:
            journey.refusal = error
        except FileRefused as error:
            self._log.info("file_gone_since", reason=str(error))
        else:
            for read in slices:
                if read.header.series_uid == journey.series_uid:
                    self._put(journey, read)

    def _tell_progress(self, journey: Journey) -> None:
        if journey.concluded_id == journey.result_id(self.engine.bundle.digest):
            return
        headers = journey.headers
        self._store.progress(
            SeriesProgress(
                series_uid=journey.series_uid,
                identity=journey.identity,
                description=headers[0].description if headers else "",
                protocol=journey.profile.name if journey.profile else None,
                slices=len(headers),
                expected=max((header.expected_images for header in headers), default=0),
                first_slice=journey.first_slice,
                last_slice=journey.last_slice,
            )
        )

    def _completion(self, journey: Journey, now: Instant) -> Completion | None:
        if journey.profile is not None:
            facts = journey.slices.facts()
            return judge(facts, journey.seen_s, now.monotonic_s, journey.profile)
        silent_s = now.monotonic_s - journey.last_slice.monotonic_s
        waited_s = now.monotonic_s - journey.first_slice.monotonic_s
        if silent_s >= SILENT_S:
            return Completion("quiet", f"nothing new for {silent_s:.1f} s")
        if waited_s >= LONGEST_S:
            return Completion("deadline", f"{waited_s:.0f} s since the first slice")
        return None

    def _advance(self, journey: Journey) -> bool:
        """Run the slabs of an open series that are settled, while its slices come in order."""
        fewest = journey.advanced_slices + self.engine.bundle.slices.batch
        if journey.refusal or journey.profile is None or len(journey.slices.headers) < fewest:
            return False
        try:
            with self._lock:
                journey.advanced_slices = len(journey.slices.headers)
                head = journey.slices.volume() if journey.slices.layout().in_order else None
            return head is not None and journey.stage.advance(head, self.engine.backend) > 0
        except InputError:
            return False  # the whole series will say so, by name, when it is complete
        except InferenceError as error:
            journey.refusal = error
            return False

    def _conclude(self, journey: Journey) -> None:
        """Take a complete series to its answer, and store that with its deliveries."""
        result_id = journey.result_id(self.engine.bundle.digest)
        self._remember(journey)
        if journey.completion is None or result_id == journey.concluded_id:
            self._store.settle_files(journey.series_uid, journey.sop_uids)
            self._store.restore(journey.series_uid)
            return
        uid = journey.series_uid
        attempts = self._store.begin_analysis(uid)
        analysis = self._analysed(journey, attempts)
        revision = self._store.next_revision(uid)
        subject = Subject(uid, journey.identity.study_uid, revision, result_id, journey.completion)
        analysis.timings_s.update(self._waits_s(journey))
        report = report_of(subject, analysis, self.engine)
        self._store.conclude(report, key_slice_png(analysis), channels_for(report))
        self._store.settle_files(uid, journey.sop_uids)
        self._log.info(
            "concluded",
            series_uid=uid,
            state=report.state,
            code=report.code,
            revision=revision,
            completed_by=report.completed_by,
            **{f"{stage}_s": seconds for stage, seconds in report.timings_s.items()},
        )

    def _analysed(self, journey: Journey, attempts: int) -> Analysis:
        """Analyse, and turn whatever goes wrong into *not analysed, because …*."""
        if attempts > MOST_ATTEMPTS:
            reason = f"set aside: its analysis ended the agent {attempts - 1} times"
            return Analysis(NotAnalysed("set_aside", reason, READ_BY_EYE))
        if journey.refusal is None and not journey.headers:
            reason = "its files are no longer in the export folder"
            return Analysis(NotAnalysed("files_gone", reason, READ_BY_EYE))
        if journey.refusal is not None:
            return _failed(journey.refusal)
        try:
            return analyse(journey.slices, journey.stage, self.engine)
        except AgentError as error:
            return _failed(error)
        except Exception:  # noqa: BLE001 - our own fault must still end the series by name
            self._log.exception("analysis_failed", series_uid=journey.series_uid)
            reason = "a fault in Bleedwatch; its log has the details"
            return Analysis(NotAnalysed("internal", reason, READ_BY_EYE))

    def _waits_s(self, journey: Journey) -> dict[str, float]:
        """Time from the last slice to the decision that it was the last, and to now."""
        last_s, now_s = journey.last_slice.monotonic_s, self._clock().monotonic_s
        decided_s = journey.completed_at.monotonic_s if journey.completed_at else now_s
        return {"completeness": decided_s - last_s, "total": now_s - last_s}

    def _remember(self, journey: Journey) -> None:
        digests = {header.sop_uid: header.digest for header in journey.headers}
        self._concluded[journey.series_uid] = digests
        self._concluded.move_to_end(journey.series_uid)
        while len(self._concluded) > REMEMBERED_SERIES:
            self._concluded.popitem(last=False)


def _failed(error: AgentError) -> Analysis:
    return Analysis(NotAnalysed(error.code, str(error), error.hint or READ_BY_EYE))


def _note(
    arrival: Arrival,
    series_uid: str | None = None,
    sop_uid: str | None = None,
    *,
    settled: bool = False,
    refusal: str | None = None,
) -> FileNote:
    return FileNote(
        path=str(arrival.path),
        size_bytes=arrival.size_bytes,
        mtime_ns=arrival.mtime_ns,
        series_uid=series_uid,
        sop_uid=sop_uid,
        refusal=refusal,
        settled=settled or (refusal is not None),
    )
