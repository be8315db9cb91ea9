"""Figures of a training run and of an evaluation, as PNG."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from build_engine.judge.evaluate import StudyResult
from build_engine.judge.tables import Judgement

CALIBRATION_BINS: Final = 8
MOST_FAILURES: Final = 24

SMOOTHED_OVER: Final = 25
"""Reports over which a curve is averaged."""


def draw_curves(curves: dict[str, list[tuple[int, float]]], path: Path) -> None:
    """Draw each network's loss over its steps; none was taken by one that is left as it was."""
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    for place, (name, curve) in zip(
        figure.subplots(1, len(curves), squeeze=False)[0], curves.items(), strict=True
    ):
        place.set(title=name, xlabel="step", ylabel="loss")
        if not curve:
            continue
        steps, losses = np.array(curve).T
        place.plot(steps, losses, color="0.8", linewidth=0.7)
        window = min(SMOOTHED_OVER, len(losses))
        smooth = np.convolve(losses, np.ones(window) / window, mode="valid")
        place.plot(steps[window - 1 :], smooth)
        place.set_yscale("log")
    figure.savefig(path, dpi=120)


def draw_evaluation(results: list[StudyResult], judgement: Judgement, path: Path) -> None:
    """Draw the ROC curve, volumes after Bland and Altman, and calibration."""
    figure = Figure(figsize=(12, 3.8), layout="constrained")
    roc, volumes, calibration = figure.subplots(1, 3)
    _draw_roc(roc, results, judgement)
    _draw_volumes(volumes, results, judgement)
    _draw_calibration(calibration, results)
    figure.savefig(path, dpi=120)


def _draw_roc(place: Axes, results: list[StudyResult], judgement: Judgement) -> None:
    scores = np.array([result.score for result in results])
    bleeds = np.array([result.bleeds for result in results])
    cuts = np.unique([0.0, *scores, 1.01])[:, None]
    hits = (scores[bleeds] >= cuts).mean(axis=1) if bleeds.any() else np.zeros(len(cuts))
    alarms = (scores[~bleeds] >= cuts).mean(axis=1) if (~bleeds).any() else np.zeros(len(cuts))
    place.step(alarms, hits, where="post")
    at = int(np.searchsorted(cuts[:, 0], judgement.score))
    place.plot(alarms[at], hits[at], "o", label=f"score ≥ {judgement.score:g}")
    place.set(title="ROC", xlabel="1 - specificity", ylabel="sensitivity", xlim=(-0.02, 1.02))
    place.legend(loc="lower right")


def _draw_volumes(place: Axes, results: list[StudyResult], judgement: Judgement) -> None:
    pairs = [(r.true_ml, r.found_ml) for r in results if r.true_ml and r.score >= judgement.score]
    true_ml, found_ml = np.array(pairs, dtype=np.float64).reshape(-1, 2).T
    place.plot((true_ml + found_ml) / 2, found_ml - true_ml, ".")
    place.axhline(0.0, color="0.7")
    place.set(title="Volumes", xlabel="mean of truth and found, mL", ylabel="found - truth, mL")


def _draw_calibration(place: Axes, results: list[StudyResult]) -> None:
    scores = np.array([result.score for result in results])
    bleeds = np.array([result.bleeds for result in results])
    place.plot([0, 1], [0, 1], color="0.7")
    bins = np.minimum((scores * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    filled = np.unique(bins)
    means = [scores[bins == n].mean() for n in filled]
    place.plot(means, [bleeds[bins == n].mean() for n in filled], "o-")
    place.set(title="Calibration", xlabel="score", ylabel="share that bleeds")


def draw_failures(results: list[StudyResult], judgement: Judgement, path: Path) -> None:
    """Show the missed bleeds and the false alarms, the worst first: truth green, found red."""
    wrong = [r for r in results if (r.score >= judgement.score) is not r.bleeds]
    wrong.sort(key=lambda r: -abs(r.score - judgement.score))
    columns = 6
    rows = max(1, -(-min(len(wrong), MOST_FAILURES) // columns))
    figure = Figure(figsize=(2.2 * columns, 2.5 * rows), layout="constrained")
    places = figure.subplots(rows, columns, squeeze=False).ravel()
    for place in places:
        place.set_axis_off()
    for place, result in zip(places, wrong, strict=False):
        place.imshow(result.picture)
        what = "false alarm"
        if result.known.bleed is not None:
            volume = "" if result.true_ml is None else f" {result.true_ml:.1f} mL"
            what = f"missed {result.known.bleed.word}{volume}"
        look_alike = result.known.look_alike
        place.set_title(
            f"{what}\n{result.known.protocol}, {result.score:.2f}"
            + (f"\n{look_alike.value}" if look_alike else ""),
            fontsize=7,
        )
    if not wrong:
        figure.text(0.5, 0.5, "No bleed was missed, and nothing was taken for one.", ha="center")
    figure.savefig(path, dpi=120, bbox_inches="tight")  # titles stand out of a single row
