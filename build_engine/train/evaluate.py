"""What a bundle is worth: run as at a site, on generated heads and on real patients held out."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, stats

from agent.infer.backend import Backend
from agent.infer.bundle import Bundle
from agent.infer.slice_stage import SliceStage
from agent.infer.volume_stage import label_head
from agent.records import HeadVolume, LabelMask, Subtype
from build_engine.synth.head import HeadRecipe, SynthHead, make_head
from build_engine.train.data import grid_of, phe_boxes, phe_head, random_recipe

FIRST_TEST_SEED: Final = 20_001
"""Generated heads from here on are neither trained on nor used to choose a threshold."""

FEWEST_SLICES: Final = 6
"""Fewer slices than this are no head."""

SURE_AT: Final = 3
"""A slice's score is its third-highest probability after averaging: one speck is no bleed."""


@dataclass(frozen=True, slots=True)
class StudyResult:
    """One head: what there was, and what was found. Volumes in mL; ``dice`` of any bleed.

    ``slice_scores`` and ``slice_boxed`` (k,) and ``boxes_hit``/``boxes`` are filled for real heads.
    """

    name: str
    bleed: Subtype | None
    score: float
    true_ml: float
    found_ml: float
    dice: float
    seconds: float
    slice_scores: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    slice_boxed: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, dtype=bool))
    boxes_hit: int = 0
    boxes: int = 0


@dataclass(frozen=True, slots=True)
class Rate:
    """So many of so many."""

    hits: int
    of: int

    def __str__(self) -> str:
        """Read as ``0.93 (14/15)``."""
        return f"{self.hits / self.of:.2f} ({self.hits}/{self.of})" if self.of else "none"


def run_head(head: HeadVolume, bundle: Bundle, backend: Backend) -> tuple[LabelMask, float]:
    """Both stages over one head, and the seconds they took."""
    started_s = time.perf_counter()
    slices = SliceStage(bundle).finish(head, backend)
    mask = label_head(head, slices, bundle, backend)
    return mask, time.perf_counter() - started_s


def generated_results(
    seeds: Iterable[int], bundle: Bundle, backend: Backend
) -> Iterator[StudyResult]:
    """Run the bundle over generated heads, made meanwhile by other processes."""
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        for recipe, synth in pool.map(_made, seeds):
            grid = grid_of(synth)
            names = tuple(f"{recipe.seed}.{k}" for k in range(len(synth.hu)))
            mask, seconds = run_head(HeadVolume(synth.hu, grid, names, ()), bundle, backend)
            truth, found = synth.subtypes > 0, mask.subtypes > 0
            voxel_ml = float(grid.voxels_ml[0])
            total = int(truth.sum()) + int(found.sum())
            yield StudyResult(
                name=f"generated-{recipe.seed}",
                bleed=recipe.bleed,
                score=mask.score,
                true_ml=int(truth.sum()) * voxel_ml,
                found_ml=int(found.sum()) * voxel_ml,
                dice=2 * int((truth & found).sum()) / total if total else 1.0,
                seconds=seconds,
            )


def _made(seed: int) -> tuple[HeadRecipe, SynthHead]:
    recipe, spacing_kji_mm = random_recipe(seed)
    return recipe, make_head(recipe, spacing_kji_mm)


def real_results(
    folder: Path, patients: Iterable[str], bundle: Bundle, backend: Backend
) -> Iterator[StudyResult]:
    """Run the bundle over PHE-SICH-CT-IDS patients, each of whom bleeds."""
    for patient in patients:
        head, boxes = phe_head(folder, patient), phe_boxes(folder, patient)
        mask, seconds = run_head(head, bundle, backend)
        smooth = ndimage.uniform_filter(mask.probability.astype(np.float32), (0, 9, 9)) / 255
        flat = np.sort(smooth.reshape(len(smooth), -1), axis=1)
        hits = sum(
            bool(mask.subtypes[k, row0 : row1 + 1, column0 : column1 + 1].any())
            for k, slice_boxes in boxes.items()
            for column0, row0, column1, row1 in slice_boxes
        )
        yield StudyResult(
            name=f"phe-{patient}",
            bleed=Subtype.INTRAPARENCHYMAL,
            score=mask.score,
            true_ml=float("nan"),
            found_ml=float((mask.subtypes > 0).sum(axis=(1, 2)) @ head.grid.voxels_ml),
            dice=float("nan"),
            seconds=seconds,
            slice_scores=flat[:, -SURE_AT].astype(np.float64),
            slice_boxed=np.array([k in boxes for k in range(len(smooth))]),
            boxes_hit=hits,
            boxes=sum(len(slice_boxes) for slice_boxes in boxes.values()),
        )


def real_negative_results(
    folder: Path, patients: Iterable[str], bundle: Bundle, backend: Backend
) -> Iterator[StudyResult]:
    """Run the bundle over the part of each patient that no annotator boxed."""
    for patient in patients:
        head = box_free_part(phe_head(folder, patient), phe_boxes(folder, patient))
        if head is None:
            continue
        mask, seconds = run_head(head, bundle, backend)
        found_ml = float((mask.subtypes > 0).sum(axis=(1, 2)) @ head.grid.voxels_ml)
        yield StudyResult(
            name=f"phe-{patient}-box-free",
            bleed=None,
            score=mask.score,
            true_ml=0.0,
            found_ml=found_ml,
            dice=float("nan"),
            seconds=seconds,
        )


def box_free_part(head: HeadVolume, boxes: dict[int, list[list[int]]]) -> HeadVolume | None:
    """Keep the larger of what lies above and below the boxed slices; None if that is little.

    Two slices beside a box go too: a bleed's last, faint slice is often not boxed.
    """
    below, above = slice(0, max(min(boxes) - 2, 0)), slice(max(boxes) + 3, len(head.hu))
    kept = max((below, above), key=lambda part: len(head.hu[part]))
    if len(head.hu[kept]) < FEWEST_SLICES:
        return None
    grid = replace(head.grid, origins_lps_mm=head.grid.origins_lps_mm[kept])
    return HeadVolume(head.hu[kept], grid, head.sop_uids[kept], ())


def area_under_roc(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> float | None:
    """Chance that a positive scores above a negative, ties counting half; None without both."""
    n_positive, n_negative = int(positive.sum()), int((~positive).sum())
    if not n_positive or not n_negative:
        return None
    ranks = stats.rankdata(scores)[positive].sum()
    return float((ranks - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative))


def summary(results: list[StudyResult], threshold: float) -> dict[str, str]:
    """Tell what a model card says of a set of heads, at a study score of ``threshold``."""
    bleeding = [result for result in results if result.bleed is not None]
    clear = [result for result in results if result.bleed is None]
    rows = {"sensitivity": str(_rate(bleeding, threshold))}
    if clear:
        missed = _rate(clear, threshold)
        rows["specificity"] = str(Rate(missed.of - missed.hits, missed.of))
        scores = np.array([result.score for result in results])
        auc = area_under_roc(scores, np.array([result.bleed is not None for result in results]))
        rows["ROC-AUC of the study score"] = f"{auc:.3f}"
    outlined = [result for result in bleeding if np.isfinite(result.dice)]
    if outlined:
        for subtype in Subtype:
            of_type = [result for result in outlined if result.bleed is subtype]
            rows[f"sensitivity, {subtype.name.lower()}"] = str(_rate(of_type, threshold))
        rows["Dice, median"] = f"{np.median([result.dice for result in outlined]):.2f}"
        errors = [result.found_ml / result.true_ml - 1 for result in outlined if result.true_ml]
        rows["volume error, median"] = f"{np.median(errors):+.0%}"
        rows["volume error, median of its size"] = f"{np.median(np.abs(errors)):.0%}"
    rows.update(_slice_rows(results))
    rows["seconds per head"] = f"{np.mean([result.seconds for result in results]):.1f}"
    return rows


def _slice_rows(results: list[StudyResult]) -> dict[str, str]:
    scores = np.concatenate([result.slice_scores for result in results])
    boxed = np.concatenate([result.slice_boxed for result in results])
    auc = area_under_roc(scores, boxed)
    if auc is None:
        return {}
    boxes = Rate(sum(r.boxes_hit for r in results), sum(r.boxes for r in results))
    return {"ROC-AUC of slices, box or none": f"{auc:.3f}", "boxes hit": str(boxes)}


def _rate(results: list[StudyResult], threshold: float) -> Rate:
    return Rate(sum(result.score >= threshold for result in results), len(results))
