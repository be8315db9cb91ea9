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
from build_engine.heads.fields import (
    BESIDE_PX,
    BONE_HU,
    HU_OF_BYTE,
    LOWEST_HU,
    UNSURE,
    Bytes,
    Case,
    beside,
    packed,
)

Floats = NDArray[np.float32]

DENSEST_BRAIN_HU: Final = 45.0
"""What blood takes the place of is no denser: the blur of bone is not displaced. Ours."""

SMALLEST_INSIDE_PX: Final = 5000
"""A slab whose skull encloses less than this is near the base or the vertex, and is left alone."""

MOST_AIR_PX: Final = 100
"""A slab with more air or fat than this inside the skull shows a sinus or an orbit as well, where
blood would be laid in too; it is left alone. Ours."""

KINDS: Final = tuple(Subtype)
KIND_SHARES: Final = (0.16, 0.08, 0.28, 0.28, 0.20)
"""How often each is laid in: the real patients have those of the brain of their own."""

THINNEST_MM: Final = 2.5
"""Blood under the skull is laid in no thinner: it would be labelled, but as dense as brain [mm]."""

OUTSHONE_PX: Final = 1
"""As near to blood that is seen, what shines like bone is blood too: in generated heads 90 % of it
is, and these pixels are 72 % of all blood that bone outshines under their skulls."""

MARGIN: Final = 2
"""Slabs on either side of a boxed one that are left as they are where boxed ones are avoided."""

BESIDE_THE_REAL_SHARE: Final = 0.5
"""So many are laid anywhere, beside the patient's own bleed too."""

SPECKLED_SHARE: Final = 0.5
"""So many copies also get calcium: small, dense, and no bleed."""


def with_bleed_laid_in(case: Case, rng: np.random.Generator, size: float = 1.0) -> Case:
    """Lay one bleed of any kind into a real head, and some calcium beside it.

    ``size`` scales how far it reaches, not how thick it is.
    """
    hu = HU_OF_BYTE[case.packed]
    depth_px = np.stack([_depth_px(field) for field in hu])
    if rng.random() < SPECKLED_SHARE:
        _speckle(rng, case, depth_px, hu)
    if rng.random() > BESIDE_THE_REAL_SHARE:
        depth_px[ndimage.binary_dilation(case.boxed, iterations=MARGIN)] = 0
    usable = np.flatnonzero(depth_px.any(axis=(1, 2)))
    if not len(usable):
        return replace(case, packed=packed(hu))
    subtype = KINDS[int(rng.choice(len(KINDS), p=KIND_SHARES))]
    off_mm = case.heights_mm - float(case.heights_mm[rng.choice(usable)])
    match subtype:
        case Subtype.SUBARACHNOID:
            share = _in_sulci(rng, hu, depth_px, off_mm, size)
        case Subtype.INTRAVENTRICULAR:
            share = _in_ventricles(rng, hu, depth_px, off_mm, size)
        case Subtype.INTRAPARENCHYMAL:
            share = _in_the_brain(rng, depth_px, off_mm, size)
        case _:
            lens = subtype is Subtype.EPIDURAL
            share = _under_the_table(rng, depth_px, off_mm, size, lens=lens)
    displaced = np.minimum(hu, DENSEST_BRAIN_HU)
    smooth = ndimage.gaussian_filter(displaced, (0, 1.5, 1.5))  # the image's own noise stays
    uneven = ndimage.gaussian_filter(rng.standard_normal(hu.shape, dtype=np.float32), (0.7, 4, 4))
    uneven *= np.float32(rng.uniform(0.0, 5.0)) / uneven.std()
    hu += (np.float32(rng.uniform(50.0, 78.0)) + uneven - smooth) * share
    here = share > 0.5
    return replace(
        case,
        name=f"{case.name}-{subtype.word}",
        packed=packed(hu),
        subtypes=_labels(case.subtypes, subtype, here, hu),
        boxed=np.asarray(case.boxed | here.any(axis=(1, 2))),
        kinds=None,
        alarming=None,
    )


def _labels(before: Bytes, subtype: Subtype, here: NDArray[np.bool_], hu: Floats) -> Bytes:
    """Label the blood laid in, and as much of it as the bone beside would have outshone."""
    bright = (hu >= BONE_HU) & (before == 0)
    blood = here | (beside(here, OUTSHONE_PX) & bright)
    unsure = beside(here, BESIDE_PX) & bright
    labels: Bytes = np.select([blood, unsure], [np.uint8(subtype), np.uint8(UNSURE)], before)
    return labels


def _speckle(rng: np.random.Generator, case: Case, depth_px: Floats, hu: Floats) -> None:
    """Lay specks of calcium into brain that does not bleed, sometimes in pairs, in place."""
    places = np.argwhere((depth_px > 4) & (case.subtypes == 0))
    if not len(places):
        return
    j, i = np.indices(hu.shape[1:], dtype=np.float32)
    for _ in range(rng.poisson(3.0)):
        k, centre_j, centre_i = rng.choice(places)
        radius_px, dense_hu = rng.uniform(0.8, 3.2), rng.uniform(75.0, 300.0)
        mirrored = hu.shape[2] - 1 - centre_i
        for column in (centre_i, mirrored) if rng.random() < 0.4 else (centre_i,):
            far = np.hypot(j - centre_j, i - column) / np.float32(radius_px)
            share = np.clip(1.3 - far, 0, 1) * (case.subtypes[k] == 0) * (depth_px[k] > 0)
            hu[k] = np.maximum(hu[k], hu[k] + (np.float32(dense_hu) - hu[k]) * share)


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
    brain_alone = np.count_nonzero(field[largest] <= LOWEST_HU) <= MOST_AIR_PX
    dense = 20 < np.median(field[largest]) < 50
    if sizes.max() < SMALLEST_INSIDE_PX or not (brain_alone and dense):
        return np.zeros(field.shape, dtype=np.float32)
    depth_px: Floats = ndimage.distance_transform_edt(largest).astype(np.float32)
    return depth_px


def _under_the_table(
    rng: np.random.Generator,
    depth_px: Floats,
    off_mm: NDArray[np.float64],
    size: float,
    *,
    lens: bool,
) -> Floats:
    """Share of blood in each pixel, for a lens or a crescent along one side of the skull."""
    angle = np.radians(rng.uniform(20.0, 160.0)) * rng.choice([-1.0, 1.0])
    reach_mm = size * (rng.uniform(10.0, 40.0) if lens else rng.uniform(20.0, 65.0))
    thick_mm = reach_mm * rng.uniform(0.25, 0.6) if lens else rng.uniform(2.5, 14.0)
    thick_mm = max(thick_mm, THINNEST_MM)
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


def _in_the_brain(
    rng: np.random.Generator, depth_px: Floats, off_mm: NDArray[np.float64], size: float
) -> Floats:
    """Share of blood in each pixel, for a ragged ball within the brain."""
    radius_mm = np.cbrt(1000 * np.exp(rng.uniform(np.log(0.3), np.log(60.0))) * 3 / (4 * np.pi))
    radius_mm *= size
    middle = int(np.abs(off_mm).argmin())
    deep = np.argwhere(depth_px[middle] > min(12.0, depth_px[middle].max() / 2))
    place, stretch = rng.choice(deep), rng.uniform(0.75, 1.3, 3)
    j, i = np.indices(depth_px.shape[1:], dtype=np.float32)
    share = np.zeros_like(depth_px)
    for slab in np.flatnonzero(depth_px.any(axis=(1, 2)) & (np.abs(off_mm) < 1.4 * radius_mm)):
        in_plane = np.hypot((j - place[0]) * stretch[1], (i - place[1]) * stretch[2])
        ragged = ndimage.gaussian_filter(rng.standard_normal(in_plane.shape), 4)
        far_mm = np.hypot(in_plane, off_mm[slab] * stretch[0])
        inside_mm = radius_mm * (1 + rng.uniform(0.1, 0.3) * ragged / ragged.std()) - far_mm
        share[slab] = np.clip(0.5 + inside_mm, 0, 1) * (depth_px[slab] > 3)
    return share


def _in_ventricles(
    rng: np.random.Generator,
    hu: Floats,
    depth_px: Floats,
    off_mm: NDArray[np.float64],
    size: float,
) -> Floats:
    """Share of blood in each pixel of fluid deep in the brain, the hindmost first."""
    reach_mm, filled = size * rng.uniform(8.0, 40.0), rng.uniform(0.15, 1.0)
    share = np.zeros_like(depth_px)
    for slab in np.flatnonzero(depth_px.any(axis=(1, 2)) & (np.abs(off_mm) < reach_mm)):
        smooth = ndimage.gaussian_filter(hu[slab], 1.0)
        fluid = (smooth > 0) & (smooth < 17.0) & (depth_px[slab] > 22)
        fluid = ndimage.binary_opening(fluid)
        if fluid.any():
            rows = np.nonzero(fluid)[0]
            fluid[: int(np.quantile(rows, 1 - filled))] = False
            share[slab] = ndimage.uniform_filter(fluid.astype(np.float32), 2)
    return share


def _in_sulci(
    rng: np.random.Generator,
    hu: Floats,
    depth_px: Floats,
    off_mm: NDArray[np.float64],
    size: float,
) -> Floats:
    """Share of blood in each pixel of fluid near the surface, about one place."""
    reach_mm = size * rng.uniform(18.0, 55.0)
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
