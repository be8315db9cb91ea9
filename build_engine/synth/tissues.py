"""Paint a generated head in Hounsfield units, from the brain outwards."""

# ruff: noqa: PLR2004 - anatomy is drawn in coordinates, and each is used once

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from agent.records import Region
from build_engine.synth.lookalike import LookAlike
from build_engine.synth.space import Space, sample, sample_labels
from build_engine.synth.template import Template

AIR_HU: Final = -1000.0

BASE_BELOW_MM: Final = -26.0
"""Below this height in the template, gaps between parts of the brain are skull base [mm]."""

FORAMEN_BELOW_MM: Final = -58.0
"""Below this height the cord leaves the skull [mm]."""

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Patient:
    """What sets one head apart from another, beside its shape."""

    age: float  # 0 young … 1 very old
    csf_gap_mm: float
    ventricle_growth_mm: float
    grey_hu: float
    white_hu: float
    csf_hu: float
    skull_thickness_mm: float
    scalp_mm: float
    rim_hu: float  # beam hardening under the skull
    petrous_dark_hu: float
    petrous_streaks: float  # how uneven that darkness is


@dataclass(frozen=True, slots=True, eq=False)
class Anatomy:
    """What lies where. ``at_mm`` (3, k, j, i) is the tissue's own place in the template [mm]."""

    at_mm: Floats
    depth_mm: Floats  # below the inner table; negative outside it
    fluid: Floats  # fraction of CSF inside the skull
    white: Floats
    ventricle: Mask
    base: Mask  # bone between the parts of the brain
    brain_mm: Floats  # signed distance from the brain's surface, negative inside
    tentorium_mm: Floats
    regions: NDArray[np.uint8]


def draw_patient(rng: np.random.Generator, look_alike: LookAlike | None) -> Patient:
    """Draw a patient; most are old, as they are in a stroke unit."""
    age = float(rng.beta(1.6, 1.4))
    grey_hu = rng.normal(37.0, 1.8)
    rim_hu = max(0.0, rng.normal(4.0, 3.0))
    petrous_dark_hu, petrous_streaks = rng.uniform(0.0, 16.0), rng.uniform(0.4, 0.9)
    if look_alike is LookAlike.PARTIAL_VOLUME:
        rim_hu = rng.uniform(8.0, 18.0)
    if look_alike is LookAlike.PETROUS_HARDENING:
        petrous_dark_hu, petrous_streaks = rng.uniform(14.0, 28.0), rng.uniform(1.0, 1.8)
    return Patient(
        age=age,
        csf_gap_mm=0.6 + 2.8 * age * rng.random(),
        ventricle_growth_mm=float(np.clip(rng.normal(4.0 * age - 1.2, 1.0), -1.2, 6.0)),
        grey_hu=grey_hu,
        white_hu=grey_hu - rng.uniform(5.0, 9.5),
        csf_hu=rng.uniform(2.0, 11.0),
        skull_thickness_mm=rng.uniform(5.0, 9.0),
        scalp_mm=rng.uniform(3.5, 8.0),
        rim_hu=rim_hu,
        petrous_dark_hu=petrous_dark_hu,
        petrous_streaks=petrous_streaks,
    )


def place_anatomy(
    space: Space,
    rng: np.random.Generator,
    patient: Patient,
    template: Template,
    at_and_depth_mm: tuple[Floats, Floats],
) -> Anatomy:
    """Look the template up where the tissue comes from, and widen its fluid spaces with age."""
    at_mm, depth_mm = at_and_depth_mm
    inside = depth_mm > 0
    at = template.index(at_mm[:, inside])  # looking up the rest would take most of the time

    def spread(values: NDArray[Any], outside: float) -> NDArray[Any]:
        whole = np.full(inside.shape, outside, dtype=values.dtype)
        whole[inside] = values
        return whole

    grey, white, brain_mm, ventricle_mm, tentorium_mm = (
        spread(sample(values, at, outside), outside)
        for values, outside in (
            (template.grey, 0.0),
            (template.white, 0.0),
            (template.brain_mm, 60.0),
            (template.ventricle_mm, 60.0),
            (template.tentorium_mm, 60.0),
        )
    )
    regions = spread(sample_labels(template.regions, at), 0)
    fluid = np.clip((1 - grey - white - 0.1) * (1.0 + 0.9 * patient.age), 0, 1)
    fluid = np.maximum(fluid, _sulci(space, rng, patient, -brain_mm))
    ventricle = ventricle_mm < patient.ventricle_growth_mm * (1 + 0.25 * space.noise(rng, 30.0))
    ventricle &= (brain_mm < -6) | (regions == Region.VENTRICLES)
    fluid[ventricle] = 1.0
    base = inside & _base(rng, at_mm, brain_mm)
    fluid[base] = 0
    regions[(regions == Region.VENTRICLES) & ~ventricle] = 0
    regions[ventricle] = Region.VENTRICLES
    regions[inside & (regions == 0)] = Region.EXTRA_AXIAL
    return Anatomy(
        at_mm=at_mm,
        depth_mm=depth_mm,
        fluid=np.where(inside, fluid, 0).astype(np.float32),
        white=white / np.maximum(grey + white, np.float32(0.05)),
        ventricle=ventricle & inside,
        base=base,
        brain_mm=brain_mm,
        tentorium_mm=tentorium_mm,
        regions=regions,
    )


def _sulci(
    space: Space, rng: np.random.Generator, patient: Patient, below_surface_mm: Floats
) -> Floats:
    """Fraction of fluid in sulci: sheets that go down from the surface, wider with age.

    A sheet is where smooth noise crosses zero; the template's own sulci are those of an average
    of 152 brains, and too faint.
    """
    folds = space.noise(rng, rng.uniform(7.0, 10.0))
    width = 0.04 + 0.30 * patient.age * rng.uniform(0.5, 1.0)
    deep_mm = 6.0 + 9.0 * patient.age
    sheet = np.clip(1.5 - np.abs(folds) / np.float32(width), 0, 1)
    fraction: Floats = sheet * np.clip(1.4 - below_surface_mm / np.float32(deep_mm), 0, 1)
    return fraction * np.float32(0.85)


def paint_inside(
    space: Space, rng: np.random.Generator, patient: Patient, anatomy: Anatomy
) -> Floats:
    """Brain and fluid [HU], with the dark white matter of age, beam hardening and old infarcts."""
    solid = patient.grey_hu + (patient.white_hu - patient.grey_hu) * anatomy.white
    solid += 1.2 * space.noise(rng, 14.0)
    solid[anatomy.regions == Region.CEREBELLUM] -= 1.0
    near_ventricle = np.clip(anatomy.brain_mm / -30, 0, 1) * anatomy.white
    patchy = np.clip(space.noise(rng, 18.0) + 0.5, 0, 1.5)
    solid -= np.float32(rng.uniform(0.0, 10.0) * patient.age) * near_ventricle * patchy
    _infarcts(space, rng, anatomy, solid)
    hu = solid + (np.float32(patient.csf_hu) - solid) * anatomy.fluid
    hu += np.float32(patient.rim_hu) * np.exp(-np.maximum(anatomy.depth_mm, 0) / 7)
    z, y, x = anatomy.at_mm
    between_petrous = np.exp(-(((z + 38) / 9) ** 2) - ((y - 28) / 22) ** 2 - (x / 45) ** 2)
    streaks = 1 + np.float32(patient.petrous_streaks) * space.noise(rng, 9.0)
    painted: Floats = hu - np.float32(patient.petrous_dark_hu) * between_petrous * streaks
    return painted


def _infarcts(space: Space, rng: np.random.Generator, anatomy: Anatomy, solid: Floats) -> None:
    """Darken up to three old infarcts, from a lacune to a territory, in place."""
    for _ in range(rng.choice([0, 1, 2, 3], p=[0.5, 0.25, 0.15, 0.1])):
        centre = np.array(
            [rng.uniform(-20, 50), rng.uniform(-50, 75), rng.uniform(8, 50) * rng.choice([-1, 1])]
        )
        radius_mm = rng.choice([rng.uniform(2.5, 7.0), rng.uniform(10.0, 30.0)])
        away_mm = anatomy.at_mm - centre.astype(np.float32).reshape(3, 1, 1, 1)
        far = np.sqrt(np.square(away_mm).sum(axis=0)) / np.float32(radius_mm)
        far *= 1 + 0.3 * space.noise(rng, 10.0)
        share = np.clip((1.15 - far) / 0.3, 0, 1) * np.float32(rng.uniform(0.35, 1.0))
        solid += (np.float32(rng.uniform(8.0, 20.0)) - solid) * share


def paint_outside(
    space: Space,
    rng: np.random.Generator,
    patient: Patient,
    at_depth_and_base: tuple[Floats, Floats, Mask],
    hu: Floats,
) -> None:
    """Skull, scalp, skull base, face and neck over ``hu``, in place."""
    (z, y, x), depth_mm, base = at_depth_and_base
    out_mm = -depth_mm
    skull_mm = np.float32(patient.skull_thickness_mm) + np.float32(1.2) * space.noise(rng, 40.0)
    low = np.clip((5 - z) / 40, 0, 1)  # muscle hangs from the skull below this
    muscle_at_mm = skull_mm + 12 * low * np.clip(1 + 0.5 * space.noise(rng, 25.0), 0.2, 2)
    skin_at_mm = muscle_at_mm + np.float32(patient.scalp_mm)
    outside = out_mm > 0
    neck = (z < -45) & (np.square((y - 18) / 62) + np.square(x / 58) < 1)
    face = np.square((y + 50) / 52) + np.square(x / 62) + np.square((z + 62) / 52) < 1
    below = face | neck
    soft = outside & (out_mm > skull_mm) & ((out_mm < skin_at_mm) | below)
    deep_mm = out_mm[soft]
    fat = np.abs(space.noise(rng, 10.0)[soft]) < 0.22
    fat |= (deep_mm > muscle_at_mm[soft]) & ~below[soft]
    flesh = np.where(fat, np.float32(-95), 52 + 4 * space.noise(rng, 8.0)[soft])
    flesh[np.abs(deep_mm - skin_at_mm[soft] + 1) < 1] = 10
    hu[outside] = AIR_HU
    hu[soft] = flesh
    soft &= out_mm > skull_mm + 1
    _paint_face(space, rng, (z, y, x), (soft & face, soft & neck), hu)
    texture = space.noise(rng, 5.0)
    foramen = neck & (z < FORAMEN_BELOW_MM) & (np.hypot(y - 28, x) < 16)
    shell = outside & (out_mm < skull_mm) & ~foramen
    from_table_mm = np.minimum(out_mm[shell], (skull_mm - out_mm)[shell])
    table_hu, diploe_hu = rng.uniform(950.0, 1400.0), rng.uniform(250.0, 750.0)
    hu[shell] = np.where(from_table_mm < 1.8, table_hu, diploe_hu + 120 * texture[shell])
    rough = texture[base]
    hu[base] = np.where(rough > 1.1, AIR_HU, 650 + 250 * rough)


def _paint_face(
    space: Space,
    rng: np.random.Generator,
    zyx_mm: tuple[Floats, Floats, Floats],
    face_and_neck: tuple[Mask, Mask],
    hu: Floats,
) -> None:
    """Thin bones, air-filled sinuses and eyes, roughly."""
    z, y, x = zyx_mm
    face, neck = face_and_neck
    in_face = hu[face]
    sheets = np.abs(space.noise(rng, 9.0)[face]) < 0.22
    in_face[sheets] = rng.uniform(300.0, 900.0)
    aside_mm = np.abs(x)
    cavities = (space.noise(rng, 12.0)[face] - aside_mm[face] / 25 > 0.1) & (z[face] < -20)
    in_face[cavities] = AIR_HU
    from_eye_mm = np.sqrt(np.square(z + 30) + np.square(y + 66) + np.square(aside_mm - 32))
    in_face[from_eye_mm[face] < 19] = -80.0
    hu[face] = in_face
    hu[from_eye_mm < 12] = 14.0
    vertebra = np.abs(np.hypot(y[neck] - 28, x[neck]) - 20) < 5
    hu[neck] = np.where(vertebra, np.float32(500), hu[neck])


def _base(rng: np.random.Generator, at_mm: Floats, brain_mm: Floats) -> Mask:
    """Skull base between the parts of the brain: petrous bones, clivus and sphenoid."""
    z, y, x = at_mm
    beyond_mm = np.clip(np.abs(x) - 12, 0, 36)
    from_ridge_mm = np.hypot(z + 38, y - 14 - 0.39 * beyond_mm)
    petrous = (from_ridge_mm < rng.uniform(7.0, 11.0)) & (np.abs(x) > 10) & (brain_mm > 0.5)
    middle = (brain_mm > 2.5) & (y < 12)
    base: Mask = (z < BASE_BELOW_MM) & (petrous | middle)
    return base
