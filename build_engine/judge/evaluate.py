"""What a bundle makes of heads whose truth is known, run as at a site."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from agent.errors import BadOutputError
from agent.infer.backend import Backend
from agent.infer.contract import Contract
from agent.infer.slice_stage import SliceStage
from agent.infer.volume_stage import label_head
from agent.measure import measure, numbered
from agent.records import Finding, Measurement, Region, Side, Subtype, VolumeInterval
from agent.voxels import Grid, HeadVolume, LabelMask, Regions
from build_engine.heads.fields import UNSURE, Bytes
from build_engine.heads.known import KnownHead

SURE_AT: Final = 3
"""A slice's score is the third-highest of its averaged probabilities: one speck is no bleed."""

AVERAGED_PX: Final = 9
"""Side of the square over which a slice's probabilities are averaged before [scanner's pixels]."""

PICTURE_PX: Final = 240

ANY: Final = VolumeInterval(0.0, 0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Place:
    """The largest bleed of a head: what it is and where."""

    subtype: Subtype
    side: Side | None
    region: Region | None


@dataclass(frozen=True, slots=True)
class Found:
    """A finding, and what is known of it.

    It ``is_bleed`` where any blood was outlined in it, or where readers saw a bleed in the slice
    that shows most of it. ``kind`` is what it is mostly of, None where that is not known.
    """

    finding: Finding
    is_bleed: bool
    kind: Subtype | None


@dataclass(frozen=True, slots=True)
class AtCut:
    """What is found where a voxel counts as bleed from a given probability on: mL and findings.

    ``doubt`` is 1 less the mean probability of the bleed's voxels, ``found`` the largest finding.
    """

    found_ml: float
    doubt: float
    found: Place | None
    findings: tuple[Found, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class SliceRow:
    """A real head slice by slice: scores (k,), whether an annotator saw a bleed (k,), boxes hit."""

    scores: NDArray[np.float64]
    bleeding: NDArray[np.bool_]
    boxes_hit: int
    boxes: int
    false_ml: float


@dataclass(frozen=True, slots=True, eq=False)
class StudyResult:
    """One head: what there was, and what was found. Volumes in mL; ``dice`` of any bleed.

    ``true_ml``, ``dice`` and ``truth`` are None where nobody outlined the bleed. ``at_cuts`` is for
    whoever chooses among ``CUTS``. ``doubt`` is as in ``AtCut``. ``picture`` (row, column, 3) is
    the slice that tells most.
    """

    known: KnownHead
    score: float
    found_ml: float
    doubt: float
    true_ml: float | None
    dice: float | None
    truth: Place | None
    found: Place | None
    found_shift_mm: float | None
    seconds: float
    picture: NDArray[np.uint8]
    slices: SliceRow | None = None
    findings: tuple[Found, ...] = ()
    at_cuts: tuple[AtCut, ...] = ()

    @property
    def bleeds(self) -> bool:
        """Whether there is a bleed."""
        return self.known.bleed is not None


def results(
    heads: Iterable[KnownHead], contract: Contract, backend: Backend, cuts: Sequence[float] = ()
) -> Iterator[StudyResult]:
    """Run networks over known heads; none of ``cuts`` may be below their contract's own.

    Slices are ranked by the networks' probabilities as they are, not by the mask after that cut.
    """
    for known in heads:
        started_s = time.perf_counter()
        slices = SliceStage(contract).finish(known.head, backend)
        mask = label_head(known.head, slices, contract, backend).of_slices(known.head.grid)
        seconds = time.perf_counter() - started_s
        if known.bleeding_slices is not None:
            seen = label_head(known.head, slices, contract.uncut, backend)
            seen = seen.of_slices(known.head.grid)
            mask = replace(mask, probability=seen.probability)
        result = judged(known, mask, seconds)
        yield replace(result, at_cuts=tuple(at_cut(known, mask, cut) for cut in cuts))


def judged(known: KnownHead, mask: LabelMask, seconds: float) -> StudyResult:
    """Compare what was found with what is known.

    A head with more blood than a skull holds is not analysed at a site; here it counts as not
    suspected, and as without findings.
    """
    measured = _measured(mask, known.head if known.midline_shift_mm is not None else None)
    return StudyResult(
        known=known,
        score=mask.score if measured else 0.0,
        found_ml=_ml(mask.subtypes > 0, mask.grid),
        doubt=_doubt(mask.subtypes > 0, mask),
        true_ml=_true_ml(known),
        dice=_dice(known.subtypes, mask.subtypes),
        truth=_truth(known),
        found=_place(measured),
        found_shift_mm=measured.midline_shift_mm if measured else None,
        seconds=seconds,
        picture=_picture(known, mask),
        slices=_slice_row(known, mask),
        findings=_findings(known, mask, measured),
    )


def at_cut(known: KnownHead, mask: LabelMask, cut: float) -> AtCut:
    """Tell what is left of a mask where a bleed must be more probable than it was cut at."""
    blood = mask.probability >= round(cut * 255)
    cut_mask = replace(mask, subtypes=mask.subtypes * blood)
    measured = _measured(cut_mask, None)
    findings = _findings(known, cut_mask, measured)
    return AtCut(_ml(blood, mask.grid), _doubt(blood, mask), _place(measured), findings)


def _measured(mask: LabelMask, shift_in: HeadVolume | None) -> Measurement | None:
    """Measure; None where there is more blood than a skull holds."""
    try:
        return measure(mask, ANY, shift_in=shift_in)
    except BadOutputError:
        return None


def _ml(blood: NDArray[np.bool_], grid: Grid) -> float:
    return float(np.count_nonzero(blood, axis=(1, 2)) @ grid.voxels_ml)


def _doubt(blood: NDArray[np.bool_], mask: LabelMask) -> float:
    """Doubt in all blood that was found, as in a bleed's interval; 1 where there is none."""
    if not blood.any():
        return 1.0
    weights = np.broadcast_to(mask.grid.voxels_ml[:, None, None], blood.shape)[blood]
    return 1.0 - float(np.average(mask.probability[blood] / 255, weights=weights))


def _true_ml(known: KnownHead) -> float | None:
    """Volume of the truth; a real patient's is not told, since the pixel size is not known."""
    if known.bleed is None:
        return 0.0
    if known.subtypes is None or known.boxes is not None:
        return None
    return _ml(known.subtypes > 0, known.head.grid)


def _dice(truth: Bytes | None, found: Bytes) -> float | None:
    """Overlap of any bleed where it is known whether there is one; None without a bleed."""
    if truth is None:
        return None
    sure = truth != UNSURE
    bleed, seen = (truth > 0) & sure, (found > 0) & sure
    total = np.count_nonzero(bleed) + np.count_nonzero(seen)
    return 2 * np.count_nonzero(bleed & seen) / total if bleed.any() else None


def _truth(known: KnownHead) -> Place | None:
    if known.bleed is None or known.subtypes is None or known.regions is None:
        return None
    sure = np.full(known.subtypes.shape, 255, dtype=np.uint8)
    regions = Regions.of_voxels(known.regions)
    mask = LabelMask(known.subtypes, regions, sure, known.head.grid, 1.0)
    return _place(measure(mask, ANY, shift_in=None))


def _place(found: Measurement | None) -> Place | None:
    if found is None or not found.findings:
        return None
    largest = found.findings[0]
    return Place(largest.subtype, largest.side, largest.region)


def _findings(known: KnownHead, mask: LabelMask, measured: Measurement | None) -> tuple[Found, ...]:
    if measured is None or not measured.findings:
        return ()
    numbers = numbered(mask.subtypes, mask.grid.voxels_ml)
    return tuple(
        _found(known, numbers == number, finding)
        for number, finding in enumerate(measured.findings, 1)
    )


def _found(known: KnownHead, inside: NDArray[np.bool_], finding: Finding) -> Found:
    """Look up what is known of a finding's voxels (k, j, i), or of its slice."""
    if known.bleed is None:
        return Found(finding, is_bleed=False, kind=None)
    if known.subtypes is None:
        kinds = known.slice_kinds[finding.key_slice_k] if known.slice_kinds else frozenset()
        return Found(finding, bool(kinds), next(iter(kinds)) if len(kinds) == 1 else None)
    counts = np.bincount(known.subtypes[inside] % UNSURE, minlength=len(Subtype) + 1)[1:]
    if not counts.any():
        return Found(finding, is_bleed=False, kind=None)
    return Found(finding, is_bleed=True, kind=Subtype(1 + int(counts.argmax())))


def _slice_row(known: KnownHead, mask: LabelMask) -> SliceRow | None:
    """Judge a head whose slices somebody labelled; None of any other."""
    bleeding = known.bleeding_slices
    if bleeding is None:
        return None
    window = (1, AVERAGED_PX, AVERAGED_PX)
    smooth = ndimage.uniform_filter(mask.probability.astype(np.float32), window) / 255
    flat = np.sort(smooth.reshape(len(smooth), -1), axis=1)
    hits = [
        bool(mask.subtypes[k, row0 : row1 + 1, column0 : column1 + 1].any())
        for k, slice_boxes in (known.boxes or {}).items()
        for column0, row0, column1, row1 in slice_boxes
    ]
    outside = (mask.subtypes > 0) & ~bleeding[:, None, None]
    scores: NDArray[np.float64] = flat[:, -SURE_AT].astype(np.float64)
    return SliceRow(scores, bleeding, sum(hits), len(hits), _ml(outside, mask.grid))


def _picture(known: KnownHead, mask: LabelMask) -> NDArray[np.uint8]:
    """Draw the slice with most of the truth, else with the likeliest bleed: truth green, ours red.

    Where annotators saw a bleed without outlining it, it is one of the slices that they named.
    About ``PICTURE_PX`` square, in a window of 0 to 80 HU.
    """
    truth = mask.subtypes * 0 if known.subtypes is None else known.subtypes % UNSURE
    telling = truth > 0 if truth.any() else mask.probability
    amount = 1.0 + telling.sum(axis=(1, 2))
    if known.bleeding_slices is not None and known.bleeding_slices.any():
        amount *= known.bleeding_slices
    k = int(amount.argmax())
    step = max(1, round(known.head.hu.shape[1] / PICTURE_PX))
    grey = np.clip(known.head.hu[k, ::step, ::step] * (255 / 80), 0, 255).astype(np.uint8)
    picture = np.stack([grey] * 3, axis=-1)
    for labels, colour in ((truth, (0, 220, 0)), (mask.subtypes, (255, 60, 60))):
        area = labels[k, ::step, ::step] > 0
        picture[area & ~ndimage.binary_erosion(area)] = colour
    return picture
