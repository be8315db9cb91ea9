"""A whole head CT from a seed, with every voxel's bleed and region known.

Needs numpy, scipy and the packaged ``icbm152.npz`` only, so that it runs at a site.
"""

# ruff: noqa: PLR2004 - anatomy is drawn in coordinates, and each is used once

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from agent.records import Region, Side, Subtype
from build_engine.synth import bleeds
from build_engine.synth.lookalikes import paint_calcifications, paint_dura, paint_vessels
from build_engine.synth.space import Space, brain_wobble, sample, template_positions
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

NOISE_HU: Final = (2.0, 5.0)
"""Noise of a slice 2.5 mm thick [HU], from a good scanner to a poor one."""

NOISE_SLICE_MM: Final = 2.5

MOSTLY_FLUID: Final = 0.4
"""Fraction of fluid from which blood spreads through a voxel."""

BLOOD_STAINS: Final = 0.7
"""Blood makes up at least this much of a voxel that it reaches: it holds narrow sulci open."""

BREAKS_IN_ML: Final = 8.0
BREAKS_IN_SHARE: Final = 0.3
"""So many of the clots larger than that also bleed into a ventricle."""

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class HeadRecipe:
    """What head to make. Everything random follows from ``seed``.

    ``bleed`` None is a head without one; ``side`` None is drawn. ``look_alikes`` adds
    calcifications and dense vessels to the dura and sinuses that every head has.
    """

    seed: int
    bleed: Subtype | None
    volume_ml: float = 20.0
    side: Side | None = None
    look_alikes: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class SynthHead:
    """A generated head: arrays (k, j, i), rows to the back, columns to the left, slices up.

    ``hu`` in Hounsfield units; ``subtypes`` a ``Subtype`` or 0; ``regions`` a ``Region`` or 0.
    """

    hu: NDArray[np.int16]
    subtypes: NDArray[np.uint8]
    regions: NDArray[np.uint8]
    spacing_kji_mm: tuple[float, float, float]
    midline_shift_mm: float


def make_head(
    recipe: HeadRecipe, spacing_kji_mm: tuple[float, float, float] = (1.0, 1.0, 1.0)
) -> SynthHead:
    """Make a head on a grid of ``spacing_kji_mm``; slices are as thick as they are apart."""
    shape_rng, patient_rng, bleed_rng, paint_rng, scan_rng = np.random.default_rng(
        recipe.seed
    ).spawn(5)
    space, template = Space(spacing_kji_mm), load_template()
    patient = _with_room(draw_patient(patient_rng), recipe)
    at_mm = template_positions(space, shape_rng)
    skull_mm = sample(template, template.skull_mm, at_mm, 60.0)
    where = at_mm, np.float32(patient.csf_gap_mm) - skull_mm
    side = recipe.side or (Side.LEFT, Side.RIGHT)[int(bleed_rng.integers(2))]
    clot = _clot(recipe, space, bleed_rng, side, where)
    tissue_at_mm = at_mm + brain_wobble(space, shape_rng)
    if clot is not None:
        tissue_at_mm += clot.push_mm
    anatomy = place_anatomy(space, paint_rng, patient, template, (tissue_at_mm, skull_mm))
    hu = paint_inside(space, paint_rng, patient, anatomy)
    paint_dura(space, paint_rng, anatomy, hu)
    if recipe.look_alikes:
        paint_vessels(paint_rng, anatomy, hu)
        paint_calcifications(space, paint_rng, anatomy, hu)
    subtypes = np.zeros(space.shape_kji, dtype=np.uint8)
    if clot is not None and recipe.bleed is not None:
        _paint_clot(space, bleed_rng, recipe.bleed, (anatomy, clot), hu)
        subtypes[clot.mask] = recipe.bleed
    for subtype, volume_ml in _fluid_bleeds(recipe, bleed_rng):
        mask = _fill(space, bleed_rng, anatomy, (subtype, side, volume_ml), hu)
        subtypes[mask & (subtypes == 0)] = subtype
    subtypes[anatomy.base] = 0
    paint_outside(space, paint_rng, patient, anatomy, hu)
    return SynthHead(
        hu=_scan(space, scan_rng, hu),
        subtypes=subtypes,
        regions=anatomy.regions,
        spacing_kji_mm=spacing_kji_mm,
        midline_shift_mm=0.0 if clot is None else _midline_shift_mm(anatomy, clot),
    )


def _with_room(patient: Patient, recipe: HeadRecipe) -> Patient:
    """Widen spaces that could not hold the bleed; ventricles: 18 mL, and 8 mL more per mm."""
    if recipe.bleed is Subtype.SUBARACHNOID:
        return replace(patient, age=max(patient.age, 0.3 + recipe.volume_ml / 120))
    if recipe.bleed is not Subtype.INTRAVENTRICULAR:
        return patient
    needed_mm = (1.4 * recipe.volume_ml - 18.0) / 8.0
    return replace(patient, ventricle_growth_mm=max(patient.ventricle_growth_mm, needed_mm))


def _clot(
    recipe: HeadRecipe,
    space: Space,
    rng: np.random.Generator,
    side: Side,
    at_and_depth_mm: tuple[Floats, Floats],
) -> bleeds.Clot | None:
    """Lay the bleed if it is one that takes up room of its own."""
    makers = {
        Subtype.INTRAPARENCHYMAL: bleeds.parenchymal_clot,
        Subtype.SUBDURAL: bleeds.subdural_clot,
        Subtype.EPIDURAL: bleeds.epidural_clot,
    }
    if recipe.bleed not in makers:
        return None
    return makers[recipe.bleed](space, rng, at_and_depth_mm, bleeds.Wanted(side, recipe.volume_ml))


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
    hu[clot.mask] = bleeds.clot_hu(space, rng, subtype)[clot.mask]


def _fluid_bleeds(recipe: HeadRecipe, rng: np.random.Generator) -> list[tuple[Subtype, float]]:
    """Bleeds that mix with fluid [mL]: the one asked for, or a clot that broke into a ventricle."""
    if recipe.bleed in (Subtype.INTRAVENTRICULAR, Subtype.SUBARACHNOID):
        return [(recipe.bleed, recipe.volume_ml)]
    breaks_in = recipe.bleed is Subtype.INTRAPARENCHYMAL and recipe.volume_ml > BREAKS_IN_ML
    if breaks_in and rng.random() < BREAKS_IN_SHARE:
        return [(Subtype.INTRAVENTRICULAR, rng.uniform(0.1, 0.4) * recipe.volume_ml)]
    return []


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
    blood = bleeds.clot_hu(space, rng, subtype)
    share = np.maximum(anatomy.fluid, BLOOD_STAINS) * np.float32(rng.uniform(0.85, 1.0))
    hu[mask] += ((blood - hu) * share)[mask]
    return mask


def _scan(space: Space, rng: np.random.Generator, hu: Floats) -> NDArray[np.int16]:
    """Scan it: a head rest, blur, noise, whole numbers."""
    z_mm, y_mm, x_mm = space.positions_mm()
    rest = (np.abs(np.hypot(y_mm, x_mm) - rng.uniform(112.0, 118.0)) < 2) & (y_mm > 30)
    hu[rest & (hu <= AIR_HU) & (z_mm < rng.uniform(-20.0, 95.0))] = rng.uniform(0.0, 400.0)
    sigmas_mm = np.array([0.35 * space.spacing_kji_mm[0], *(rng.uniform(0.45, 0.9),) * 2])
    blurred = ndimage.gaussian_filter(hu, sigmas_mm / space.spacing_kji_mm, truncate=2.5)
    grain = rng.standard_normal(hu.shape, dtype=np.float32)
    grain = ndimage.gaussian_filter(
        grain, (0, *(rng.uniform(0.4, 0.8) / s for s in space.spacing_kji_mm[1:]))
    )
    level_hu = rng.uniform(*NOISE_HU) * np.sqrt(NOISE_SLICE_MM / space.spacing_kji_mm[0])
    blurred += grain * np.float32(level_hu / grain.std())
    scanned: NDArray[np.int16] = np.rint(np.clip(blurred, -1024, 3071)).astype(np.int16)
    return scanned


def _midline_shift_mm(anatomy: Anatomy, clot: bleeds.Clot) -> float:
    """Largest sideways push at the midline, at the level of the ventricles [mm]."""
    z, y, x = anatomy.at_mm
    level = (np.abs(x) < 1.5) & (z > 0) & (z < 25) & (np.abs(y) < 30)
    return float(np.abs(clot.push_mm[2][level & ~clot.mask]).max(initial=0.0))
