"""What the page shows, as one JSON object: the agent's state and the worklist."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from agent.records import Instant
from agent.store import AgentStatus, SeriesRow, Store
from agent.store.liveness import agent_problem, selftest_problem

MOST_SERIES = 50
MOST_NOTICES = 5

CLOCKS_AGREE_S = 3600.0
"""Clocks further apart than a changed time zone or a set clock explains: the slice is of an earlier
boot, and its monotonic time means nothing [s]."""


def snapshot(store: Store, now: Instant, boot_id: str) -> dict[str, Any]:
    """Take the state of everything that the page shows.

    Ages are in seconds by the monotonic clock, and null for what happened before this boot.
    """
    status = store.agent_status()
    this_boot = status is not None and status.boot_id == boot_id
    return {
        "schema_version": 1,
        "at_utc": now.utc.isoformat(),
        "problem": agent_problem(status, now, boot_id, store.free_bytes()),
        "agent": None
        if status is None
        else {
            "folder": status.folder,
            "backend": status.backend,
            "bundle": status.bundle,
            "degraded": status.degraded,
        },
        "selftest": _selftest(store, status, now),
        "today": store.count_since(now.utc.astimezone().replace(hour=0, minute=0, second=0)),
        "series": [_series(row, now, this_boot=this_boot) for row in store.worklist(MOST_SERIES)],
        "notices": [
            {"kind": notice.kind, "message": notice.message, "at_utc": notice.at.utc.isoformat()}
            for notice in store.notices(MOST_NOTICES)
        ],
    }


def _selftest(store: Store, status: AgentStatus | None, now: Instant) -> dict[str, Any]:
    """Say when the last self-test ran, and what is wrong with it: a state of the box, no alert."""
    last = next(iter(store.selftests(1)), None)
    daily = status is not None and status.selftest_daily
    return {
        "at_utc": last.at.utc.isoformat() if last else None,
        "problem": selftest_problem(last, now, daily=daily),
    }


def _series(row: SeriesRow, now: Instant, *, this_boot: bool) -> dict[str, Any]:
    age_s = now.monotonic_s - row.last_slice.monotonic_s
    by_wall_clock_s = (now.utc - row.last_slice.utc).total_seconds()
    known = this_boot and age_s >= 0 and abs(by_wall_clock_s - age_s) < CLOCKS_AGREE_S
    return {
        "uid": row.uid,
        "test": row.test,
        "patient": asdict(row.identity),
        "description": row.description,
        "state": row.state.value,
        "slices": row.slices,
        "expected": row.expected,
        "last_slice_utc": row.last_slice.utc.isoformat(),
        "last_slice_age_s": age_s if known else None,
        "committed_monotonic_s": row.concluded_at.monotonic_s if row.concluded_at else None,
        "revision": row.revision,
        "report": row.report.model_dump(mode="json") if row.report else None,
        "shown": row.shown_at is not None,
        "acknowledged": None
        if row.acknowledged is None
        else {"who": row.acknowledged.who, "at_utc": row.acknowledged.at.utc.isoformat()},
        "alert": row.alert.model_dump(mode="json") if row.alert else None,
    }
