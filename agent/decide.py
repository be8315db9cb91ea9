"""Findings to one of three answers. Pure."""

from __future__ import annotations

from agent.reasons import Reason
from agent.records import (
    Assessment,
    Gap,
    Measurement,
    NotAnalysed,
    NotSuspected,
    OperatingPoint,
    Suspected,
)


def decide(
    score: float,
    measured: Measurement,
    point: OperatingPoint,
    *,
    gaps: tuple[Gap, ...],
    shortfall: Reason | None,
) -> Assessment:
    """Say whether a bleed is suspected, by the study score alone.

    A bleed that is seen is told even from an incomplete head, with the caveat. The absence of one
    is told only of a head that was seen whole: a missing slice may be the one that shows it.

    Parameters
    ----------
    score : float
        The volume stage's study score, 0…1.
    measured : Measurement
        What was measured; a suspicion without a measured bleed says so.
    point : OperatingPoint
        Suspected at or above ``point.score``.
    gaps : tuple of Gap
        Where slices are missing within the head.
    shortfall : Reason or None
        What else of the head was not seen; None if it was seen whole.
    """
    missing = tuple(gap.reason for gap in gaps) + ((shortfall,) if shortfall else ())
    if score >= point.score:
        caveats = tuple(Reason("volume_uncertain", because=one) for one in missing)
        if not measured.findings:
            caveats += (Reason("no_outline"),)
        return Suspected(score, point, caveats)
    if missing:
        return NotAnalysed(Reason("not_seen_whole", missing=missing))
    return NotSuspected(score, point)
