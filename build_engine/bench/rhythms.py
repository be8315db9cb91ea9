"""Exports in virtual time: how often rules end a series too early, and how long they wait.

Thousands of series go through the agent's own completeness rules, slice by slice, and through fixed
waits beside them. Nothing is read or slept: what a series amounts to after each slice is known.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from agent.assemble.completeness import judge
from agent.assemble.protocol import ProtocolProfile
from agent.assemble.series import SeriesFacts

Chance: TypeAlias = np.random.Generator
Times: TypeAlias = NDArray[np.float64]

SEEN_EVERY_S: Final = 0.03
"""The agent looks this often [s]: a slice is seen, and a decision made, up to so much later."""

FIXED_WAITS_S: Final = 5.0, 60.0

VERTEX_MM: Final = 17.0
"""The head's area falls below a third of its largest within this of the vertex [mm]."""

PAUSE_S: Final = 3.0

LONGEST_EXPORT_S: Final = 90.0
"""No export lasts longer [s]: at the deadline an answer is given in any case, and revised later."""

SHORTEST_PAUSE_S: Final = 0.2
"""No rule but a reached count decides within so short a pause [s]."""


@dataclass(frozen=True, slots=True)
class Scan:
    """One series as it will be exported: slice heights [mm] and, of each, when it is seen [s].

    ``numbers`` are the image numbers, ``promised`` is the count in the header, 0 for none.
    """

    heights_mm: Times
    numbers: tuple[int, ...]
    seen_s: Times
    promised: int


@dataclass(frozen=True, slots=True)
class RhythmRow:
    """What became of many series of one rhythm under one rule."""

    rhythm: str
    counted: bool
    rule: str
    n_series: int
    n_wrong: int
    added_wait_s: tuple[float, ...]
    """Of each series, from its last slice to the decision that it was the last."""

    @property
    def wrong_rate(self) -> float:
        """Share of the series that were called complete before they were."""
        return self.n_wrong / self.n_series

    @property
    def median_wait_s(self) -> float:
        """Median of the added wait [s]."""
        return float(np.median(self.added_wait_s))


def steady(n: int, chance: Chance) -> Times:
    """Pauses of an export at 5 to 100 slices a second, each a little longer or shorter."""
    per_s = np.exp(chance.uniform(np.log(5), np.log(100)))
    pauses_s: Times = chance.gamma(8, 1 / 8, n) / per_s
    return pauses_s


def bursty(n: int, chance: Chance) -> Times:
    """Pauses of an export that sends some slices at once, then reconstructs for a while."""
    pauses_s = chance.gamma(4, 0.003, n)
    size = int(chance.integers(4, 17))
    gap_s = min(chance.uniform(0.5, 2.0), LONGEST_EXPORT_S * size / n)
    pauses_s[::size] = gap_s * chance.uniform(0.8, 1.2, len(pauses_s[::size]))
    return pauses_s


def paused(n: int, chance: Chance) -> Times:
    """Pauses of a steady export that stands still once, in its middle half."""
    pauses_s = steady(n, chance)
    pauses_s[int(chance.uniform(0.25, 0.75) * n)] = PAUSE_S
    return pauses_s


def interleaved(n: int, chance: Chance) -> Times:
    """Pauses of one of two reconstructions that are exported in turns of one or some slices."""
    turn = int(chance.integers(1, 9))
    own, other = steady(n, chance), steady(n, chance)
    pauses_s = own.copy()
    for first in range(0, n, turn):
        pauses_s[first] += other[first : first + turn].sum()
    return pauses_s


RHYTHMS: Final[dict[str, Callable[[int, Chance], Times]]] = {
    "steady": steady,
    "bursty": bursty,
    "3 s pause in the middle": paused,
    "two reconstructions in turn": interleaved,
}


def scan(rhythm: str, chance: Chance, *, counted: bool) -> Scan:
    """Draw a head: thick or thin slices, exported upwards or downwards, numbered either way."""
    spacing_mm = float(chance.choice([0.625, 1.25, 2.5, 5.0]))
    covered_mm = chance.uniform(135.0, 175.0)
    heights_mm = np.arange(0.0, covered_mm, spacing_mm)
    n = len(heights_mm)
    numbers = np.arange(1, n + 1)[:: 1 if chance.random() < 0.5 else -1]  # noqa: PLR2004
    if chance.random() < 0.5:  # noqa: PLR2004 - either way is as common
        heights_mm = heights_mm[::-1]
    seen_s = np.cumsum(RHYTHMS[rhythm](n, chance))
    seen_s = np.ceil(seen_s / SEEN_EVERY_S) * SEEN_EVERY_S
    return Scan(heights_mm, tuple(numbers.tolist()), seen_s, n if counted else 0)


def facts_after(scan: Scan, n: int) -> SeriesFacts:
    """Say what the first ``n`` slices amount to, as ``GrowingSeries`` would."""
    heights_mm = scan.heights_mm[:n]
    top_mm = float(scan.heights_mm.max())
    return SeriesFacts(
        n_slices=n,
        n_images=n,
        n_unread=0,
        expected_images=scan.promised,
        hinted_images=0,
        touching=False,
        multi_frame=False,
        coverage_mm=float(np.ptp(heights_mm)),
        gaps=(),
        end_seen=bool(heights_mm[-1] > top_mm - VERTEX_MM and heights_mm[-1] > heights_mm[0])
        or (scan.numbers[n - 1] == 1 and scan.numbers[0] > 1),
    )


Rule: TypeAlias = Callable[[Scan, int, float], bool]
"""Whether a series of which ``n`` slices have come is called complete at a moment [s]."""


def chosen_rules(profile: ProtocolProfile) -> Rule:
    """Give the agent's own."""

    def complete(scan: Scan, n: int, now_s: float) -> bool:
        return judge(facts_after(scan, n), scan.seen_s[:n].tolist(), now_s, profile) is not None

    return complete


def fixed_wait(wait_s: float) -> Rule:
    """Give the rule that a series is complete once nothing has come for so long [s]."""
    return lambda scan, n, now_s: bool(now_s - scan.seen_s[n - 1] >= wait_s)


def run(
    profile: ProtocolProfile, n_series: int, seed: int, told: Callable[[], object]
) -> tuple[RhythmRow, ...]:
    """Export ``n_series`` of every rhythm, with and without a count; ``told`` after each rhythm."""
    rules = {"chosen rules": chosen_rules(profile)}
    rules |= {f"{wait_s:g} s fixed": fixed_wait(wait_s) for wait_s in FIXED_WAITS_S}
    rows: list[RhythmRow] = []
    for rhythm in RHYTHMS:
        for counted in (True, False):
            chance = np.random.default_rng([seed, counted, len(rows)])
            scans = [scan(rhythm, chance, counted=counted) for _ in range(n_series)]
            for name, rule in rules.items():
                n_wrong = sum(is_early(each, rule) for each in scans)
                waits_s = tuple(added_wait_s(each, rule) for each in scans)
                rows.append(RhythmRow(rhythm, counted, name, n_series, n_wrong, waits_s))
            told()
    return tuple(rows)


def is_early(scan: Scan, rule: Rule) -> bool:
    """Tell whether a rule calls a series complete before its last slice has been seen."""
    pauses_s = np.diff(scan.seen_s)
    return any(
        rule(scan, int(n) + 1, float(scan.seen_s[n + 1]) - SEEN_EVERY_S / 2)
        for n in np.flatnonzero(pauses_s > SHORTEST_PAUSE_S)
    )


def added_wait_s(scan: Scan, rule: Rule) -> float:
    """How long after the last slice the rule calls a series complete [s], to one look."""
    n, last_s = len(scan.seen_s), float(scan.seen_s[-1])
    low, high = 0, round(max(FIXED_WAITS_S) * 2 / SEEN_EVERY_S)
    while low < high:
        middle = (low + high) // 2
        if rule(scan, n, last_s + middle * SEEN_EVERY_S):
            high = middle
        else:
            low = middle + 1
    return low * SEEN_EVERY_S
