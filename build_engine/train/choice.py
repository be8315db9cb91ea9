"""How trained networks are to be read, chosen on the validation heads."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from agent.infer.contract import Contract
from agent.measure import ON_THE_DURA
from agent.records import SUREST, Certainty, OperatingPoint, VolumeInterval
from build_engine.judge.evaluate import Found, StudyResult
from build_engine.judge.tables import MEASURED_FROM_ML

CUTS: Final = (0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5)
"""Bleed probabilities at which a mask could be cut."""

SMALLEST_END: Final = 0.15
"""Neither end of an interval is nearer to the volume than this share of it: heads at a site differ
from those that it is chosen on by more than these among themselves. Ours: the aim of the design."""

ABSOLUTES_ML: Final = (1.0, 2.0, 3.0)
"""Parts of an interval that do not grow with the volume; the one that makes it narrowest is taken
[mL]. Ours."""

AS_NOTHING_ML: Final = 0.5
"""A lower end below this is as good as nothing: widths are compared as if it were this. Ours."""

EVEN_ODDS: Final = 0.5
"""Study score at which a bleed is as likely as not."""

TOLD_APART: Final = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9)
"""Shares from which subdural and epidural could be told apart."""

KIND_RIGHT: Final = 0.9
INTERVAL_SHARE: Final = 0.9
FALSE_SHARE: Final = 0.01
MISSED_SHARE: Final = 0.03

BALANCED: Final = "balanced"


def chosen(contract: Contract, results: list[StudyResult]) -> Contract:
    """Set cut, volume interval and operating points by results at each of ``CUTS``."""
    cut = best_cut(results)
    alerted = [one for one in results if one.score >= EVEN_ODDS and one.at_cuts]
    measured = [
        replace(result, found_ml=at.found_ml, doubt=at.doubt, found=at.found, findings=at.findings)
        for result, at in ((one, one.at_cuts[CUTS.index(cut)]) for one in alerted)
    ]
    return replace(
        contract,
        reading=replace(contract.reading, bleed_probability=cut),
        interval=interval_of(measured, INTERVAL_SHARE),
        certainty=certainty_of([found for one in measured for found in one.findings]),
        operating_points=operating_points(results),
    )


def operating_points(results: list[StudyResult]) -> tuple[OperatingPoint, ...]:
    """Choose three points, from the study scores of the validation heads.

    *balanced* is even odds: the score is calibrated on these heads (``fit_study_score``), and the
    best of a few dozen scores would fit the threshold to single heads. *specific* lets 1 % of the
    heads without a bleed pass, *sensitive* misses 3 % of the bleeds. How many false alerts to
    expect is not told by heads that chose: most are generated, and the score was fitted to them.
    """
    clear = np.array([result.score for result in results if not result.bleeds])
    bleeding = np.array([result.score for result in results if result.bleeds])
    scores = {
        BALANCED: EVEN_ODDS,
        "specific": max(EVEN_ODDS, float(np.quantile(clear, 1 - FALSE_SHARE))),
        "sensitive": min(EVEN_ODDS, float(np.quantile(bleeding, MISSED_SHARE))),
    }
    return tuple(
        OperatingPoint(name, min(max(round(score, 3), 0.001), 0.999))
        for name, score in scores.items()
    )


def interval_of(results: list[StudyResult], share: float) -> VolumeInterval:
    """Find the interval, narrowest for these heads, that holds ``share`` of a next head's truth.

    Of n heads it holds (n + 1) · share, as conformal prediction asks: Vovk et al. 2005. From
    nothing to twice the volume where no bleed was found, or no growth with doubt holds so many.
    """
    measured = [result for result in results if result.found and result.true_ml and result.found_ml]
    held = min(len(measured), math.ceil((len(measured) + 1) * share))
    intervals = chain.from_iterable(
        _that_hold(held, measured, absolute_ml) for absolute_ml in ABSOLUTES_ML
    )
    widest = VolumeInterval(1.0, 1.0, 0.0, 0.0, ABSOLUTES_ML[0])
    return min(intervals, key=partial(_width, results=measured), default=widest)


def _that_hold(
    held: int, results: list[StudyResult], absolute_ml: float
) -> Iterator[VolumeInterval]:
    """Give the interval of every lower end that leaves ``held`` heads to choose the upper by."""
    if not results:
        return
    found_ml, doubt = np.array([(result.found_ml, result.doubt) for result in results]).T
    over_ml = found_ml - np.array([result.true_ml or 0.0 for result in results])
    surely_ml = SMALLEST_END * found_ml + absolute_ml
    below, above = (_growth(out_ml - surely_ml, found_ml, doubt) for out_ml in (over_ml, -over_ml))
    for low in np.unique(below[np.isfinite(below)]).tolist():
        if np.count_nonzero(below <= low) >= held:
            high = float(np.sort(above[below <= low])[held - 1])
            if math.isfinite(high):
                ends = _rounded_up(low), _rounded_up(high)
                yield VolumeInterval(SMALLEST_END, SMALLEST_END, *ends, absolute_ml)


def _growth(
    lacking_ml: NDArray[np.float64], found_ml: NDArray[np.float64], doubt: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Growth with doubt that each end needs; infinite where it is wrong without any doubt."""
    missing = np.maximum(lacking_ml, 0.0) / found_ml
    growth = np.full(len(missing), np.inf)
    np.divide(missing, doubt**2, out=growth, where=doubt > 0)
    return np.where(missing > 0, growth, 0.0)


def _width(interval: VolumeInterval, results: list[StudyResult]) -> float:
    """Ratio of the interval's ends, as the mean of its logarithm over heads."""
    ends_ml = [interval.of(result.found_ml, result.doubt) for result in results]
    return float(np.mean([math.log(high / max(low, AS_NOTHING_ML)) for low, high in ends_ml]))


def _rounded_up(share: float) -> float:
    return math.ceil(share * 100) / 100


def certainty_of(findings: list[Found]) -> Certainty:
    """Fit how sure findings are told to be, to those that would be told of the validation heads.

    By Platt's targets, which keep the fit finite where bleeds and others part cleanly. What is on
    the dura is named from the least share on at which ``KIND_RIGHT`` of what is named so is that,
    counting one next finding as wrong; where there is no such share, from the largest tried.
    """
    bleeds = np.array([one.is_bleed for one in findings])
    told_apart = _told_apart([one for one in findings if one.finding.subtype in ON_THE_DURA])
    if not bleeds.any() or bleeds.all():
        return Certainty(told_apart=told_apart)
    means = np.array([one.finding.mean_probability for one in findings]).clip(SUREST, 1 - SUREST)
    logits = np.log(means / (1 - means))
    n = np.count_nonzero(bleeds)
    targets = np.where(bleeds, (n + 1) / (n + 2), 1 / (len(bleeds) - n + 2))

    def loss(line: NDArray[np.float64]) -> float:
        told = line[0] + line[1] * logits
        return float(np.sum(np.logaddexp(0.0, told) - targets * told))

    intercept, slope = minimize(loss, (0.0, 1.0), bounds=((None, None), (0.01, None))).x
    return Certainty(round(float(intercept), 2), round(float(slope), 2), told_apart)


def _told_apart(findings: list[Found]) -> float:
    for share in TOLD_APART:
        named = [one for one in findings if Certainty(told_apart=share).is_told_apart(one.finding)]
        right = sum(one.finding.subtype is one.kind for one in named)
        if right >= KIND_RIGHT * (len(named) + 1):
            return share
    return TOLD_APART[-1]


def best_cut(results: list[StudyResult]) -> float:
    """Cut at which volumes are least wrong, in the median: those that matter, if there are any.

    What is right for small bleeds, seen in part, would overstate the large ones.
    """
    outlined = [result for result in results if result.true_ml]
    large = [result for result in outlined if (result.true_ml or 0.0) >= MEASURED_FROM_ML]
    measured = large or outlined
    true_ml = np.array([result.true_ml or 0.0 for result in measured])
    found_ml = np.array([[at.found_ml for at in result.at_cuts] for result in measured])
    errors = np.median(np.abs(found_ml / true_ml[:, None] - 1), axis=0)
    return CUTS[int(errors.argmin())]
