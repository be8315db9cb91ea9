"""Bright things that are no bleed: dura, sinuses, vessels, calcifications."""

# ruff: noqa: PLR2004 - anatomy is drawn in coordinates, and each is used once

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from build_engine.synth.lookalike import LookAlike
from build_engine.synth.space import Space
from build_engine.synth.tissues import Anatomy

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]

CALCIFIED_KJI_MM: Final = (
    # place (template z, y, x [mm, LPS]; x on both sides), radii [mm], how often
    ((2.0, 30.0, 0.0), (1.5, 4.0), 0.6),  # pineal
    ((8.0, 42.0, 24.0), (1.5, 6.0), 0.65),  # choroid plexus
    ((0.0, 2.0, 19.0), (1.5, 6.0), 0.2),  # globus pallidus
    ((-35.0, 58.0, 18.0), (2.0, 6.0), 0.06),  # dentate nucleus
    ((-24.0, 0.0, 11.0), (1.0, 2.5), 0.3),  # carotid siphon
)

VESSELS_KJI_MM: Final = (
    # from, to (template z, y, x [mm, LPS]; x on both sides)
    ((-42.0, 16.0, 1.0), (-20.0, 8.0, 0.0)),  # basilar
    ((-18.0, -2.0, 8.0), (-14.0, -4.0, 30.0)),  # middle cerebral
    ((-14.0, -4.0, 30.0), (0.0, 2.0, 46.0)),  # … in the Sylvian fissure
    ((-14.0, -18.0, 2.0), (20.0, -40.0, 1.0)),  # anterior cerebral
)


def paint_dura(
    space: Space,
    rng: np.random.Generator,
    anatomy: Anatomy,
    hu: Floats,
    look_alike: LookAlike | None,
) -> None:
    """Falx, tentorium and venous sinuses, in place."""
    z, y, x = anatomy.at_mm
    depth_mm = anatomy.depth_mm
    inside = depth_mm > 0
    dura_hu, sinus_hu = rng.uniform(40.0, 64.0), rng.uniform(42.0, 68.0)
    if look_alike is LookAlike.CONTRAST:
        dura_hu, sinus_hu = rng.uniform(60.0, 95.0), rng.uniform(110.0, 210.0)
    if look_alike is LookAlike.DENSE_VESSEL:
        sinus_hu = rng.uniform(64.0, 78.0)
    reach_mm = np.where(y > 20, 44, 30)
    falx = (np.abs(x) < rng.uniform(0.4, 1.3)) & (z > -5) & (depth_mm < reach_mm)
    hu[falx & inside] = np.maximum(hu, dura_hu)[falx & inside]
    share = np.clip(rng.uniform(1.0, 1.7) - anatomy.tentorium_mm, 0, 1) * inside
    hu += np.maximum(np.float32(dura_hu) - hu, 0) * share
    size_mm = rng.uniform(4.0, 8.0)
    sagittal = (depth_mm + np.abs(x) * 1.3 < size_mm) & (z > -5) & (y > -60)
    straight = (np.hypot(x, anatomy.tentorium_mm) < size_mm / 2.2) & (y > 32) & (z > -12)
    transverse = (depth_mm < size_mm) & (anatomy.tentorium_mm < size_mm) & (y > 25)
    sinus = inside & (sagittal | straight | transverse)
    hu[sinus] = sinus_hu + (1.5 * space.noise(rng, 6.0))[sinus]


def paint_vessels(
    rng: np.random.Generator, anatomy: Anatomy, hu: Floats, look_alike: LookAlike | None
) -> None:
    """Large arteries, now and then dense or full of contrast medium, in place."""
    blood_hu, widest_mm = rng.uniform(38.0, 58.0), 2.2
    if look_alike is LookAlike.DENSE_VESSEL:
        blood_hu, widest_mm = rng.uniform(58.0, 85.0), 2.8
    if look_alike is LookAlike.CONTRAST:
        blood_hu = rng.uniform(120.0, 260.0)
        hu[(anatomy.depth_mm > 0) & (anatomy.fluid < 0.5)] += rng.uniform(1.0, 6.0)
    in_fluid = anatomy.fluid > 0.2
    at_mm, hu_in_fluid = anatomy.at_mm[:, in_fluid], hu[in_fluid]
    for start, end in VESSELS_KJI_MM:
        for side in (-1.0, 1.0):
            near = _segment_mm(at_mm, start, end, side) < rng.uniform(0.8, widest_mm)
            hu_in_fluid[near] = np.maximum(hu_in_fluid[near], blood_hu)
    hu[in_fluid] = hu_in_fluid


def paint_calcifications(
    space: Space,
    rng: np.random.Generator,
    anatomy: Anatomy,
    hu: Floats,
    look_alike: LookAlike | None,
) -> None:
    """Calcium in its usual places, in the falx and in small spots anywhere, in place."""
    conspicuous = look_alike is LookAlike.CALCIFICATION
    for centre, (smallest_mm, largest_mm), how_often in CALCIFIED_KJI_MM:
        if rng.random() < (max(how_often, 0.7) if conspicuous else how_often):
            radius_mm = rng.uniform(smallest_mm, largest_mm)
            dense_hu = rng.choice([rng.uniform(55.0, 110.0), rng.uniform(110.0, 500.0)])
            for side in (-1.0, 1.0):
                place = np.array(centre) * (1, 1, side) + rng.normal(0, 1.2, 3)
                _blob(rng, anatomy, hu, (place, radius_mm * rng.uniform(0.6, 1.1), dense_hu))
    for _ in range(rng.poisson(5.0 if conspicuous else 0.7)):
        kji = np.array([rng.integers(n) for n in space.box_kji]) - space.first_kji
        here = (..., *kji)
        if (kji >= 0).all() and (kji < hu.shape).all() and anatomy.brain_mm[here] < 0:
            size_and_hu = rng.uniform(1.0, 3.0), rng.uniform(80.0, 400.0)
            _blob(rng, anatomy, hu, (anatomy.at_mm[here], *size_and_hu))
    if look_alike is LookAlike.FALX or rng.random() < 0.2:
        z, _, x = anatomy.at_mm
        patches = space.noise(rng, 12.0) > rng.uniform(0.8, 1.8)
        falx = (np.abs(x) < 1.2) & (z > 0) & (anatomy.depth_mm > 0) & (anatomy.depth_mm < 30)
        hu[falx & patches] = rng.uniform(90.0, 500.0)


def _blob(
    rng: np.random.Generator,
    anatomy: Anatomy,
    hu: Floats,
    place_size_hu: tuple[NDArray[np.float64] | Floats, float, float],
) -> None:
    """Raise a ragged ball to a density, densest in its middle, in place."""
    place, radius_mm, dense_hu = place_size_hu
    place_mm = np.asarray(place, dtype=np.float32)
    near = np.flatnonzero(anatomy.depth_mm > 1)
    for axis_mm, at_mm in zip(anatomy.at_mm, place_mm, strict=True):  # each leaves few for the next
        near = near[np.abs(axis_mm.reshape(-1)[near] - at_mm) < 2 * radius_mm]
    away_mm = anatomy.at_mm.reshape(3, -1)[:, near] - place_mm[:, None]
    far = np.sqrt(np.square(away_mm).sum(axis=0)) / np.float32(radius_mm)
    far *= rng.uniform(0.7, 1.3, far.shape).astype(np.float32)
    before = hu.flat[near]
    dense = before + (np.float32(dense_hu) - before) * np.clip(1.2 - far, 0, 1)
    hu.flat[near] = np.maximum(before, dense)


def _segment_mm(
    at_mm: Floats,
    start: tuple[float, float, float],
    end: tuple[float, float, float],
    side: float,
) -> Floats:
    """Distance from each position (3, n) to a line between two points [mm]."""
    first, last = (np.array(point) * (1, 1, side) for point in (start, end))
    line = (last - first).astype(np.float32)
    away = at_mm - first.astype(np.float32)[:, None]
    along = np.clip(line @ away / (line @ line), 0, 1)
    distance: Floats = np.sqrt(
        np.square(away - along * line[:, None]).sum(axis=0, dtype=np.float32)
    )
    return distance
