"""Is a series complete? Decided by evidence, cheapest first. Pure: time comes in as numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from agent.assemble.protocol import ProtocolProfile
from agent.assemble.series import SeriesFacts

PAUSES: Final = 4.0
"""Silence of this many usual pauses between files ends an export. Ours."""

BURSTS: Final = 1.5
"""And of this many times the longest pause that may come again, for bursty exports. Ours."""


LEAST_SILENCE_S: Final = 0.25
"""No rhythm is trusted to less silence than this [s]. Ours: several of a busy disk's hiccups."""

PATIENCE: Final = 2.0
"""Where slices are known to be missing the quiet period is this many times longer. Ours."""

Rule = Literal["count", "multi_frame", "geometry", "quiet", "deadline", "end_of_folder"]
"""``judge`` finds all but ``end_of_folder``, which is known where a folder is read once."""


@dataclass(frozen=True, slots=True)
class Completion:
    """Which rule found the series complete, and on what evidence."""

    rule: Rule
    detail: str


def judge(
    facts: SeriesFacts, seen_s: Sequence[float], now_s: float, profile: ProtocolProfile
) -> Completion | None:
    """Decide whether a series is complete.

    Parameters
    ----------
    facts
        What the slices so far amount to.
    seen_s
        When each of its files was seen, monotonic, in order of arrival [s].
    now_s
        The same clock, now.

    Returns
    -------
    The first rule that holds, or None to go on waiting.
    """
    silence_s = now_s - max(seen_s, default=now_s)
    waited_s = now_s - min(seen_s, default=now_s)
    counted = _by_count(facts)
    if counted:
        return counted
    missing = bool(
        facts.gaps
        or facts.shortfall
        or facts.n_unread
        or facts.n_images < facts.performed_images  # never a proof that all came: waited for alone
    )
    if not missing and _covers_head(facts, profile):
        enough_s = silence_needed_s(seen_s, profile)
        if silence_s >= enough_s:
            detail = f"{facts.coverage_mm:.0f} mm of head to its end, {silence_s:.2f} s of silence"
            return Completion("geometry", detail)
    if silence_s >= profile.quiet_s * (PATIENCE if missing else 1.0):
        return Completion("quiet", f"nothing new for {silence_s:.1f} s")
    if waited_s >= profile.deadline_s:
        return Completion("deadline", f"{waited_s:.0f} s since the first slice")
    return None


def _by_count(facts: SeriesFacts) -> Completion | None:
    promised = facts.expected_images or facts.hinted_images
    if not 0 < promised <= facts.n_images:
        return None
    if facts.multi_frame:
        return Completion("multi_frame", f"{facts.n_slices} frames of a multi-frame image")
    if facts.gaps:
        return None
    return Completion("count", f"{facts.n_images} of {promised} images")


def _covers_head(facts: SeriesFacts, profile: ProtocolProfile) -> bool:
    return (
        facts.end_seen
        and facts.n_slices >= profile.min_slices
        and facts.coverage_mm >= profile.min_coverage_mm
    )


def silence_needed_s(seen_s: Sequence[float], profile: ProtocolProfile) -> float:
    """How long nothing must come before an export that keeps this rhythm has ended [s]."""
    pauses_s = np.diff(np.sort(np.asarray(seen_s, np.float64)))
    if not pauses_s.size:
        return profile.quiet_s
    usual_s = float(np.median(pauses_s))
    needed_s = max(LEAST_SILENCE_S, PAUSES * usual_s, BURSTS * _recurring_s(pauses_s))
    return min(needed_s, profile.quiet_s)


def _recurring_s(pauses_s: NDArray[np.float64]) -> float:
    """Longest pause that may be about to come again [s].

    One that came twice is part of the rhythm. One that came once is taken for a stall, until as
    many files have come after it as before: then it may have been the pause between two bursts.
    """
    before = int(pauses_s.argmax()) + 1
    came_again = len(pauses_s) + 1 - before >= before
    return float(pauses_s.max() if came_again or len(pauses_s) == 1 else np.sort(pauses_s)[-2])
