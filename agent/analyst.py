"""What the thread that owns the networks does with one series: run its slabs, and conclude it.

Whatever goes wrong on the way is turned into the series' answer, so that it disturbs no other; a
series that takes the whole process down is counted before, and set aside the third time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias, TypeVar

from structlog.typing import FilteringBoundLogger

from agent.archive import Archive
from agent.assemble.completeness import Completion
from agent.deliver.outbox import channels_for
from agent.errors import AgentError
from agent.journey import FAULT, Journey
from agent.pipeline import (
    Analysis,
    Engine,
    Subject,
    analyse,
    pictures_of,
    report_of,
    suspected_in,
)
from agent.reasons import Reason
from agent.records import Clock, HeadVolume, NotAnalysed
from agent.report import SeriesReport
from agent.store.agent_store import AgentStore

MOST_ATTEMPTS = 2
"""Work begun on a series this often and never ended took the process down each time."""

Result = TypeVar("Result")
Told: TypeAlias = tuple[SeriesReport, dict[str, bytes], Analysis]
"""A report, its pictures as PNG by view, and the analysis that it tells of."""


class Analyst:
    """Works on one series at a time; its state is in the journeys and the store."""

    def __init__(
        self,
        engine: Engine,
        store: AgentStore,
        archive: Archive,
        clock: Clock,
        log: FilteringBoundLogger,
    ) -> None:
        """Work with these."""
        self._engine = engine
        self._archive = archive
        self._store = store
        self._clock = clock
        self._log = log

    def advance(self, journey: Journey, settled: Callable[[Journey], HeadVolume | None]) -> bool:
        """Run the slabs of an open series that can no longer change; False if there were none.

        ``settled`` gives the volume to run them on, or None.
        """

        def slabs_run() -> int:
            head = settled(journey)
            if head is None or journey.profile is None:
                return 0
            return self._engine.networks.run(
                journey.profile.name, lambda backend: journey.stage.advance(head, backend)
            )

        uid = journey.series_uid
        ran: int | NotAnalysed = 0
        if self._store.begin_attempt(uid) <= MOST_ATTEMPTS:
            ran = self._guarded(uid, slabs_run)
        self._store.end_attempt(uid)
        if isinstance(ran, NotAnalysed):
            journey.refusal = journey.refusal or ran
            return False
        return ran > 0

    def conclude(self, journey: Journey, completion: Completion) -> None:
        """Take a complete series to its answer, and store that with its deliveries."""
        uid, result_id = journey.series_uid, journey.result_id(self._engine.bundle.digest)
        if result_id == journey.concluded_id:
            self._store.settle_files(journey.files)
            self._store.restore(uid)
            return
        attempts = self._store.begin_analysis(uid)
        revision = self._store.queries.next_revision(uid)
        subject = Subject(uid, journey.identity.study_uid, revision, result_id, completion)
        report, pictures, analysis = self._answer(journey, subject, attempts)
        is_new = self._store.conclude(report, pictures, channels_for(report))
        self._store.settle_files(journey.files)
        self._log.info(
            "concluded",
            series_uid=uid,
            state=report.state,
            code=report.code,
            revision=revision,
            slices=len(journey.headers),
            engine=report.engine,
            completed_by=report.completed_by,
            **{f"{stage}_s": seconds for stage, seconds in report.timings_s.items()},
        )
        suspected = suspected_in(analysis)
        if is_new and suspected:
            self._archive.add(uid, revision, *suspected)

    def _answer(self, journey: Journey, subject: Subject, attempts: int) -> Told:
        told = self._guarded(
            journey.series_uid,
            lambda: self._told(journey, subject, self._analysed(journey, attempts)),
        )
        if isinstance(told, NotAnalysed):
            return self._told(journey, subject, Analysis(told))
        return told

    def _analysed(self, journey: Journey, attempts: int) -> Analysis:
        if attempts > MOST_ATTEMPTS:
            return Analysis(NotAnalysed(Reason("set_aside", n_times=attempts - 1)))
        if journey.refusal is not None:
            return Analysis(journey.refusal)
        if not journey.headers:
            return Analysis(NotAnalysed(Reason("files_gone")))
        return analyse(journey.slices, journey.stage, self._engine)

    def _told(self, journey: Journey, subject: Subject, analysis: Analysis) -> Told:
        """Report an analysis; a picture that cannot be drawn takes no suspicion back."""
        drawn = {
            view: self._guarded(journey.series_uid, draw)
            for view, draw in pictures_of(analysis).items()
        }
        pictures = {view: png for view, png in drawn.items() if isinstance(png, bytes)}
        analysis.timings_s.update(self._waits_s(journey))
        return report_of(subject, analysis, self._engine), pictures, analysis

    def _guarded(self, series_uid: str, work: Callable[[], Result]) -> Result | NotAnalysed:
        """Work on one series, and turn whatever goes wrong into *not analysed, because …*."""
        try:
            return work()
        except AgentError as error:
            return NotAnalysed(error.reason)
        except Exception:  # noqa: BLE001 - our own fault must still end the series by name
            self._log.exception("analysis_failed", series_uid=series_uid)
            return FAULT

    def _waits_s(self, journey: Journey) -> dict[str, float]:
        """Time from the last slice to the decision that it was the last, and to now."""
        last_s, now_s = journey.last_slice.monotonic_s, self._clock().monotonic_s
        decided_s = journey.completed_at.monotonic_s if journey.completed_at else now_s
        return {"completeness": decided_s - last_s, "total": now_s - last_s}
