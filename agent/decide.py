"""Findings to one of three answers. Pure."""

from __future__ import annotations

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
    shortfall: str | None,
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
    shortfall : str or None
        What else of the head was not seen, in words; None if it was seen whole.
    """
    missing = tuple(str(gap) for gap in gaps) + ((shortfall,) if shortfall else ())
    if score >= point.score:
        caveats = tuple(f"{what}: the volume is uncertain" for what in missing)
        if not measured.findings:
            caveats += ("no outline could be drawn: look at the whole series",)
        return Suspected(score, point, caveats)
    if missing:
        return NotAnalysed(
            code="incomplete",
            reason=f"nothing suspected in the slices received, but {'; '.join(missing)}",
            what_to_do="send the whole series again, or read it without Bleedwatch",
        )
    return NotSuspected(score, point)
