"""A series in facts that name no patient: every field is on a list here, nothing is masked.

A *reason* is on none: it may quote a file's name or a description, and people's names stand in
both. Its ``code`` says what it was about. Times are when the box did something.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from pydantic.main import IncEx

from agent.store.view import ExaminationView, SeriesView

REPORT_FIELDS: Final[Mapping[str, IncEx | bool]] = {
    "schema_version": True,
    "series_uid": True,
    "study_uid": True,
    "revision": True,
    "result_id": True,
    "protocol": True,
    "state": True,
    "code": True,
    "score": True,
    "operating_point": True,
    "threshold": True,
    "total_volume_ml": True,
    "midline_shift_mm": True,
    "findings": True,
    "caveats": {"__all__": {"code"}},
    "geometry": True,
    "completed_by": True,
    "engine": True,
    "timings_s": True,
}

DELIVERY_FIELDS: Final[Mapping[str, IncEx | bool]] = {
    "channel": True,
    "since_utc": True,
    "delivered_utc": True,
    "sent_utc": True,
    "n_attempts": True,
    "problem": {"code"},
    "dropped_utc": True,
    "signed_version": True,
    "remark": {"code"},
}

SERIES_FIELDS: Final[Mapping[str, IncEx | bool]] = {
    "schema_version": True,
    "series_uid": True,
    "study_uid": True,
    "test": True,
    "state": True,
    "slices": True,
    "expected": True,
    "first_slice_utc": True,
    "last_slice_utc": True,
    "thickness_mm": True,
    "revision": True,
    "concluded_utc": True,
    "shown_utc": True,
    "escalated_utc": True,
    "corrected_utc": True,
    "results": {
        "__all__": {
            "at_utc": True,
            "report": REPORT_FIELDS,
            "deliveries": {"__all__": DELIVERY_FIELDS},
            "acknowledged": {"at_utc", "dismissed_because"},
        }
    },
    "transitions": {"__all__": {"state", "at_utc"}},
    "readings": {
        "__all__": {
            "revision": True,
            "at_utc": True,
            "taken_back_utc": True,
            "volume_ml": True,
            "extent": True,
            "judgement": {
                "judged",
                "finding",
                "subtype",
                "side",
                "instead",
                "voxel_kji",
                "redrawn",
            },
        }
    },
    "drawings": {
        "__all__": {
            "revision": True,
            "sop_uid": True,
            "at_utc": True,
            "segments": {"__all__": {"volume_ml"}},
        }
    },
}

EXAMINATION_FIELDS: Final[Mapping[str, IncEx | bool]] = {
    "schema_version": True,
    "examination_uid": True,
    "study_uid": True,
    "test": True,
    "state": True,
    "needs_nobody": True,
    "second": True,
    "remark": {"code"},
    "waiting": True,
    "unanalysed": True,
    "last_slice_utc": True,
    "series": {"__all__": {"series_uid", "place", "state"}},
}

NO_UID: Final = "not a UID"


def uid_text(text: str) -> str:
    """Give a UID as it is; what only stands in its place may be anything, and is not told."""
    return text if re.fullmatch(r"(TEST\.)?[0-9.]{1,64}", text) else NO_UID


def series_facts(view: SeriesView) -> dict[str, Any]:
    """Say what came of a series, without whose it is and who looked at it."""
    facts = view.model_dump(mode="json", include=SERIES_FIELDS)
    for named in (facts, *(result["report"] for result in facts["results"])):
        named |= {name: uid_text(named[name]) for name in ("series_uid", "study_uid")}
    return facts


def examination_facts(view: ExaminationView) -> dict[str, Any]:
    """Say what is told of an examination's series together, without whose it is."""
    facts = view.model_dump(mode="json", include=EXAMINATION_FIELDS)
    facts |= {name: uid_text(facts[name]) for name in ("examination_uid", "study_uid")}
    facts |= {name: list(map(uid_text, facts[name])) for name in ("waiting", "unanalysed")}
    facts["series"] = [one | {"series_uid": uid_text(one["series_uid"])} for one in facts["series"]]
    return facts
