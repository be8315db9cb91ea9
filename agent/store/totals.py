"""Counters for monitoring. They only grow: deleting a series takes nothing back.

Each is updated in the transaction of what it counts, so that reading them costs the same however
much the store holds. Self-tests are not counted.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final

from agent.records import CPU
from agent.report import SeriesReport

BOUNDS_S: Final = (0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0, 60.0, 120.0)
"""Upper bounds of the histogram's buckets [s], without the last, which has none. Ours: narrow about
1.5 and 5 s, which an alert may take."""

RESULTS, NOTICES = "results", "notices"
DISPOSITIONS, VERDICTS = "dispositions", "verdicts"
STAGE, STAGE_SUM, NETWORKS = "stage", "stage_sum_s", "networks_s"

NETWORK_STAGES: Final = ("slice_stage", "volume_stage")

ADD: Final = """
    INSERT INTO totals (name, label, detail, value) VALUES (?, ?, ?, ?)
    ON CONFLICT (name, label, detail) DO UPDATE SET value = value + excluded.value
"""


@dataclass(frozen=True, slots=True)
class Latency:
    """How long a stage took: results within each of ``BOUNDS_S`` and in all, and their sum [s]."""

    n_within: tuple[int, ...]
    sum_s: float


@dataclass(frozen=True, slots=True)
class Totals:
    """All counters.

    ``results`` by (state, code or ""), ``notices`` by kind, ``latencies`` by stage, ``networks_s``
    by "gpu" or "cpu" [s], ``dispositions`` by "acknowledged" or why an alert was dismissed, and
    ``verdicts`` by "agree" or "disagree".
    """

    results: Mapping[tuple[str, str], int] = field(default_factory=dict)
    notices: Mapping[str, int] = field(default_factory=dict)
    latencies: Mapping[str, Latency] = field(default_factory=dict)
    networks_s: Mapping[str, float] = field(default_factory=dict)
    dispositions: Mapping[str, int] = field(default_factory=dict)
    verdicts: Mapping[str, int] = field(default_factory=dict)


def count(db: sqlite3.Connection, name: str, label: str) -> None:
    """Add one to a counter, in the transaction under way."""
    db.execute(ADD, (name, label, "", 1.0))


def count_result(db: sqlite3.Connection, report: SeriesReport) -> None:
    """Count a result, and its timings where a network ran, in the transaction under way."""
    rows: list[tuple[str, str, str, float]] = [(RESULTS, report.state, report.code or "", 1.0)]
    for stage, seconds in (report.timings_s if report.engine else {}).items():
        bound_s = next((bound_s for bound_s in BOUNDS_S if seconds <= bound_s), math.inf)
        rows += [(STAGE, stage, str(bound_s), 1.0), (STAGE_SUM, stage, "", seconds)]
    if report.engine:
        spent_s = sum(report.timings_s.get(stage, 0.0) for stage in NETWORK_STAGES)
        device = "cpu" if report.engine.device == CPU else "gpu"
        rows.append((NETWORKS, device, "", spent_s))
    db.executemany(ADD, rows)


def totals_of(rows: Iterable[sqlite3.Row]) -> Totals:
    """Read the counters from the rows of ``totals``."""
    values = {(row["name"], row["label"], row["detail"]): row["value"] for row in rows}

    def within(stage: str) -> tuple[int, ...]:
        per_class = (int(values.get((STAGE, stage, str(b)), 0)) for b in (*BOUNDS_S, math.inf))
        return tuple(accumulate(per_class))

    def labelled(name: str) -> dict[str, int]:
        return {label: int(n) for (other, label, _), n in values.items() if other == name}

    return Totals(
        results={(a, b): int(n) for (name, a, b), n in values.items() if name == RESULTS},
        notices=labelled(NOTICES),
        latencies={
            stage: Latency(within(stage), sum_s)
            for (name, stage, _), sum_s in values.items()
            if name == STAGE_SUM
        },
        networks_s={device: s for (name, device, _), s in values.items() if name == NETWORKS},
        dispositions=labelled(DISPOSITIONS),
        verdicts=labelled(VERDICTS),
    )
