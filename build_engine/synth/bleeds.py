"""Blood: where it collects, how much of it, and what it pushes aside.

Every bleed is the set of voxels that come first in some order (nearest to a centre, lowest in a
ventricle, nearest to the skull …) until the asked-for volume is reached.
"""

# ruff: noqa: PLR2004 - anatomy is drawn in coordinates, and each is used once

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agent.records import Side, Subtype
from build_engine.synth.space import Space

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]

DEEP_KJI_MM: Final = ((2.0, 0.0, 27.0), (2.0, -6.0, 24.0), (8.0, 19.0, 14.0))
"""Putamen twice and thalamus, on the left: template z, y, x [mm, LPS]."""

LOBAR_KJI_MM: Final = (
    (25.0, -35.0, 28.0),
    (45.0, -10.0, 28.0),
    (40.0, 45.0, 28.0),
    (10.0, 72.0, 26.0),
    (-8.0, 22.0, 46.0),
    (-14.0, -2.0, 42.0),
    (30.0, 30.0, 38.0),
)
"""White matter of the lobes, on the left: template z, y, x [mm, LPS]."""

CEREBELLAR_KJI_MM: Final = (-32.0, 62.0, 22.0)
PONTINE_KJI_MM: Final = (-32.0, 26.0, 3.0)

SKULL_CENTRE_KJI_MM: Final = (10.0, 16.0, 0.0)
"""From here the inner table is seen at right angles, nearly: template z, y, x [mm, LPS]."""

BRAIN_RADIUS_MM: Final = 75.0

LOWEST_MM: Final = -32.0
"""Blood under the inner table is laid above this height in the template [mm]."""

THINNEST: Final = 0.02
"""A crescent ends where it is this thin beside its thickest part."""

WIDENS: Final = 0.5
"""So much wider, per mm below it, is the part of the brain that a clot pushes."""

MOST_PUSHED_MM: Final = 25.0
"""The deep brain is pushed no further, however thick the clot [mm]. Ours."""

HELD_BY_TABLE_MM: Final = 10.0
"""Within about this depth the inner table keeps the brain from moving along it."""

CISTERNS_KJI_MM: Final = (
    (-14.0, -2.0, 2.0),
    (-10.0, -4.0, 28.0),
    (4.0, 0.0, 46.0),
    (45.0, -20.0, 34.0),
    (48.0, 40.0, 36.0),
    (30.0, -40.0, 1.5),
)
"""Where subarachnoid blood gathers, on the left: suprasellar, Sylvian twice, two convexities and
the fissure between the hemispheres [mm, LPS]."""


ISODENSE_SHARE: Final = 0.1
MIXED_SHARE: Final = 0.18
LAYERED_SHARE: Final = 0.07
"""So many subdural bleeds are as dense as brain or of mixed age, and so many clots in layers."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which side, and how much."""

    side: Side
    volume_ml: float


@dataclass(frozen=True, slots=True, eq=False)
class Clot:
    """A bleed that takes up room.

    ``push_mm`` (3, k, j, i) leads from a voxel back to where its tissue was. ``beyond`` (k, j, i)
    grows away from the clot; it is 1 at its surface.
    """

    mask: Mask
    push_mm: Floats
    beyond: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """Blood on the inner table about a spot: the unit vector (3,) that leads there.

    ``outward`` (3, k, j, i) are those of all voxels; ``profile`` (k, j, i) is the blood's thickness
    in shares of the thickest.
    """

    spot: Floats
    outward: Floats
    reach_mm: np.float32
    profile: Floats


def parenchymal_clot(
    space: Space,
    rng: np.random.Generator,
    at_and_depth_mm: tuple[Floats, Floats],
    wanted: Wanted,
) -> Clot:
    """Grow a clot within the brain from a usual place."""
    at_mm, depth_mm = at_and_depth_mm
    sign = _sign(wanted.side)
    centre_mm = _parenchymal_centre(rng, wanted.volume_ml) * (1.0, 1.0, sign)
    away_mm = at_mm - _column(centre_mm)
    stretch = rng.uniform(0.75, 1.35, 3)
    order = np.sqrt(np.square(away_mm * _column(stretch / np.cbrt(stretch.prod()))).sum(axis=0))
    ragged = np.float32(rng.uniform(0.05, 0.22))
    order *= 1 + ragged * space.noise(rng, 12.0) + ragged / 2 * space.noise(rng, 5.0)
    allowed = (depth_mm > 3) & (at_mm[2] * sign > min(2.0, abs(centre_mm[2]) - 4.0))
    mask, edge = first_voxels(order, allowed, wanted.volume_ml / space.voxel_ml)
    beyond = order / np.float32(edge)
    given = np.float32(rng.uniform(0.6, 1.0))
    squeezed = np.cbrt(1 - given / np.maximum(beyond, 1.0) ** 3)
    held = np.clip(depth_mm / 12, 0, 1)  # the skull does not give way
    return Clot(mask, -away_mm * ((1 - squeezed) * held), beyond)


def _parenchymal_centre(rng: np.random.Generator, volume_ml: float) -> NDArray[np.float64]:
    draw = rng.random()
    if draw < 0.5 or volume_ml > 60:
        centre = DEEP_KJI_MM[rng.integers(len(DEEP_KJI_MM))]
    elif draw < 0.88 or volume_ml > 30:
        centre = LOBAR_KJI_MM[rng.integers(len(LOBAR_KJI_MM))]
    elif draw < 0.95 or volume_ml > 8:
        centre = CEREBELLAR_KJI_MM
    else:
        return np.array(PONTINE_KJI_MM) + rng.normal(0.0, 1.0, 3)
    return np.array(centre) + rng.normal(0.0, 3.0, 3)


def subdural_clot(
    space: Space,
    rng: np.random.Generator,
    at_and_depth_mm: tuple[Floats, Floats],
    wanted: Wanted,
) -> Clot:
    """Lay a crescent under the inner table, from where depth is measured."""
    spot, outward = _spot(rng, wanted.side), _outward(at_and_depth_mm[0])
    along_mm = _along_mm(outward, spot)
    reach_mm = np.float32(rng.uniform(26.0, 44.0) * min(np.cbrt(wanted.volume_ml / 30), 1.7))
    profile = np.exp(-((along_mm / reach_mm) ** 2)) * (1 + 0.25 * space.noise(rng, 25.0))
    layer = Layer(spot, outward, reach_mm, profile - 0.05)
    return _under_the_table(space, rng, at_and_depth_mm, wanted, layer)


def epidural_clot(
    space: Space,
    rng: np.random.Generator,
    at_and_depth_mm: tuple[Floats, Floats],
    wanted: Wanted,
) -> Clot:
    """Lay a lens under the inner table, from where depth is measured."""
    spot, outward = _spot(rng, wanted.side), _outward(at_and_depth_mm[0])
    along_mm = _along_mm(outward, spot)
    reach_mm = np.float32(rng.uniform(17.0, 23.0) * np.cbrt(wanted.volume_ml / 5))
    layer = Layer(spot, outward, reach_mm, 1 - (along_mm / reach_mm) ** 2)
    return _under_the_table(space, rng, at_and_depth_mm, wanted, layer)


def _spot(rng: np.random.Generator, side: Side) -> Floats:
    """Draw a place on the inner table: the unit vector (3,) that leads there from its middle."""
    azimuth, height = np.radians([rng.uniform(30.0, 150.0), rng.uniform(-12.0, 45.0)])
    level = np.cos(height)
    spot = [np.sin(height), -np.cos(azimuth) * level, _sign(side) * np.sin(azimuth) * level]
    return np.array(spot, dtype=np.float32)


def _outward(at_mm: Floats) -> Floats:
    """Give unit vectors (3, k, j, i) that lead to the inner table."""
    outward = at_mm - _column(np.array(SKULL_CENTRE_KJI_MM))
    outward /= np.maximum(np.sqrt(np.square(outward).sum(axis=0)), 1.0)
    return outward


def _along_mm(outward: Floats, spot: Floats) -> Floats:
    """Distance (k, j, i) along the inner table from a spot [mm]."""
    cosine = np.tensordot(spot, outward, axes=1)
    along_mm: Floats = np.float32(BRAIN_RADIUS_MM) * np.arccos(np.clip(cosine, -1, 1))
    return along_mm


def _under_the_table(
    space: Space,
    rng: np.random.Generator,
    at_and_depth_mm: tuple[Floats, Floats],
    wanted: Wanted,
    layer: Layer,
) -> Clot:
    """Fill below the inner table in proportion to the layer's profile; the brain gives way.

    The brain at the clot is pushed away from the table. Deeper, and more widely, it is pushed away
    from the spot: the midline moves, and the far side is held by its own table.
    """
    (at_mm, depth_mm), profile = at_and_depth_mm, layer.profile
    one_side = (at_mm[2] * _sign(wanted.side) > 2) & (at_mm[0] > LOWEST_MM)
    allowed = (depth_mm > 0) & (profile > THINNEST) & one_side
    order = (np.maximum(depth_mm, 0) / np.maximum(profile, THINNEST)).astype(np.float32)
    mask, edge = first_voxels(order, allowed, wanted.volume_ml / space.voxel_ml)
    thickest_mm = np.float32(edge)
    thick_mm = np.clip(profile, 0, 1) * thickest_mm
    under_mm = np.maximum(depth_mm - thick_mm, 0)
    fading_mm = np.float32(rng.uniform(35.0, 70.0))
    give_mm = thick_mm * np.exp(-under_mm / fading_mm)
    away_mm = at_mm - _column(np.array(SKULL_CENTRE_KJI_MM))
    towards_mm = np.tensordot(layer.spot, away_mm, axes=1)
    aside_mm = np.sqrt(np.maximum(np.square(away_mm).sum(axis=0) - np.square(towards_mm), 0))
    far_mm = np.maximum(BRAIN_RADIUS_MM - thickest_mm - towards_mm, 0)
    width_mm = layer.reach_mm + far_mm * np.float32(WIDENS)
    most_mm = min(thickest_mm, np.float32(MOST_PUSHED_MM))
    deep_mm = most_mm * np.exp(-far_mm / fading_mm - np.square(aside_mm / width_mm))
    near = np.exp(-under_mm / np.float32(HELD_BY_TABLE_MM))
    push_mm = layer.outward * (give_mm * near) + _column(layer.spot) * (deep_mm * (1 - near))
    beyond = (order / thickest_mm).astype(np.float32)
    return Clot(mask, push_mm, beyond)


def ventricular_order(space: Space, rng: np.random.Generator, at_mm: Floats, side: Side) -> Floats:
    """Order in which blood fills the ventricles: the lowest parts first, one side before the other.

    Patients lie on their backs, so low is towards the back (+y).
    """
    seed_mm = np.array([rng.uniform(-5.0, 20.0), rng.uniform(0.0, 40.0), 16.0 * _sign(side)])
    near_mm = np.sqrt(np.square(at_mm - _column(seed_mm)).sum(axis=0))
    sinking = np.float32(rng.uniform(0.2, 1.0))
    other_side = at_mm[2] * _sign(side) < -2
    order = near_mm * (1 - sinking) - at_mm[1] * sinking + 3 * space.noise(rng, 8.0)
    one_after_the_other: Floats = order + np.float32(rng.uniform(5.0, 40.0)) * other_side
    return one_after_the_other


def subarachnoid_order(space: Space, rng: np.random.Generator, at_mm: Floats, side: Side) -> Floats:
    """Order in which blood spreads through cisterns and sulci from one or two of them."""
    chosen = rng.choice(len(CISTERNS_KJI_MM), size=rng.integers(1, 3), replace=False)
    distances = [
        np.sqrt(
            np.square(at_mm - _column(np.array(CISTERNS_KJI_MM[n]) * (1, 1, _sign(side)))).sum(0)
        )
        for n in chosen
    ]
    order: Floats = np.minimum.reduce(distances) + 5 * space.noise(rng, 15.0)
    return order


def first_voxels(order: Floats, allowed: Mask, count: float) -> tuple[Mask, float]:
    """Take the first ``count`` allowed voxels; also the order at which it stopped."""
    values = order[allowed]
    last = min(max(round(count), 1), len(values)) - 1
    edge = float(np.partition(values, last)[last])
    return allowed & (order <= edge), edge


def clot_hu(space: Space, rng: np.random.Generator, subtype: Subtype, mask: Mask) -> Floats:
    """Density of the blood in ``mask`` [HU], everywhere: mostly fresh, 50 to 80, and uneven.

    Some clots settle into layers, and subdural ones are now and then mixed with older blood or as
    dense as the brain.
    """
    mean_hu = rng.uniform(58.0, 76.0) if rng.random() < 0.85 else rng.uniform(46.0, 60.0)
    if subtype is Subtype.INTRAVENTRICULAR:
        mean_hu -= 5.0
    uneven = rng.uniform(1.0, 6.0) * space.noise(rng, 10.0) + 1.5 * space.noise(rng, 4.0)
    hu: Floats = np.clip(mean_hu + uneven, 44.0, 92.0).astype(np.float32)
    age = rng.random() if subtype is Subtype.SUBDURAL else 1.0
    if age < ISODENSE_SHARE:
        return hu + np.float32(rng.uniform(33.0, 44.0) - mean_hu)
    if age < ISODENSE_SHARE + MIXED_SHARE:
        older = np.clip(0.5 + space.noise(rng, 14.0), 0, 1)
        hu += (older * np.float32(rng.uniform(22.0, 42.0) - mean_hu)).astype(np.float32)
        return hu
    if rng.random() < LAYERED_SHARE:
        hu += _above_the_level(space, rng, mask) * np.float32(rng.uniform(24.0, 40.0) - mean_hu)
    return hu


def _above_the_level(space: Space, rng: np.random.Generator, mask: Mask) -> Floats:
    """Share (1, j, 1) of each row above a fluid level in ``mask``; patients lie on their backs."""
    rows = np.flatnonzero(mask.any(axis=(0, 2)))
    level = rows[0] + rng.uniform(0.3, 0.7) * (rows[-1] - rows[0])
    below_mm = (np.arange(mask.shape[1]) - level) * space.spacing_kji_mm[1]
    share: Floats = np.clip(0.5 - below_mm / 3, 0, 1).astype(np.float32)[None, :, None]
    return share


def _sign(side: Side) -> float:
    return 1.0 if side is Side.LEFT else -1.0


def _column(vector: NDArray[np.float64] | Floats) -> Floats:
    return np.asarray(vector, dtype=np.float32).reshape(3, 1, 1, 1)
