"""What ``bleedwatch status`` shows: the agent, series under way, and counts."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from typing import Final

from pydantic import BaseModel, ConfigDict

from agent.reasons import Reason
from agent.records import Instant, State
from agent.report import EngineReport, ReasonReport, reason_report
from agent.store.liveness import agent_problem
from agent.store.queries import Queries
from agent.store.rows import AgentStatus, SeriesRow

HOUR: Final = timedelta(hours=1)
MOST_NOTICES: Final = 200
MOST_LATEST: Final = 5
ANSWERS: Final = State.SUSPECTED, State.NOT_SUSPECTED, State.NOT_ANALYSED


class _View(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class AgentView(_View):
    """The agent, by its last sign of life."""

    pid: int
    at_utc: datetime
    started_utc: datetime
    folder: str
    folder_problem: ReasonReport | None
    engine: EngineReport
    degraded: ReasonReport | None
    """Why the CPU runs what the GPU should."""
    networks_ready: bool
    receiving: int
    queued: int
    alerts_per_100: tuple[float, float] | None
    """Between how many of 100 scans without a bleed are expected to alarm (95 %)."""
    gpu_used_bytes: int | None
    gpu_total_bytes: int | None
    selftest_daily: bool


class UnderWay(_View):
    """A series that has no answer yet. ``expected`` is 0 where no count is promised.

    ``stage_s`` is how long it has been at its stage, ``silent_s`` how long nothing new has come.
    Both are None where the wall clock was set back meanwhile.
    """

    series_uid: str
    state: State
    slices: int
    expected: int
    stage_s: float | None
    silent_s: float | None


class Concluded(_View):
    """A series that speaks for an examination with its answer, ``total_s`` after its last slice."""

    series_uid: str
    state: State
    total_s: float | None
    ago_s: float | None


class Overview(_View):
    """How the box is. ``problem`` is None when all is well.

    ``last_hour`` and, by state, ``today`` count examinations by their last slice, ``notices`` by
    kind the files and other things that were named in the last hour.
    """

    at_utc: datetime
    problem: ReasonReport | None
    agent: AgentView | None
    under_way: tuple[UnderWay, ...]
    latest: tuple[Concluded, ...]
    last_hour: int
    today: dict[str, int]
    unacknowledged: int
    undelivered: int
    notices: dict[str, int]


def look(queries: Queries, now: Instant, boot_id: str) -> Overview:
    """Read the present state from the store."""
    agent = queries.agent_status()
    problem = agent_problem(agent, now, boot_id, queries.free_bytes())
    unfinished = map(queries.series, queries.unfinished())
    recent = (notice for notice in queries.notices(MOST_NOTICES) if now.utc - notice.at.utc <= HOUR)
    return Overview(
        at_utc=now.utc,
        problem=_reported(problem),
        agent=_agent(agent) if agent else None,
        under_way=tuple(_under_way(queries, row, now) for row in unfinished if row),
        latest=tuple(
            _concluded(row.series[0], now)
            for row in queries.examinations(MOST_LATEST, states=ANSWERS)
            if not row.examination.needs_nobody
        ),
        last_hour=queries.counts_since(now.utc - HOUR).examinations,
        today=queries.states_since(now.midnight),
        unacknowledged=len(queries.alerts_since()),
        undelivered=len(queries.undelivered()),
        notices=dict(Counter(notice.kind for notice in recent)),
    )


def _agent(status: AgentStatus) -> AgentView:
    return AgentView(
        pid=status.pid,
        at_utc=status.at.utc,
        started_utc=status.started.utc,
        folder=status.folder,
        folder_problem=_reported(status.folder_problem),
        engine=status.engine,
        degraded=_reported(status.degraded),
        networks_ready=status.networks_ready,
        receiving=status.receiving,
        queued=status.queued,
        alerts_per_100=status.alerts_per_100,
        gpu_used_bytes=status.gpu_used_bytes,
        gpu_total_bytes=status.gpu_total_bytes,
        selftest_daily=status.selftest_daily,
    )


def _reported(reason: Reason | None) -> ReasonReport | None:
    return reason_report(reason) if reason else None


def _under_way(queries: Queries, row: SeriesRow, now: Instant) -> UnderWay:
    changes = queries.transitions(row.uid)
    return UnderWay(
        series_uid=row.uid,
        state=row.state,
        slices=row.slices,
        expected=row.expected,
        stage_s=_ago_s(changes[-1].at, now) if changes else None,
        silent_s=_ago_s(row.last_slice, now) if row.state is State.RECEIVING else None,
    )


def _concluded(row: SeriesRow, now: Instant) -> Concluded:
    return Concluded(
        series_uid=row.uid,
        state=row.state,
        total_s=row.report.timings_s.get("total") if row.report else None,
        ago_s=_ago_s(row.concluded_at, now) if row.concluded_at else None,
    )


def _ago_s(moment: Instant, now: Instant) -> float | None:
    """Return a moment's age by the wall clock, which counts through a restart of the computer."""
    seconds = (now.utc - moment.utc).total_seconds()
    return seconds if seconds >= 0 else None
