"""Heads of a few voxels, and what was made of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from agent.records import Region, Subtype
from agent.voxels import Grid, HeadVolume, LabelMask, Regions
from build_engine.heads.known import KnownHead
from build_engine.judge.evaluate import StudyResult, judged

SHAPE_KJI = (12, 40, 40)
VOXEL_ML = 5.0 * 5.0 * 4.0 / 1000


def grid() -> Grid:
    origins_mm = np.zeros((SHAPE_KJI[0], 3))
    origins_mm[:, 2] = np.arange(SHAPE_KJI[0]) * 4.0
    return Grid(origins_mm, (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), 5.0, 5.0, *SHAPE_KJI[1:], 4.0)


def known_head(bleed: Subtype | None = Subtype.SUBDURAL, **changes) -> KnownHead:
    subtypes = np.zeros(SHAPE_KJI, dtype=np.uint8)
    if bleed:
        subtypes[4:8, 10:20, 25:30] = bleed
    regions = np.full(SHAPE_KJI, Region.RIGHT_FRONTAL, dtype=np.uint8)
    regions[:, :, 20:] = Region.LEFT_FRONTAL
    names = tuple(map(str, range(SHAPE_KJI[0])))
    head = HeadVolume(np.full(SHAPE_KJI, 30, dtype=np.int16), grid(), names, ())
    kinds = (bleed,) if bleed else ()
    known = KnownHead("one", head, bleed, kinds, subtypes, regions, midline_shift_mm=0.0)
    return replace(known, **changes)


def result_of(
    known: KnownHead, score: float, found: np.ndarray | None = None, seconds: float = 1.0
) -> StudyResult:
    subtypes = known.subtypes if found is None else found
    probability = np.where(subtypes > 0, 255, 0).astype(np.uint8)
    regions = known.regions if known.regions is not None else np.zeros_like(subtypes)
    mask = LabelMask(subtypes, Regions.of_voxels(regions), probability, grid(), score)
    return judged(known, mask, seconds)
