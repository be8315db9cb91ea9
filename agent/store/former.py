"""Conversion of what stores held before schema 2 of the results: functions for a migration's SQL.

Before, a reason was a sentence, and so was what ran. A sentence is kept whole, as the reason
"recorded".
"""

from __future__ import annotations

import json
import sqlite3
from typing import Any, Final

from agent.reasons import Reason, plain
from agent.records import CPU

SAID: Final = {
    "nothing new": Reason("nothing_new"),
    "asked for again": Reason("asked_again"),
}
"""Sentences that were always the same."""


def register(db: sqlite3.Connection) -> None:
    """Let a connection's SQL call the functions here; each gives NULL for NULL."""
    for convert in (recorded, report_2, engine_2, status_2):
        db.create_function(convert.__name__, 1, convert, deterministic=True)


def recorded(sentence: str | None) -> str | None:
    """Turn a sentence into a reason; "" was said where there was none."""
    return json.dumps(plain(_reason(sentence))) if sentence else None


def report_2(text: str) -> str:
    """Turn a report of schema 1 into one of schema 2; its code stays what it was."""
    report = json.loads(text)
    report |= {
        "schema_version": 2,
        "values": {},
        "text": report.pop("reason"),
        "caveats": [plain(_reason(caveat)) for caveat in report["caveats"]],
        "engine": _engine(report["engine"]) if report["engine"] else None,
    }
    if report["geometry"]:
        missing = [plain(_reason(gap)) for gap in report["geometry"]["missing"]]
        report["geometry"]["missing"] = missing
    return json.dumps(report)


def engine_2(sentence: str | None) -> str | None:
    """Turn "default 1.4.0, ONNX Runtime 1.20.1, CPU" into its parts."""
    return json.dumps(_engine(sentence)) if sentence else None


def status_2(text: str) -> str:
    """Turn an agent's sign of life into one of today."""
    status = json.loads(text)
    status["engine"] = _engine(f"{status.pop('bundle')}, {status.pop('backend')}")
    for name in ("folder_problem", "degraded"):
        status[name] = plain(_reason(status[name])) if status[name] else None
    return json.dumps(status)


def _reason(sentence: str) -> Reason:
    return SAID.get(sentence, Reason("recorded", said=sentence))


def _engine(sentence: str) -> dict[str, Any]:
    """Take apart bundle and version, runtime, device, and the plan where one ran."""
    named, runtime, *where = (*sentence.split(", "), "")[:4]
    bundle, _, version = named.rpartition(" ")
    device, *plan = [part for part in where if part] or [CPU]
    return {
        "bundle": bundle,
        "version": version,
        "backend": ", ".join((runtime, *plan)),
        "device": device,
    }
