"""What two bundles made of the same series, row by row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True)
class Change:
    """A series that the bundles answer differently."""

    series_uid: str
    before: str
    after: str
    score_before: float | None
    score_after: float | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """The later bundle's rows against the earlier one's.

    ``answers`` counts series by "before → after". Differences are after less before, of series that
    both scored: scores by their median, and 5th and 95th percentile; volumes [mL] likewise, where
    both saw a bleed. None where there is no such series.
    """

    n_series: int
    only_before: int
    only_after: int
    answers: dict[str, int]
    score_difference: tuple[float, float, float] | None
    volume_difference_ml: tuple[float, float, float] | None
    changes: tuple[Change, ...]


def compared(before: Iterable[dict[str, Any]], after: Iterable[dict[str, Any]]) -> Comparison:
    """Compare rows by series."""
    earlier = {row["series_uid"]: row for row in before}
    later = {row["series_uid"]: row for row in after}
    both = [(earlier[uid], later[uid]) for uid in sorted(earlier.keys() & later.keys())]
    return Comparison(
        n_series=len(both),
        only_before=len(earlier.keys() - later.keys()),
        only_after=len(later.keys() - earlier.keys()),
        answers=dict(
            Counter(f"{one['state']} → {other['state']}" for one, other in both).most_common()
        ),
        score_difference=_spread(both, "score"),
        volume_difference_ml=_spread(
            [pair for pair in both if {row["state"] for row in pair} == {"suspected"}],
            "total_volume_ml",
        ),
        changes=tuple(
            Change(one["series_uid"], one["state"], other["state"], one["score"], other["score"])
            for one, other in both
            if one["state"] != other["state"]
        ),
    )


def _spread(
    pairs: Iterable[tuple[dict[str, Any], dict[str, Any]]], name: str
) -> tuple[float, float, float] | None:
    """Median, and 5th and 95th percentile, of what a number changed by."""
    changed = [
        after[name] - before[name]
        for before, after in pairs
        if before[name] is not None and after[name] is not None
    ]
    if not changed:
        return None
    median, low, high = np.percentile(changed, [50, 5, 95])
    return round(float(median), 4), round(float(low), 4), round(float(high), 4)
