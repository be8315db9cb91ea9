"""What the store tells: of itself, of the agent, of what came and what became of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Final

from agent.console.address import Address
from agent.deliver.outbox import CONSOLE
from agent.doctor.result import Box, CheckResult, NotChecked, note, well, wrong
from agent.errors import StoreError
from agent.reasons import Reason
from agent.records import is_new
from agent.report import to_the_second
from agent.store.database import Database
from agent.store.liveness import agent_problem, selftest_problem
from agent.store.queries import Queries
from agent.store.schema import MIGRATIONS
from agent.store.upgrade import read_only, version_of

AHEAD: Final = timedelta(minutes=1)
"""What was stored may be this far in the future before the clock is called wrong. Ours."""

UNSHOWN: Final = timedelta(minutes=1)
"""An open page shows a result within a second; after this long there is none. Ours."""


def store(box: Box) -> CheckResult:
    """Check that the store is whole, and of a version that this program knows.

    It is opened for reading alone: a newer program's store is not touched, nor an older one's.
    """
    path = box.config.store_path
    if not path.exists():
        return wrong("store_absent", path=str(path))
    try:
        version, damage = _looked_into(path)
    except sqlite3.Error as error:
        return _unreadable(path, error)
    if damage != "ok":
        return wrong(
            "store_file_damaged",
            path=str(path),
            why=damage,
            name=path.name,
            folder=str(path.parent),
        )
    if version > len(MIGRATIONS):
        return wrong("store_newer", path=str(path), version=version, known=len(MIGRATIONS))
    if version < len(MIGRATIONS):
        return note("store_to_be_upgraded", path=str(path), version=version)
    return well("store_whole", path=str(path))


def _unreadable(path: Path, error: sqlite3.Error) -> CheckResult:
    at, name, folder, why = str(path), path.name, str(path.parent), str(error)
    if isinstance(error, sqlite3.OperationalError):
        return wrong("store_unopened", path=at, name=name, folder=folder, why=why)
    return wrong("store_damaged_or_none", path=at, name=name, folder=folder, why=why)


def clock(box: Box) -> CheckResult:
    """Check that the time is not before what was stored last."""
    with opened(box) as queries:
        status = queries.agent_status()
        moments = [row.last_slice.utc for row in queries.worklist(1)]
    last = max([*moments, *([status.at.utc] if status else [])], default=box.now.utc)
    if last > box.now.utc + AHEAD:
        return wrong("clock_behind", behind=ago(last - box.now.utc))
    return well("clock_reads", now=to_the_second(box.now.utc))


def agent(box: Box) -> CheckResult:
    """Check that the agent lives, watches what is configured, and runs at its full speed."""
    with opened(box) as queries:
        status = queries.agent_status()
        problem = agent_problem(status, box.now, box.boot_id, queries.free_bytes())
    if status is None or (problem and not status.folder_problem):
        return wrong("agent_down", why=problem or Reason("agent_never_ran"))
    if problem:
        return wrong("agent_hindered", why=problem)
    if status.folder != str(box.config.export_folder):
        return wrong(
            "watches_other_folder", folder=status.folder, configured=str(box.config.export_folder)
        )
    if status.degraded:
        return wrong("agent_degraded", why=status.degraded)
    engine = status.engine
    return well(
        "agent_runs",
        bundle=engine.bundle,
        version=engine.version,
        backend=engine.backend,
        device=engine.device,
    )


def last_series(box: Box) -> CheckResult:
    """Tell when something last came from the scanner."""
    with opened(box) as queries:
        last = queries.last_slice_at()
        today = queries.counts_since(box.now.midnight).examinations
    if last is None:
        return note("no_series_yet")
    return well("last_series_came", ago=ago(box.now.utc - last), n_today=str(today))


def alerts(box: Box) -> CheckResult:
    """Tell of suspected bleeds that nobody has acknowledged."""
    with opened(box) as queries:
        waiting = queries.alerts_since()
    if waiting:
        oldest = ago(box.now.utc - min(waiting))
        return note("alerts_wait", n_alerts=len(waiting), longest=oldest, url=address(box).url)
    return well("no_alert_waits")


def deliveries(box: Box) -> CheckResult:
    """Check that every result has reached those whom it is for."""
    with opened(box) as queries:
        waiting = [
            one
            for one in queries.undelivered()
            if one.channel == CONSOLE and is_new(one.series_uid)
        ]
    oldest = min((delivery.since.utc for delivery in waiting), default=box.now.utc)
    if box.now.utc - oldest > UNSHOWN:
        return wrong(
            "results_unshown",
            n_results=len(waiting),
            longest=ago(box.now.utc - oldest),
            url=address(box).url,
        )
    return well("all_results_shown")


def selftest(box: Box) -> CheckResult:
    """Check that a generated bleed went the whole way when that was last tried."""
    with opened(box) as queries:
        last = next(iter(queries.selftests(1)), None)
    daily = box.config.selftest.daily
    problem = selftest_problem(last, box.now, daily=daily)
    if problem and last and last.failure is None:
        return wrong("selftest_timer_wrong", why=problem)
    if problem:
        return wrong("selftest_wrong", why=problem)
    if last is None:
        return note("selftest_never")
    return well(
        "selftest_passed", ago=ago(box.now.utc - last.at.utc), latency_s=last.latency_s or 0.0
    )


def users(box: Box) -> CheckResult:
    """Check that someone may sign in, where the page asks for it."""
    if not address(box).needs_sign_in:
        return well("sign_in_not_needed")
    with opened(box) as queries:
        roles = queries.user_roles()
    if not roles:
        return wrong("no_user_yet")
    return well(
        "users_known",
        roles=", ".join(f"{role}: {roles.count(role)}" for role in sorted(set(roles))),
    )


def address(box: Box) -> Address:
    """Return where the page is served."""
    return box.config.console.address


def _looked_into(path: Path) -> tuple[int, str]:
    with closing(read_only(path)) as db:
        (damage,) = db.execute("PRAGMA quick_check(1)").fetchone()
        return version_of(db), str(damage)


@contextmanager
def opened(box: Box) -> Iterator[Queries]:
    """Open the store for a question, unless that would make or change one."""
    try:
        database = Database.existing(box.config.store_path)
    except StoreError as error:
        raise NotChecked("see_store_line") from error
    with database:
        yield Queries(database)


def ago(span: timedelta) -> str:
    """Say a span in the largest unit that fits."""
    seconds = max(0.0, span.total_seconds())
    for unit, length_s in (("days", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length_s:
            return f"{seconds / length_s:.0f} {unit}"
    return f"{seconds:.0f} s"
