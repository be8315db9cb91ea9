"""Whether the agent runs, by its last heartbeat, and works, by its last self-test."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from agent.reasons import Reason
from agent.records import Instant
from agent.store.rows import AgentStatus, Selftest

DEAD_AFTER_S: Final = 5.0
"""Without a heartbeat for this long the agent is not running [s]: ten of its intervals. Ours."""

FULL_BYTES: Final = 16 * 1024 * 1024
"""Below this much free space the disk counts as full [bytes]. Ours: a series adds some 0.2 MB to
the store, and a transaction as much to its write-ahead log as it writes."""

OVERDUE: Final = timedelta(hours=26)
"""A daily self-test is overdue after this: a day, and the delay of its timer. Ours."""

JUST_STARTED_S: Final = 3600.0
"""After a boot a self-test is not overdue for this long [s]: it is caught up. Ours."""


def lives(status: AgentStatus | None, now: Instant, boot_id: str) -> bool:
    """Return whether the agent's last heartbeat is recent."""
    if status is None or status.boot_id != boot_id:
        return False
    return now.monotonic_s - status.at.monotonic_s <= DEAD_AFTER_S


def agent_problem(
    status: AgentStatus | None, now: Instant, boot_id: str, free_bytes: int
) -> Reason | None:
    """Return why nothing is analysed now, or soon will not be; None when all is well.

    ``free_bytes`` is the free space on the store's disk: an agent that cannot write cannot report
    it. Ages are by the monotonic clock, which the processes of one boot share.
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
    """Return what is wrong with the last self-test, or that one is missing; None when all is well.

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
