"""agent.measure.calcifications: what is dense, deep and small is told; what could be blood not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from agent.config import PACKAGED_ENGINES, InferConfig
from agent.infer.bundle import load_bundle
from agent.measure import calcifications
from agent.preprocess import SliceInput, axis_mm
from agent.reasons import Reason
from agent.records import Calcification, Region
from agent.voxels import HeadVolume, LabelMask, Regions
from tests.heads import axial_grid, ball, positions_lps_mm

FIELD = SliceInput(1.0, 256, 2.5, 2, ((0.0, 80.0),), 4)
BRAIN_HU, BONE_HU, AIR_HU = 35, 900, -1000
CHOROID_MM = 24.0, 25.0, 1.0
"""Where the choroid plexus is calcified: to the left, back and up [mm]."""

Seen = tuple[HeadVolume, LabelMask, dict[int, np.ndarray]]


@pytest.fixture(scope="module")
def how() -> Calcification:
    """What the shipped bundle has learned."""
    shipped = load_bundle(PACKAGED_ENGINES / InferConfig().bundle).contract.calcification
    assert shipped
    return shipped


def seen(*spots: tuple[tuple[float, float, float], float, int]) -> Seen:
    """A head in slabs of two slices, with balls at places, of radii [mm] and of HU.

    The slice network holds each of them for blood.
    """
    grid = axial_grid(np.arange(-70.0, 70.0, 1.25), rows=180, columns=180, pixel_mm=1.0)
    radius = np.linalg.norm(positions_lps_mm(grid) / (66.0, 84.0, 72.0), axis=-1)
    hu = np.where(radius <= 1, BRAIN_HU, np.where(radius <= 1.1, BONE_HU, AIR_HU))
    blood = np.zeros(hu.shape, bool)
    for place_mm, radius_mm, dense_hu in spots:
        here = ball(grid, place_mm, radius_mm)
        hu[here], blood[here] = dense_hu, True
    head = HeadVolume(hu.astype(np.int16), grid, tuple(f"1.2.{k}" for k in range(len(hu))), ())
    first_k = np.arange(0, len(hu), 2)
    slabs = grid.of_slabs(first_k)
    brain = np.where(radius <= 1, Region.LEFT_FRONTAL, 0).astype(np.uint8)[first_k]
    none = np.zeros(brain.shape, np.uint8)
    mask = LabelMask(none, Regions.of_voxels(brain), none, slabs, 0.1, first_k)
    at = [np.abs(axis_mm(256, 1.0)[:, None] - axis_mm(n, 1.0)).argmin(axis=1) for n in hu.shape[1:]]
    return (
        head,
        mask,
        {n: 0.9 * blood[k][np.ix_(*at)].astype(np.float32) for n, k in enumerate(first_k)},
    )


def told(what: Seen, how: Calcification) -> tuple[Reason, ...]:
    head, mask, bleed = what
    return calcifications(head, mask, (bleed, FIELD), how)


@pytest.mark.slow
def test_a_calcified_choroid_plexus_is_told_with_slice_size_and_density(
    how: Calcification,
) -> None:
    (reason,) = told(seen((CHOROID_MM, 4.0, 160)), how)

    values = dict(reason.values)
    assert reason.code == "calcification_no_bleed"
    assert values["slice_number"] == pytest.approx(71.0 / 1.25 + 1, abs=2)
    assert values["size_mm"] == pytest.approx(8.0, abs=1.5)
    assert values["highest_hu"] == pytest.approx(160, abs=5)


@pytest.mark.parametrize(
    ("place_mm", "radius_mm", "dense_hu"),
    [
        pytest.param(CHOROID_MM, 4.0, 70, id="as dense as blood"),
        pytest.param((63.0, 0.0, 0.0), 4.0, 160, id="beside the skull"),
        pytest.param(CHOROID_MM, 1.0, 160, id="a speck"),
        pytest.param(CHOROID_MM, 9.0, 160, id="3 mL"),
        pytest.param((24.0, -40.0, 1.0), 4.0, 85, id="in front, where little is calcified"),
    ],
)
def test_nothing_is_told_of_what_could_be_blood(
    place_mm: tuple[float, float, float], radius_mm: float, dense_hu: int, how: Calcification
) -> None:
    assert not told(seen((place_mm, radius_mm, dense_hu)), how)


def test_what_the_network_does_not_hold_for_blood_is_not_told(how: Calcification) -> None:
    head, mask, bleed = seen((CHOROID_MM, 4.0, 160))

    assert not told((head, mask, {n: values / 4 for n, values in bleed.items()}), how)


@pytest.mark.slow
def test_the_two_largest_are_told(how: Calcification) -> None:
    x, y, z = CHOROID_MM
    reasons = told(
        seen(((x, y, z), 3.0, 160), ((-x, y, z), 5.0, 160), ((x, y, z + 20), 4.0, 160)), how
    )

    assert [round(float(str(dict(reason.values)["size_mm"]))) for reason in reasons] == [10, 8]


def test_without_anatomy_nothing_is_told(how: Calcification) -> None:
    head, mask, bleed = seen((CHOROID_MM, 4.0, 160))
    nowhere = Regions.of_voxels(np.zeros(mask.grid.shape_kji, np.uint8))

    assert not told((head, replace(mask, regions=nowhere), bleed), how)
