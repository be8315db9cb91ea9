"""What the store tells: of itself, of the agent, of what came and what became of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Final

from agent.console.address import Address
from agent.doctor.result import Box, CheckResult, NotChecked, note, well, wrong
from agent.errors import StoreError
from agent.reasons import english
from agent.records import is_test
from agent.store.database import Database
from agent.store.liveness import agent_problem, selftest_problem
from agent.store.queries import Queries
from agent.store.schema import MIGRATIONS
from agent.store.upgrade import read_only, version_of

AHEAD: Final = timedelta(minutes=1)
"""What was stored may be this far in the future before the clock is called wrong. Ours."""

UNSHOWN: Final = timedelta(minutes=1)
"""An open page shows a result within a second; after this long there is none. Ours."""

START: Final = "`systemctl start bleedwatch-agent`, then `journalctl -u bleedwatch-agent -n 30`"


def store(box: Box) -> CheckResult:
    """Check that the store is whole, and of a version that this program knows.

    It is opened for reading alone: a newer program's store is not touched, nor an older one's.
    """
    path = box.config.store_path
    if not path.exists():
        return wrong(f"there is none at {path}", START)
    try:
        version, damage = _looked_into(path)
    except sqlite3.Error as error:
        what = "" if isinstance(error, sqlite3.OperationalError) else "damaged, or no store: "
        return wrong(f"{path}: {what}{error}", _replace(path))
    if damage != "ok":
        return wrong(f"{path} is damaged: {damage}", _replace(path))
    if version > len(MIGRATIONS):
        return wrong(
            f"{path} is of version {version}, this program knows {len(MIGRATIONS)}",
            "install the newer program again",
        )
    if version < len(MIGRATIONS):
        return note(
            f"{path} is of version {version}: the agent's next start brings it up to date",
            "`bleedwatch upgrade --check`",
        )
    return well(f"{path} is whole")


def clock(box: Box) -> CheckResult:
    """Check that the time is not before what was stored last."""
    with _opened(box) as queries:
        status = queries.agent_status()
        moments = [row.last_slice.utc for row in queries.worklist(1)]
    last = max([*moments, *([status.at.utc] if status else [])], default=box.now.utc)
    if last > box.now.utc + AHEAD:
        return wrong(
            f"it is {_ago(last - box.now.utc)} behind what was stored last",
            "set the time; results that are stored meanwhile look older than they are",
        )
    return well(f"{box.now.utc:%Y-%m-%d %H:%M} UTC")


def agent(box: Box) -> CheckResult:
    """Check that the agent lives, watches what is configured, and runs at its full speed."""
    with _opened(box) as queries:
        status = queries.agent_status()
        problem = agent_problem(status, box.now, box.boot_id, queries.free_bytes())
    if status is None or (problem and not status.folder_problem):
        return wrong(english(problem) if problem else "", START)
    if problem:
        return wrong(
            english(problem), f"see the line `export folder`; if the agent is gone: {START}"
        )
    if status.folder != str(box.config.export_folder):
        return wrong(
            f"watches {status.folder}, the configuration says {box.config.export_folder}",
            "`systemctl restart bleedwatch-agent`",
        )
    if status.degraded:
        return wrong(
            english(status.degraded), "see the line `gpu`, and `journalctl -u bleedwatch-agent`"
        )
    engine = status.engine
    return well(f"{engine.bundle} {engine.version}, {engine.backend}, {engine.device}")


def last_series(box: Box) -> CheckResult:
    """Tell when something last came from the scanner."""
    with _opened(box) as queries:
        moments = [row.last_slice.utc for row in queries.worklist(2) if not row.test]
        today = queries.counts_since(box.now.midnight).series
    if not moments:
        return note("none has come yet", "export a head from the scanner, or `bleedwatch simulate`")
    return well(f"{_ago(box.now.utc - max(moments))} ago; {today} today")


def alerts(box: Box) -> CheckResult:
    """Tell of suspected bleeds that nobody has acknowledged."""
    with _opened(box) as queries:
        waiting = [row.last_slice.utc for row in queries.worklist(0) if not row.test]
    if waiting:
        oldest = _ago(box.now.utc - min(waiting))
        return note(
            f"suspected and not acknowledged: {len(waiting)}; the oldest for {oldest}",
            f"on the console's page, {address(box).url}",
        )
    return well("none waits for an acknowledgement")


def deliveries(box: Box) -> CheckResult:
    """Check that every result has reached those whom it is for."""
    with _opened(box) as queries:
        waiting = [one for one in queries.undelivered() if not is_test(one.series_uid)]
    oldest = min((delivery.since.utc for delivery in waiting), default=box.now.utc)
    if box.now.utc - oldest > UNSHOWN:
        return wrong(
            f"results that no page has shown: {len(waiting)}; the oldest for "
            f"{_ago(box.now.utc - oldest)}",
            f"open {address(box).url} where the technologist sees it",
        )
    return well("every result was shown")


def selftest(box: Box) -> CheckResult:
    """Check that a generated bleed went the whole way when that was last tried."""
    with _opened(box) as queries:
        last = next(iter(queries.selftests(1)), None)
    daily = box.config.selftest.daily
    problem = selftest_problem(last, box.now, daily=daily)
    if problem and last and last.failure is None:
        return wrong(english(problem), "`systemctl enable --now bleedwatch-selftest.timer`")
    if problem:
        return wrong(english(problem), "`systemctl start bleedwatch-selftest`, then this again")
    if last is None:
        return note("none has run, nor is one expected", "`sudo -u bleedwatch bleedwatch selftest`")
    return well(f"passed {_ago(box.now.utc - last.at.utc)} ago, alert after {last.latency_s:.1f} s")


def users(box: Box) -> CheckResult:
    """Check that someone may sign in, where the page asks for it."""
    if not address(box).needs_sign_in:
        return well("nobody needs to sign in: the page is served to this computer alone")
    with _opened(box) as queries:
        roles = queries.user_roles()
    if not roles:
        return wrong("there is none", "`bleedwatch user add NAME --role technologist`")
    return well(", ".join(f"{role}: {roles.count(role)}" for role in sorted(set(roles))))


def address(box: Box) -> Address:
    """Return where the page is served."""
    return box.config.console.address


def _looked_into(path: Path) -> tuple[int, str]:
    with closing(read_only(path)) as db:
        (damage,) = db.execute("PRAGMA quick_check(1)").fetchone()
        return version_of(db), str(damage)


@contextmanager
def _opened(box: Box) -> Iterator[Queries]:
    """Open the store for a question, unless that would make or change one."""
    try:
        database = Database.existing(box.config.store_path)
    except StoreError as error:
        raise NotChecked("see_store_line") from error
    with database:
        yield Queries(database)


def _replace(path: Path) -> str:
    return (
        f"stop agent and console, move {path.name}* out of {path.parent} and keep them, start again"
    )


def _ago(span: timedelta) -> str:
    """Say a span in the largest unit that fits."""
    seconds = max(0.0, span.total_seconds())
    for unit, length_s in (("days", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length_s:
            return f"{seconds / length_s:.0f} {unit}"
    return f"{seconds:.0f} s"
