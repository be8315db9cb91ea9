"""Whether the agent lives, from its last sign of life, and works, from its last self-test."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

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
) -> str | None:
    """Say why nothing is being analysed now, or soon will not be; None when all is well.

    ``free_bytes`` is the room on the store's disk: an agent that cannot write cannot say so itself.
    By the monotonic clock, which all processes of one boot share: the wall clock may jump.
    """
    if status is None:
        return "the agent has never run"
    if status.boot_id != boot_id:
        return "the agent has not run since this computer was started"
    if free_bytes < FULL_BYTES:
        return f"the disk that holds the store is full ({free_bytes // 2**20} MiB free)"
    if not lives(status, now, boot_id):
        return "the agent is not running"
    if status.folder_problem is not None:
        return f"export folder unreachable: {status.folder_problem}"
    return None


def selftest_problem(last: Selftest | None, now: Instant, *, daily: bool) -> str | None:
    """Say what is wrong with the last self-test, or with there being none; None when all is well.

    ``daily`` says that one is expected every day.
    """
    if last is None:
        return "SELF-TEST MISSING: none has run yet" if daily else None
    if last.failure is not None:
        return f"SELF-TEST FAILED: {last.failure}"
    age = now.utc - last.at.utc
    if daily and age > OVERDUE and now.monotonic_s > JUST_STARTED_S:
        return f"SELF-TEST OVERDUE: the last was {age / timedelta(hours=1):.0f} h ago"
    return None
