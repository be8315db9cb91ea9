"""A whole head CT from a seed, with every voxel's bleed and region known.

Needs numpy, scipy and the packaged ``icbm152.npz`` only, so that it runs at a site.
"""

# ruff: noqa: PLR2004 - anatomy is drawn in coordinates, and each is used once

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agent.records import Region, Side, Subtype
from build_engine.synth import bleeds
from build_engine.synth.acquisition import Acquisition, draw_acquisition, scan
from build_engine.synth.lookalike import LookAlike
from build_engine.synth.lookalikes import paint_calcifications, paint_dura, paint_vessels
from build_engine.synth.space import Space, sample_smooth, template_positions, wobble
from build_engine.synth.template import load_template
from build_engine.synth.tissues import (
    AIR_HU,
    Anatomy,
    Patient,
    draw_patient,
    paint_inside,
    paint_outside,
    place_anatomy,
)

MOSTLY_FLUID: Final = 0.4
"""Fraction of fluid from which blood spreads through a voxel."""

BLOOD_STAINS: Final = 0.7
"""Blood makes up at least this much of a voxel that it reaches: it holds narrow sulci open."""

BREAKS_IN_ML: Final = 8.0
BREAKS_IN_SHARE: Final = 0.3
"""So many of the clots larger than that also bleed into a ventricle."""

CALCIFIED_HU: Final = 8.0
"""Calcium that makes a voxel denser by less is not to be seen [HU]."""

SEPTUM_LEVEL_MM: Final = 2.0, 20.0
FALX_FRONT_MM: Final = -66.0, -50.0
SEPTUM_MM: Final = -22.0, 2.0
FALX_BACK_MM: Final = 72.0, 92.0
"""Where the septum pellucidum lies in the template, and the falx's ends at its level: heights, and
places from front to back [mm]. Read off it."""

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class HeadRecipe:
    """What head to make. Everything random follows from ``seed``.

    ``bleed`` None is a head without one; ``side`` None and ``acquisition`` None are drawn. ``more``
    are further bleeds [mL], on the same side. ``look_alike`` is one that is made conspicuous: every
    head has some dura, vessels and calcium. ``deformation`` scales how far the anatomy is bent from
    the template.
    """

    seed: int
    bleed: Subtype | None
    volume_ml: float = 20.0
    side: Side | None = None
    more: tuple[tuple[Subtype, float], ...] = ()
    look_alike: LookAlike | None = None
    acquisition: Acquisition | None = None
    deformation: float = 1.0

    @property
    def bleeds(self) -> tuple[tuple[Subtype, float], ...]:
        """All bleeds asked for, with their volumes [mL]."""
        return () if self.bleed is None else ((self.bleed, self.volume_ml), *self.more)


@dataclass(frozen=True, slots=True, eq=False)
class SynthHead:
    """A generated head: arrays (k, j, i), rows to the back, columns to the left, slices up.

    ``hu`` in Hounsfield units; ``subtypes`` a ``Subtype`` or 0; ``regions`` a ``Region`` or 0;
    ``calcified`` where calcium was painted.
    """

    hu: NDArray[np.int16]
    subtypes: NDArray[np.uint8]
    regions: NDArray[np.uint8]
    spacing_kji_mm: tuple[float, float, float]
    midline_shift_mm: float
    calcified: NDArray[np.bool_]


def make_head(
    recipe: HeadRecipe, spacing_kji_mm: tuple[float, float, float] = (1.0, 1.0, 1.0)
) -> SynthHead:
    """Make a head on a grid of ``spacing_kji_mm``; slices are as thick as they are apart."""
    shape_rng, patient_rng, bleed_rng, paint_rng, scan_rng = np.random.default_rng(
        recipe.seed
    ).spawn(5)
    space, template = Space(spacing_kji_mm), load_template()
    patient = _with_room(draw_patient(patient_rng, recipe.look_alike), recipe)
    at_mm = template_positions(space, shape_rng, recipe.deformation)
    skull_mm = sample_smooth(space, template, template.skull_mm, at_mm, 60.0)
    depth_mm = np.float32(patient.csf_gap_mm) - skull_mm
    side = recipe.side or (Side.LEFT, Side.RIGHT)[int(bleed_rng.integers(2))]
    inner = space.around(depth_mm > 0)  # most of the box holds neither brain nor blood
    where = inner.part(at_mm), inner.part(depth_mm)
    clots = _clots(recipe, inner, bleed_rng, side, where)
    wobble(space, shape_rng, recipe.deformation, at_mm)
    for _, clot in clots:
        where[0][:] += clot.push_mm * (where[1] > 0)  # the skull does not give way
    anatomy = place_anatomy(inner, paint_rng, patient, template, where)
    hu = paint_inside(inner, paint_rng, patient, anatomy)
    paint_dura(inner, paint_rng, anatomy, hu, recipe.look_alike)
    paint_vessels(paint_rng, anatomy, hu, recipe.look_alike)
    without = hu.copy()
    paint_calcifications(inner, paint_rng, anatomy, hu, recipe.look_alike)
    calcified = hu > without + CALCIFIED_HU
    subtypes = np.zeros(hu.shape, dtype=np.uint8)
    for subtype, clot in clots:
        _paint_clot(inner, bleed_rng, subtype, (anatomy, clot), hu)
        subtypes[clot.mask & (subtypes == 0)] = subtype
    for subtype, volume_ml in _fluid_bleeds(recipe, bleed_rng):
        mask = _fill(inner, bleed_rng, anatomy, (subtype, side, volume_ml), hu)
        subtypes[mask & (subtypes == 0)] = subtype
    subtypes[anatomy.base] = 0
    painted = inner.in_box(hu, AIR_HU)
    base = inner.in_box(anatomy.base, outside=False)
    paint_outside(space, paint_rng, patient, (at_mm, depth_mm, base), painted)
    return SynthHead(
        hu=scan(space, scan_rng, painted, _acquisition(recipe, scan_rng)),
        subtypes=inner.in_box(subtypes, 0),
        regions=inner.in_box(anatomy.regions, 0),
        spacing_kji_mm=spacing_kji_mm,
        midline_shift_mm=_midline_shift_mm(anatomy, spacing_kji_mm),
        calcified=inner.in_box(calcified, outside=False),
    )


def _acquisition(recipe: HeadRecipe, rng: np.random.Generator) -> Acquisition:
    """Take the scanner asked for or draw one, with the artefact that was asked for."""
    acquisition = recipe.acquisition or draw_acquisition(rng)
    match recipe.look_alike:
        case LookAlike.METAL:
            return replace(acquisition, metal_hu=rng.uniform(25.0, 140.0))
        case LookAlike.MOTION:
            return replace(acquisition, motion_mm=rng.uniform(1.5, 5.0))
        case LookAlike.PARTIAL_VOLUME:
            return replace(acquisition, slice_blur=rng.uniform(0.5, 0.8))
    return acquisition


def _with_room(patient: Patient, recipe: HeadRecipe) -> Patient:
    """Widen spaces that could not hold the bleed; ventricles: 18 mL, and 8 mL more per mm."""
    asked_ml = dict(recipe.bleeds)
    if Subtype.SUBARACHNOID in asked_ml:
        fitting_age = 0.3 + asked_ml[Subtype.SUBARACHNOID] / 120
        patient = replace(patient, age=max(patient.age, fitting_age))
    if Subtype.INTRAVENTRICULAR in asked_ml:
        needed_mm = (1.4 * asked_ml[Subtype.INTRAVENTRICULAR] - 18.0) / 8.0
        growth_mm = max(patient.ventricle_growth_mm, needed_mm)
        patient = replace(patient, ventricle_growth_mm=growth_mm)
    return patient


def _clots(
    recipe: HeadRecipe,
    space: Space,
    rng: np.random.Generator,
    side: Side,
    at_and_depth_mm: tuple[Floats, Floats],
) -> list[tuple[Subtype, bleeds.Clot]]:
    """Lay the bleeds that take up room of their own."""
    makers = {
        Subtype.INTRAPARENCHYMAL: bleeds.parenchymal_clot,
        Subtype.SUBDURAL: bleeds.subdural_clot,
        Subtype.EPIDURAL: bleeds.epidural_clot,
    }
    return [
        (subtype, makers[subtype](space, rng, at_and_depth_mm, bleeds.Wanted(side, volume_ml)))
        for subtype, volume_ml in recipe.bleeds
        if subtype in makers
    ]


def _paint_clot(
    space: Space,
    rng: np.random.Generator,
    subtype: Subtype,
    anatomy_and_clot: tuple[Anatomy, bleeds.Clot],
    hu: Floats,
) -> None:
    """Paint a clot, and the oedema about one in the brain, in place."""
    anatomy, clot = anatomy_and_clot
    if subtype is Subtype.INTRAPARENCHYMAL:
        width = rng.uniform(0.05, 0.4)
        around = np.exp(-np.maximum(clot.beyond - 1, 0) / width) * (0.5 + 0.5 * anatomy.white)
        brain = (anatomy.fluid < 0.3) & (anatomy.depth_mm > 0)
        hu[brain] -= (rng.uniform(3.0, 16.0) * around)[brain]
    else:
        anatomy.regions[clot.mask] = Region.EXTRA_AXIAL
    hu[clot.mask] = bleeds.clot_hu(space, rng, subtype, clot.mask)[clot.mask]


def _fluid_bleeds(recipe: HeadRecipe, rng: np.random.Generator) -> list[tuple[Subtype, float]]:
    """Bleeds that mix with fluid [mL]: those asked for, or a clot that broke into a ventricle."""
    fluid = Subtype.INTRAVENTRICULAR, Subtype.SUBARACHNOID
    asked = [(subtype, volume_ml) for subtype, volume_ml in recipe.bleeds if subtype in fluid]
    breaks_in = recipe.bleed is Subtype.INTRAPARENCHYMAL and recipe.volume_ml > BREAKS_IN_ML
    if not asked and breaks_in and rng.random() < BREAKS_IN_SHARE:
        return [(Subtype.INTRAVENTRICULAR, rng.uniform(0.1, 0.4) * recipe.volume_ml)]
    return asked


def _fill(
    space: Space,
    rng: np.random.Generator,
    anatomy: Anatomy,
    what: tuple[Subtype, Side, float],
    hu: Floats,
) -> NDArray[np.bool_]:
    """Let blood into ventricles or the subarachnoid space, in place; returns where it went."""
    subtype, side, volume_ml = what
    if subtype is Subtype.INTRAVENTRICULAR:
        order = bleeds.ventricular_order(space, rng, anatomy.at_mm, side)
        allowed = anatomy.ventricle
    else:
        order = bleeds.subarachnoid_order(space, rng, anatomy.at_mm, side)
        allowed = (anatomy.fluid > MOSTLY_FLUID) & (anatomy.depth_mm > 1) & ~anatomy.ventricle
    mask, _ = bleeds.first_voxels(order, allowed, volume_ml / space.voxel_ml)
    blood = bleeds.clot_hu(space, rng, subtype, mask)
    share = np.maximum(anatomy.fluid, BLOOD_STAINS) * np.float32(rng.uniform(0.85, 1.0))
    hu[mask] += ((blood - hu) * share)[mask]
    return mask


def _midline_shift_mm(anatomy: Anatomy, spacing_kji_mm: tuple[float, float, float]) -> float:
    """How far the septum pellucidum lies off the line between the falx's ends [mm]."""
    z, y, x = anatomy.at_mm
    low, high = SEPTUM_LEVEL_MM
    middle = (np.abs(x) < 1.0) & (z > low) & (z < high) & (anatomy.depth_mm > 0)
    front, septum, back = (
        np.median(np.argwhere(middle & (y > first) & (y < last)), axis=0) * spacing_kji_mm
        for first, last in (FALX_FRONT_MM, SEPTUM_MM, FALX_BACK_MM)
    )
    (row, column), (along_row, along_column) = (septum - front)[1:], (back - front)[1:]
    off = column * along_row - row * along_column
    return float(np.abs(off) / np.hypot(along_row, along_column))
