"""Findings to one of three answers. Pure."""

from __future__ import annotations

from typing import Final

from agent.reasons import Reason
from agent.records import (
    MASS_EFFECT_MM,
    Assessment,
    Evidence,
    Measurement,
    NotAnalysed,
    NotSuspected,
    OperatingPoint,
    Suspected,
)

CLEAR_SHARE: Final = 0.9
"""Below this share of the threshold a score is clear of it: a slice or two beyond an end of the
stack would hardly have lifted it so far. Cuts of real heads that count as whole lowered one
suspicion below the threshold, by 0.08 to 0.98 of it."""


def decide(
    score: float, measured: Measurement, point: OperatingPoint, evidence: Evidence
) -> Assessment:
    """Say whether a bleed is suspected, by the study score alone, where the head was seen.

    The only place that says *not suspected*, and only of a whole, plausible head of which every
    file was read: a missing slice may be the one that shows the bleed. A bleed that is seen is told
    even from a part of a head, with the caveat. Of what is no head in HU, no score means anything.
    A midline that is shifted though no bleed is suspected is told: something shifts it.

    Parameters
    ----------
    score : float
        The volume stage's study score, 0…1.
    measured : Measurement
        What was measured; a suspicion without a measured bleed says so.
    point : OperatingPoint
        Suspected at or above ``point.score``.
    evidence : Evidence
        How much of a head the score is of.
    """
    if evidence.faults:
        return implausible(evidence.faults)
    missing = evidence.missing
    if score >= point.score:
        caveats = tuple(Reason("volume_uncertain", because=one) for one in missing)
        if not measured.findings:
            caveats += (Reason("no_outline"),)
        return Suspected(score, point, caveats + evidence.remarks)
    if not missing and score >= CLEAR_SHARE * point.score:
        missing = evidence.unsure
    if missing:
        return NotAnalysed(Reason("not_seen_whole", missing=missing))
    shift_mm = measured.midline_shift_mm or 0.0
    shifted = (Reason("midline_shifted", shift_mm=shift_mm),) if shift_mm >= MASS_EFFECT_MM else ()
    return NotSuspected(score, point, shifted + evidence.remarks)


def implausible(faults: tuple[Reason, ...]) -> NotAnalysed:
    """Say of a stack, before any network runs, that it is no head in HU."""
    return NotAnalysed(Reason("implausible", faults=faults))
