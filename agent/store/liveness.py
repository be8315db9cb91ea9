"""Whether the agent lives, from its last sign of life."""

from __future__ import annotations

from typing import Final

from agent.records import Instant
from agent.store.rows import AgentStatus

DEAD_AFTER_S: Final = 5.0
"""An agent silent for this long is not running [s]: ten of its heartbeats."""


def agent_problem(status: AgentStatus | None, now: Instant, boot_id: str) -> str | None:
    """Say why nothing is being analysed now; None when all is well.

    By the monotonic clock, which all processes of one boot share: the wall clock may jump.
    """
    if status is None:
        return "the agent has never run"
    if status.boot_id != boot_id:
        return "the agent has not run since this computer was started"
    if now.monotonic_s - status.at.monotonic_s > DEAD_AFTER_S:
        return "the agent is not running"
    if status.folder_problem is not None:
        return f"export folder unreachable: {status.folder_problem}"
    return None
