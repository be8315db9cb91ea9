"""What the page shows, as one JSON object: the agent's state and the worklist."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from agent.console.settings import PageSettings, Shown
from agent.records import Identity, Instant
from agent.store.liveness import agent_problem, selftest_problem
from agent.store.queries import Queries
from agent.store.rows import Acknowledgement, AgentStatus, SeriesRow, Verdict

MOST_SERIES = 50
MOST_NOTICES = 5

CLOCKS_AGREE_S = 3600.0
"""Clocks further apart than a changed time zone or a set clock explains: the moment is of an
earlier boot, and its monotonic time means nothing [s]."""

LOW_BYTES = 1024**3
"""A disk with less room than this is said to be low [bytes]: some hundred heads' results. Ours."""


def snapshot(
    queries: Queries,
    now: Instant,
    boot_id: str,
    settings: PageSettings,
    untold: Mapping[str, str],
) -> dict[str, Any]:
    """Take the state of everything that the page shows.

    Ages are in seconds by the monotonic clock, and null for what happened before this boot.
    ``untold`` says by series UID why an escalation could not be told.
    """
    status, free_bytes = queries.agent_status(), queries.free_bytes()
    this_boot = status is not None and status.boot_id == boot_id
    return {
        "schema_version": 2,
        "at_utc": now.utc.isoformat(),
        "problem": agent_problem(status, now, boot_id, free_bytes),
        "agent": None
        if status is None
        else {
            "folder": status.folder,
            "backend": status.backend,
            "bundle": status.bundle,
            "degraded": status.degraded,
            "alerts_per_100": status.alerts_per_100,
        },
        "selftest": _selftest(queries, status, now),
        "low_disk_bytes": free_bytes if free_bytes < LOW_BYTES else None,
        "repeat_s": settings.repeat_s,
        "today": asdict(queries.counts_since(now.midnight)),
        "series": [
            _series(row, now, settings.patient, this_boot=this_boot)
            | {"escalation_problem": untold.get(row.uid)}
            for row in queries.worklist(MOST_SERIES)
        ],
        "notices": [
            {"kind": notice.kind, "message": notice.message, "at_utc": notice.at.utc.isoformat()}
            for notice in queries.notices(MOST_NOTICES)
        ],
    }


def age_s(moment: Instant, now: Instant, *, this_boot: bool) -> float | None:
    """Say how long ago a moment was, None where only the wall clock could tell [s]."""
    by_monotonic_s = now.monotonic_s - moment.monotonic_s
    by_wall_clock_s = (now.utc - moment.utc).total_seconds()
    agree = abs(by_wall_clock_s - by_monotonic_s) < CLOCKS_AGREE_S
    return by_monotonic_s if this_boot and by_monotonic_s >= 0 and agree else None


def _selftest(queries: Queries, status: AgentStatus | None, now: Instant) -> dict[str, Any]:
    """Say when the last self-test ran, and what is wrong with it: a state of the box, no alert."""
    last = next(iter(queries.selftests(1)), None)
    daily = status is not None and status.selftest_daily
    return {
        "at_utc": last.at.utc.isoformat() if last else None,
        "problem": selftest_problem(last, now, daily=daily),
    }


def _series(row: SeriesRow, now: Instant, shown: Shown, *, this_boot: bool) -> dict[str, Any]:
    return {
        "uid": row.uid,
        "test": row.test,
        "patient": _patient(row.identity, shown),
        "description": row.description,
        "state": row.state.value,
        "slices": row.slices,
        "expected": row.expected,
        "last_slice_utc": row.last_slice.utc.isoformat(),
        "last_slice_age_s": age_s(row.last_slice, now, this_boot=this_boot),
        "committed_monotonic_s": row.concluded_at.monotonic_s if row.concluded_at else None,
        "revision": row.revision,
        "report": row.report.model_dump(mode="json") if row.report else None,
        "shown": row.shown_at is not None,
        "acknowledged": _acknowledged(row.acknowledged),
        "verdict": _verdict(row.verdict),
        "alert": row.alert.model_dump(mode="json") if row.alert else None,
        "escalated_utc": row.escalated_at.utc.isoformat() if row.escalated_at else None,
    }


def _patient(identity: Identity, shown: Shown) -> dict[str, str]:
    """Say who the patient is, as far as the site lets the page."""
    patient = asdict(identity)
    if shown == "full":
        return patient
    hidden = dict.fromkeys(("patient_id", "birth_date", "sex", "accession"), "")
    name = _initials(identity.patient_name) if shown == "initials" else ""
    return patient | hidden | {"patient_name": name}


def _initials(name: str) -> str:
    """Keep the first letter of each part of a name's first group: ``DOE^JANE`` is ``D.^J.``."""
    group = next((group for group in name.split("=") if group.strip("^ ")), "")
    return "^".join(f"{part.strip()[0]}." for part in group.split("^") if part.strip())


def _acknowledged(given: Acknowledgement | None) -> dict[str, Any] | None:
    if given is None:
        return None
    said = {"who": given.who, "at_utc": given.at.utc.isoformat(), "note": given.note}
    return said | {"dismissed_because": given.dismissed_because}


def _verdict(given: Verdict | None) -> dict[str, Any] | None:
    if given is None:
        return None
    said = {"who": given.who, "at_utc": given.at.utc.isoformat(), "note": given.note}
    return said | {"agrees": given.agrees}
