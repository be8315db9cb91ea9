"""Bleeds laid into real heads, so that a real head does not itself speak against them.

The real patients bleed into the brain only. Without this the networks could learn that whatever
looks real has nothing under its skull or between its folds.
"""

# ruff: noqa: PLR2004 - shapes are drawn in millimetres, and each number is used once

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from agent.records import Subtype
from build_engine.train.data import LOWEST_HU, STEPS_PER_HU, Case, packed

Floats = NDArray[np.float32]

BONE_HU: Final = 98.0

SMALLEST_INSIDE_PX: Final = 5000
"""A slab whose skull encloses less than this is near the base or the vertex, and is left alone."""

KINDS: Final = (Subtype.SUBARACHNOID, Subtype.SUBDURAL, Subtype.EPIDURAL)

MARGIN: Final = 2
"""Slabs on either side of a boxed one that are left as they are."""


def with_bleed_laid_in(case: Case, rng: np.random.Generator) -> Case:
    """Lay one extra-axial or subarachnoid bleed into the slabs that nobody boxed."""
    hu = case.packed.astype(np.float32) / np.float32(STEPS_PER_HU) + np.float32(LOWEST_HU)
    depth_px = np.stack([_depth_px(field) for field in hu])
    depth_px[ndimage.binary_dilation(case.boxed, iterations=MARGIN)] = 0
    usable = np.flatnonzero(depth_px.any(axis=(1, 2)))
    if not len(usable):
        return case
    subtype = KINDS[int(rng.integers(len(KINDS)))]
    middle_mm = float(case.heights_mm[rng.choice(usable)])
    off_mm = case.heights_mm - middle_mm
    if subtype is Subtype.SUBARACHNOID:
        share = _in_sulci(rng, hu, depth_px, off_mm)
    else:
        share = _under_the_table(rng, depth_px, off_mm, lens=subtype is Subtype.EPIDURAL)
    smooth = ndimage.gaussian_filter(hu, (0, 1.5, 1.5))  # so that the image's own noise stays
    hu += (np.float32(rng.uniform(50.0, 76.0)) - smooth) * share
    here = share > 0.5
    return replace(
        case,
        name=f"{case.name}-{subtype.name.lower()}",
        packed=packed(hu),
        subtypes=np.where(here, np.uint8(subtype), case.subtypes).astype(np.uint8),
        boxed=np.asarray(case.boxed | here.any(axis=(1, 2))),
    )


def _depth_px(field: Floats) -> Floats:
    """Depth below the inner table; 0 outside the skull, and all over where it is not closed."""
    bone = ndimage.binary_closing(field >= BONE_HU, iterations=1)
    inside = ndimage.binary_fill_holes(bone) & ~bone
    parts, count = ndimage.label(inside)
    if not count:
        return np.zeros(field.shape, dtype=np.float32)
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    largest = parts == sizes.argmax()
    if sizes.max() < SMALLEST_INSIDE_PX or not 20 < np.median(field[largest]) < 50:
        return np.zeros(field.shape, dtype=np.float32)
    depth_px: Floats = ndimage.distance_transform_edt(largest).astype(np.float32)
    return depth_px


def _under_the_table(
    rng: np.random.Generator, depth_px: Floats, off_mm: NDArray[np.float64], *, lens: bool
) -> Floats:
    """Share of blood in each pixel, for a lens or a crescent along one side of the skull."""
    angle = np.radians(rng.uniform(20.0, 160.0)) * rng.choice([-1.0, 1.0])
    reach_mm = rng.uniform(14.0, 40.0) if lens else rng.uniform(25.0, 65.0)
    thick_mm = reach_mm * rng.uniform(0.25, 0.6) if lens else rng.uniform(3.0, 14.0)
    share = np.zeros_like(depth_px)
    for slab in np.flatnonzero(depth_px.any(axis=(1, 2)) & (np.abs(off_mm) < 2 * reach_mm)):
        inside = depth_px[slab] > 0
        j, i = np.indices(inside.shape, dtype=np.float32)
        from_j, from_i = j - j[inside].mean(), i - i[inside].mean()
        turn = np.abs((np.arctan2(from_i, -from_j) - angle + np.pi) % (2 * np.pi) - np.pi)
        far = np.hypot(turn * 70.0, off_mm[slab]) / reach_mm
        profile = 1 - far**2 if lens else np.exp(-(far**2)) - 0.05
        wobble = ndimage.gaussian_filter(rng.standard_normal(inside.shape), 4) * 4
        clot = inside & (depth_px[slab] < thick_mm * profile + wobble * (profile > 0.1))
        clot &= (from_i * np.sign(angle) > 2) & (profile > 0.05)
        share[slab] = ndimage.uniform_filter(clot.astype(np.float32), 2) * inside
    return share


def _in_sulci(
    rng: np.random.Generator, hu: Floats, depth_px: Floats, off_mm: NDArray[np.float64]
) -> Floats:
    """Share of blood in each pixel of fluid near the surface, about one place."""
    reach_mm = rng.uniform(18.0, 55.0)
    middle = int(np.abs(off_mm).argmin())
    place = rng.choice(np.argwhere((depth_px[middle] > 1) & (depth_px[middle] < 30)))
    j, i = np.indices(depth_px.shape[1:], dtype=np.float32)
    share = np.zeros_like(depth_px)
    for slab in np.flatnonzero(depth_px.any(axis=(1, 2)) & (np.abs(off_mm) < reach_mm)):
        far_mm = np.hypot(np.hypot(j - place[0], i - place[1]), off_mm[slab])
        smooth = ndimage.gaussian_filter(hu[slab], 0.7)
        fluid_hu = min(20.0, float(np.median(hu[slab][depth_px[slab] > 0])) - 13.0)
        fluid = (
            (smooth < fluid_hu) & (depth_px[slab] > 1) & (depth_px[slab] < 28) & (far_mm < reach_mm)
        )
        wide = ndimage.binary_dilation(fluid) & (depth_px[slab] > 1)
        share[slab] = ndimage.uniform_filter(wide.astype(np.float32), 2)
    return share * np.float32(rng.uniform(0.8, 1.0))
