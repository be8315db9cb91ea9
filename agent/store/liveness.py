"""Whether the agent lives, from its last sign of life, and works, from its last self-test."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from agent.reasons import Reason
from agent.records import Instant
from agent.store.rows import AgentStatus, Selftest

DEAD_AFTER_S: Final = 5.0
"""An agent silent for this long is not running [s]: ten of its heartbeats."""


FULL_BYTES: Final = 16 * 1024 * 1024
"""A disk with less room than this is full [bytes]. Ours: the store grows by some 0.2 MB a series,
and the log that SQLite writes ahead by as much as it has to write at once."""

OVERDUE: Final = timedelta(hours=26)
"""A daily self-test is missing after this long: a day, and what its timer may be late."""

JUST_STARTED_S: Final = 3600.0
"""A computer that was switched off gets this long to make up for a self-test [s]. Ours."""


def lives(status: AgentStatus | None, now: Instant, boot_id: str) -> bool:
    """Tell whether the agent gave a sign of life just now."""
    if status is None or status.boot_id != boot_id:
        return False
    return now.monotonic_s - status.at.monotonic_s <= DEAD_AFTER_S


def agent_problem(
    status: AgentStatus | None, now: Instant, boot_id: str, free_bytes: int
) -> Reason | None:
    """Say why nothing is being analysed now, or soon will not be; None when all is well.

    ``free_bytes`` is the room on the store's disk: an agent that cannot write cannot say so itself.
    By the monotonic clock, which all processes of one boot share: the wall clock may jump.
    """
    if status is None:
        return Reason("agent_never_ran")
    if status.boot_id != boot_id:
        return Reason("agent_not_run_since_boot")
    if free_bytes < FULL_BYTES:
        return Reason("store_disk_full", free_mib=free_bytes // 2**20)
    if not lives(status, now, boot_id):
        return Reason("agent_not_running")
    if status.folder_problem is not None:
        return Reason("export_folder_unreachable", why=status.folder_problem)
    return None


def selftest_problem(last: Selftest | None, now: Instant, *, daily: bool) -> Reason | None:
    """Say what is wrong with the last self-test, or with there being none; None when all is well.

    ``daily`` says that one is expected every day.
    """
    if last is None:
        return Reason("selftest_missing") if daily else None
    if last.failure is not None:
        return Reason("selftest_failed", why=last.failure)
    age = now.utc - last.at.utc
    if daily and age > OVERDUE and now.monotonic_s > JUST_STARTED_S:
        return Reason("selftest_overdue", age_h=age / timedelta(hours=1))
    return None
