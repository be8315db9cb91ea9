"""What the page shows, as one JSON object: the state of the agent and the worklist."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict

from agent.console.before import Before, before
from agent.console.settings import PageSettings, Shown
from agent.errors import legible
from agent.exam import Place
from agent.reasons import Reason
from agent.records import Identity, Instant, State
from agent.report import EngineReport, ReasonReport, reason_report
from agent.store.drawings import Drawing
from agent.store.examinations import ExaminationRow
from agent.store.liveness import agent_problem, selftest_problem
from agent.store.queries import Queries
from agent.store.rows import AgentStatus, Correction, Delivery, SeriesRow
from agent.store.search import Search, Show
from agent.store.view import (
    DeliveryView,
    ExaminationView,
    SeriesView,
    delivery_view,
    examination_facts,
)
from agent.urgency import STANDS_S, Urgency, precedence, standing

STANDS: Final = timedelta(seconds=STANDS_S)

MOST_EXAMINATIONS = 50
MOST_NOTICES = 5

NAMED_FILES: Final = 5
"""A row names at most so many files that could not be read. Ours: it stays a line."""

CLOCKS_AGREE_S = 3600.0
"""Where monotonic and wall clock differ by more than this about how long ago something was, it was
in an earlier boot, to which monotonic times do not carry over [s]. Ours: more than an adjustment of
the wall clock explains."""

LOW_BYTES = 1024**3
"""The page warns below this much free space [bytes]. Ours: some hundred heads' results."""


class _Shown(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class AgentState(_Shown):
    """What the page's head says of the agent."""

    folder: str
    engine: EngineReport
    degraded: ReasonReport | None
    alerts_per_100: tuple[float, float] | None


class SelftestState(_Shown):
    """When the last self-test ran, and what is wrong with it."""

    at_utc: datetime | None
    problem: ReasonReport | None


class Counts(_Shown):
    """The day in numbers; see ``DayCounts``."""

    examinations: int
    suspected: int
    confirmed: int
    dismissed: int
    not_analysed: int


class NoticeState(_Shown):
    """A file that was left out, and the like."""

    at_utc: datetime
    kind: str
    reason: ReasonReport


class SeriesState(SeriesView):
    """A series on the page; ages are by the monotonic clock, null from before this boot [s]."""

    last_slice_age_s: float | None
    committed_monotonic_s: float | None
    escalation_problem: ReasonReport | None
    sent: tuple[DeliveryView, ...]
    """How far the latest result is on its way to archives."""


class ExaminationState(ExaminationView):
    """A row of the worklist."""

    urgency: Urgency | None
    """How urgently it waits for an answer in front of the page, None where it does not."""
    before: Before | None = None
    """The same patient's previous examination beside it, where it waits for an answer."""
    drawn: Drawing | None = None
    """What somebody outlined last on any of its series by another program."""
    series: tuple[SeriesState, ...]


class ListAnswer(_Shown):
    """Of ``POST /api/examinations``: those that were looked for, the latest first."""

    examinations: tuple[ExaminationState, ...]
    n_more: int
    """How many studies with such examinations there are beyond these, at most."""


class Snapshot(_Shown):
    """All that the page shows."""

    schema_version: Literal[6] = 6
    at_utc: datetime
    problem: ReasonReport | None
    agent: AgentState | None
    selftest: SelftestState
    low_disk_bytes: int | None
    repeat_s: tuple[float, ...]
    call: str
    """What the site wants done next after an alert, "" where it says nothing."""
    today: Counts
    examinations: tuple[ExaminationState, ...]
    """Those that wait for an answer, the most urgent first, then the latest others."""
    n_more: int
    """How many studies there are beyond these."""
    notices: tuple[NoticeState, ...]


@dataclass(frozen=True, slots=True)
class View:
    """What the page shows, at one moment.

    Ages are in seconds by the monotonic clock, null for what happened before this boot.
    ``escalation_problems`` holds, by series UID, why an alert could not be escalated.
    """

    queries: Queries
    now: Instant
    boot_id: str
    settings: PageSettings
    escalation_problems: Mapping[str, Reason]

    def snapshot(self) -> dict[str, Any]:
        """Return the state of everything that the page shows by itself."""
        queries, now, status = self.queries, self.now, self.queries.agent_status()
        free_bytes = queries.free_bytes()
        problem = agent_problem(status, now, self.boot_id, free_bytes)
        rows = queries.listed(MOST_EXAMINATIONS, now.utc - STANDS)
        n_shown = len({row.series[0].identity.study_uid for row in rows})
        shown = Snapshot(
            at_utc=now.utc,
            problem=_reported(problem),
            agent=_agent(status) if status else None,
            selftest=_selftest(queries, status, now),
            low_disk_bytes=free_bytes if free_bytes < LOW_BYTES else None,
            repeat_s=tuple(self.settings.repeat_s),
            call=self.settings.call,
            today=Counts(**asdict(queries.counts_since(now.midnight))),
            examinations=tuple(sorted(self._states(rows), key=_precedence)),
            n_more=queries.n_studies() - n_shown,
            notices=tuple(
                NoticeState(
                    at_utc=notice.at.utc, kind=notice.kind, reason=reason_report(notice.reason)
                )
                for notice in queries.notices(MOST_NOTICES)
            ),
        )
        return shown.model_dump(mode="json")

    def found(self, words: Sequence[str], show: Show, limit: int) -> dict[str, Any]:
        """Return the ``limit`` latest examinations that somebody looks for."""
        search = Search(tuple(words), show, by_patient=self.settings.patient == "full")
        rows, n_more = self.queries.found(search, limit)
        answer = ListAnswer(examinations=tuple(self._states(rows)), n_more=n_more)
        return answer.model_dump(mode="json")

    def _states(self, rows: Sequence[ExaminationRow]) -> Iterator[ExaminationState]:
        status = self.queries.agent_status()
        this_boot = status is not None and status.boot_id == self.boot_id
        sent = self.queries.sent((one.uid, one.revision) for row in rows for one in row.series)
        drawn = {
            one.series_uid: one
            for one in self.queries.drawings(one.uid for row in rows for one in row.series)
        }
        page = _Page(
            self.queries, self.now, self.settings, self.escalation_problems, sent, drawn, this_boot
        )
        return map(page.examination, rows)


def _precedence(state: ExaminationState) -> tuple[int, float]:
    """Sort what waits by its urgency; sorting keeps the others in their order."""
    volumes = [one.alert.total_volume_ml or 0.0 for one in state.series if one.alert]
    return precedence(state.urgency, max(volumes, default=0.0) if state.urgency else None)


def _urgency(row: ExaminationRow, now: Instant) -> Urgency | None:
    """Say how urgently an examination waits in front."""
    alerts = {one.uid: one.alert for one in row.series}
    alert = next((alerts[uid] for uid in row.examination.waiting), None)
    report, age = row.series[0].report, now.utc - row.last_utc
    code = report.code if report else None
    test = row.series[0].test
    return standing(row.examination, alert, code, age.total_seconds(), test=test)


def age_s(moment: Instant, now: Instant, *, this_boot: bool) -> float | None:
    """Return how long ago a moment was [s], None where only the wall clock could tell."""
    by_monotonic_s = now.monotonic_s - moment.monotonic_s
    by_wall_clock_s = (now.utc - moment.utc).total_seconds()
    agree = abs(by_wall_clock_s - by_monotonic_s) < CLOCKS_AGREE_S
    return by_monotonic_s if this_boot and by_monotonic_s >= 0 and agree else None


def _agent(status: AgentStatus) -> AgentState:
    return AgentState(
        folder=status.folder,
        engine=status.engine,
        degraded=_reported(status.degraded),
        alerts_per_100=status.alerts_per_100,
    )


def _selftest(queries: Queries, status: AgentStatus | None, now: Instant) -> SelftestState:
    """Return when the last self-test ran, and what is wrong with it."""
    last = next(iter(queries.selftests(1)), None)
    daily = status is not None and status.selftest_daily
    problem = selftest_problem(last, now, daily=daily)
    return SelftestState(at_utc=last.at.utc if last else None, problem=_reported(problem))


def _reported(reason: Reason | None) -> ReasonReport | None:
    return reason_report(reason) if reason else None


@dataclass(frozen=True, slots=True)
class _Page:
    """How rows are shown on the page, at one moment."""

    queries: Queries
    now: Instant
    settings: PageSettings
    escalation_problems: Mapping[str, Reason]
    sent: Mapping[tuple[str, int], Sequence[Delivery]]
    """How far results are on their way to archives, by series and revision."""
    drawn: Mapping[str, Drawing]
    """What was last outlined by another program, by series."""
    this_boot: bool

    def examination(self, row: ExaminationRow) -> ExaminationState:
        """Show an examination and its series."""
        places = dict(row.examination.places)
        series = tuple(self._series(one, places[one.uid]) for one in row.series)
        urgency = _urgency(row, self.now)
        compared = before(row, self.queries) if urgency else None
        drawn = [self.drawn[one.uid] for one in row.series if one.uid in self.drawn]
        return ExaminationState(
            **examination_facts(row),
            urgency=urgency,
            before=compared[0] if compared else None,
            drawn=max(drawn, key=lambda one: one.at_utc, default=None),
            series=series,
        )

    def _series(self, row: SeriesRow, place: Place) -> SeriesState:
        shown = self.settings.patient
        view = SeriesView.of(row, place)
        view = view.identified(allowed_identity(row.identity, shown), row.description)
        view = view.with_correction(_allowed_correction(row.corrected, shown))
        if shown == "full":
            view = view.model_copy(update={"unread_files": _unread_files(self.queries, row)})
        return SeriesState(
            **dict(view),
            last_slice_age_s=age_s(row.last_slice, self.now, this_boot=self.this_boot),
            committed_monotonic_s=row.concluded_at.monotonic_s if row.concluded_at else None,
            escalation_problem=_reported(self.escalation_problems.get(row.uid)),
            sent=tuple(map(delivery_view, self.sent.get((row.uid, row.revision), ()))),
        )


def _unread_files(queries: Queries, row: SeriesRow) -> tuple[str, ...]:
    """Name the files for which a row's answer is no *not suspected*, or has a caveat."""
    if row.report is None or not (row.report.caveats or row.state is State.NOT_ANALYSED):
        return ()
    paths = queries.unread_files(row.uid, NAMED_FILES)
    return tuple(legible(Path(path).name) for path in paths)


def allowed_identity(identity: Identity, shown: Shown) -> Identity:
    """Return as much of the patient's identity as the site lets the page show."""
    if shown == "full":
        return identity
    name = _initials(identity.patient_name) if shown == "initials" else ""
    return replace(identity, patient_name=name, patient_id="", birth_date="", sex="", accession="")


def _allowed_correction(former: Correction | None, shown: Shown) -> Correction | None:
    """Return as much of whom a series was said to be of, likewise."""
    if former is None or shown == "full":
        return former
    name = _initials(former.patient_name) if shown == "initials" else ""
    return replace(former, patient_name=name, patient_id="")


def _initials(name: str) -> str:
    """Keep the first letter of each part of a name's first group: ``DOE^JANE`` is ``D.^J.``."""
    group = next((group for group in name.split("=") if group.strip("^ ")), "")
    return "^".join(f"{part.strip()[0]}." for part in group.split("^") if part.strip())
