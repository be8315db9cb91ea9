"""The brain's midline shift, told only where two ways of finding the skull's midline agree."""

from __future__ import annotations

from typing import Final

import numpy as np

from agent.measure.midline import FalxPlane, deep_level_mm, falx_plane_of
from agent.measure.mirror import Inside, MirrorPlane, mirror_plane_of, plane_at
from agent.measure.septum import SEPTUM_MM, septum_in
from agent.voxels import HeadVolume, LabelMask

THICK_MM: Final = 5.1
"""Slices within this are averaged into one plane [mm]: thin, noisy ones become as calm as thick
ones. Ours: slices of 5 mm stay single."""

APART_MM: Final = 5.0
"""Distance of the planes that are looked at [mm]."""

SEPTUM_PLANES: Final = 3
"""The septum is looked for in so many of them, from the level of the third ventricle upwards."""

PLANES: Final = 9
"""And the skull's midline in so many, up to the centrum semiovale. Ours."""

MOST_MISFIT_MM: Final = 2.0
"""A head further from its own mirror image than this, in the mean, is too uneven to tell a shift
from [mm]. Ours, from 47 real heads: 38 lie below, of which 36 are within 2 mm of what was seen."""

MOST_APART_MM: Final = 3.0
"""The mirror plane and the falx by the labels agree up to here [mm]. Ours, likewise."""

LEAST_FLUID: Final = 0.1
"""Least share of fluid on both sides of a septum: a ventricle full of blood shows none. Ours."""

FEWEST_SEPTA: Final = 2
"""In so many planes a septum is seen, or more: one alone may be a sulcus. Ours."""


def midline_shift_mm(head: HeadVolume, mask: LabelMask) -> float | None:
    """How far the septum pellucidum lies off the skull's midline [mm].

    The skull's midline is read in two ways that know nothing of each other: as the plane in which
    its inside is its own mirror image, and as the plane through the ends of the boundary between
    the sides that the networks label. The shift counts from half way between the two. The septum
    is found in the images alone, between the fluid of both ventricles; of three planes the middle
    value counts.

    None where the labels show no such level, the skull is uneven, both ways disagree, or there is
    no fluid about the septum. Source of where it is read: Brain Trauma Foundation, 2006.
    """
    level_mm, falx = deep_level_mm(mask), falx_plane_of(mask)
    if level_mm is None or falx is None:
        return None
    planes = [plane_at(head, level_mm + n * APART_MM, THICK_MM) for n in range(PLANES)]
    shown = [
        (plane, inside)
        for plane in planes
        if plane is not None and (inside := Inside.of(plane)) is not None
    ]
    if not shown:
        return None
    mirror = mirror_plane_of([inside for _, inside in shown])
    apart_mm = _falx_across_mm(falx, mirror, level_mm)
    if mirror.misfit_mm > MOST_MISFIT_MM or abs(apart_mm) > MOST_APART_MM:
        return None
    highest_mm = level_mm + (SEPTUM_PLANES - 0.5) * APART_MM
    septa = [septum_in(plane, mirror) for plane, _ in shown if plane.height_mm < highest_mm]
    across_mm = [septum.across_mm for septum in septa if septum.fluid >= LEAST_FLUID]
    if len(across_mm) < FEWEST_SEPTA:
        return None
    return abs(float(np.median(across_mm)) - apart_mm / 2)


def _falx_across_mm(falx: FalxPlane, mirror: MirrorPlane, level_mm: float) -> float:
    """How far to the left of the mirror plane the falx lies beside the septum [mm]."""
    height_mm = level_mm + APART_MM
    along_mm = np.arange(*SEPTUM_MM)
    _, y_mm = mirror.places(height_mm, along_mm, np.zeros(len(along_mm)))
    _, across_mm = mirror.along_and_across_mm(height_mm, falx.x_mm(height_mm, y_mm), y_mm)
    return float(np.median(across_mm))
