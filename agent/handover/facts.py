"""A series in facts that name no patient: every field is on a list here, nothing is masked.

A *reason* is on none: it may quote a file's name or a description, and people's names stand in
both. Its ``code`` says what it was about. Times are when the box did something.
"""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import Any, Final

from agent.records import Instant
from agent.report import SeriesReport
from agent.store.rows import Result, SeriesRow, Transition

REPORT_FIELDS: Final = {
    "schema_version",
    "series_uid",
    "study_uid",
    "revision",
    "result_id",
    "protocol",
    "state",
    "code",
    "score",
    "operating_point",
    "threshold",
    "total_volume_ml",
    "midline_shift_mm",
    "findings",
    "caveats",
    "geometry",
    "completed_by",
    "engine",
    "timings_s",
}

NO_UID: Final = "not a UID"


def uid_text(text: str) -> str:
    """Give a UID as it is; what only stands in its place may be anything, and is not told."""
    return text if re.fullmatch(r"(TEST\.)?[0-9.]{1,64}", text) else NO_UID


def series_facts(
    row: SeriesRow, results: list[Result], transitions: list[Transition]
) -> dict[str, Any]:
    """Say what came of a series, without whose it is and who looked at it."""
    return {
        "series_uid": uid_text(row.uid),
        "study_uid": uid_text(row.identity.study_uid),
        "state": row.state.value,
        "slices": row.slices,
        "expected": row.expected,
        "first_slice_utc": _utc(row.first_slice),
        "last_slice_utc": _utc(row.last_slice),
        "results": [_result_facts(result) for result in results],
        "transitions": [{"state": one.state.value, "at_utc": _utc(one.at)} for one in transitions],
    }


def identity_facts(
    row: SeriesRow, results: list[Result], transitions: list[Transition]
) -> dict[str, Any]:
    """Say what ``series_facts`` leaves out: who it is, who looked at it, and every reason."""
    return {
        "patient": asdict(row.identity),
        "description": row.description,
        "reasons": [result.report.reason for result in results],
        "acknowledged_by": [
            {"who": seen.who, "note": seen.note} if (seen := result.acknowledged) else None
            for result in results
        ],
        "details": [one.detail for one in transitions],
    }


def _result_facts(result: Result) -> dict[str, Any]:
    return {
        "at_utc": _utc(result.at),
        "report": _report_facts(result.report),
        "deliveries": [
            {"channel": one.channel, "delivered_utc": _utc(one.delivered_at)}
            for one in result.deliveries
        ],
        "acknowledged_utc": _utc(result.acknowledged.at) if result.acknowledged else None,
        "dismissed_because": result.acknowledged.dismissed_because if result.acknowledged else None,
    }


def _report_facts(report: SeriesReport) -> dict[str, Any]:
    facts = report.model_dump(mode="json", include=REPORT_FIELDS)
    return facts | {name: uid_text(facts[name]) for name in ("series_uid", "study_uid")}


def _utc(moment: Instant | None) -> str | None:
    return moment.utc.isoformat() if moment else None
