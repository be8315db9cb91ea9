"""agent.registration: an earlier head is laid over a later one; two patients' heads are not."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.transform import Rotation

from agent.registration import (
    OUTSIDE_HU,
    Motion,
    Planes,
    laid_over,
    numbers_over,
    places,
    reduced,
    registered,
    slices_at,
)
from agent.voxels import Grid
from tests.agent.assemble.whole_heads import CT_ICH, CT_ICH_SLICE_MM, ct_ich_head


def head_at(points_mm: np.ndarray) -> np.ndarray:
    """HU of a head at points (height, down, across): a skull, a nose, ventricles and a sinus."""
    height, down, across = np.moveaxis(points_mm, -1, 0)

    def ball(h: float, d: float, a: float, radii_mm: tuple[float, float, float]) -> np.ndarray:
        rh, rd, ra = radii_mm
        return np.sqrt(((height - h) / rh) ** 2 + ((down - d) / rd) ** 2 + ((across - a) / ra) ** 2)

    skull = ball(60, 115, 112, (70, 84, 68))
    inner = ball(60, 115, 112, (64, 77, 61))
    nose = ball(15, 31, 112, (20, 14, 12))
    left = ball(66, 108, 128, (11, 30, 8))
    right = ball(66, 108, 98, (11, 30, 7))
    sinus = ball(20, 44, 104, (12, 10, 16))
    mastoid = ball(5, 150, 160, (14, 14, 12))
    hu = np.full(height.shape, -1000.0)
    for inside, value in (
        (nose, 30), (skull, 1000), (inner, 34), (left, 6), (right, 6), (sinus, -900), (mastoid, 400)
    ):  # fmt: skip
        hu[inside < 1] = value
    return hu


def planes(heights_mm: np.ndarray, pixel_mm: float = 1.8, size: int = 128) -> Planes:
    return Planes(size, size, (pixel_mm, pixel_mm), heights_mm)


def points_of(of: Planes) -> np.ndarray:
    down = np.arange(of.rows) * of.spacing_mm[0]
    across = np.arange(of.columns) * of.spacing_mm[1]
    return np.stack(np.meshgrid(of.heights_mm, down, across, indexing="ij"), axis=-1)


def motion(angles_deg: tuple[float, float, float], shift_mm: tuple[float, float, float]) -> Motion:
    """Turn about the head's middle, and move."""
    rotation = Rotation.from_euler("xyz", angles_deg, degrees=True).as_matrix()
    middle = np.array([60.0, 115.0, 112.0])
    return Motion(rotation, middle + np.array(shift_mm) - rotation @ middle)


NOW = planes(np.arange(0.0, 130.0, 5.0))
UNEVEN = np.concatenate([np.arange(-20.0, 30.0, 2.5), np.arange(30.0, 150.0, 5.0)])


@pytest.mark.parametrize(
    ("angles_deg", "shift_mm", "before"),
    [
        ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0), NOW),
        ((12.0, -8.0, 10.0), (15.0, -12.0, 9.0), planes(UNEVEN)),
        ((-15.0, 5.0, -6.0), (-20.0, 10.0, -10.0), planes(np.arange(-40.0, 150.0, 2.0), 1.5, 154)),
        ((3.0, 14.0, -18.0), (2.0, 3.0, -14.0), planes(np.arange(-10.0, 140.0, 3.0), 2.4, 100)),
    ],
    ids=["the same", "unevenly spaced", "thin, in finer pixels", "in coarser pixels"],
)
def test_an_earlier_head_is_found_to_two_millimetres(
    angles_deg: tuple[float, float, float], shift_mm: tuple[float, float, float], before: Planes
) -> None:
    true = motion(angles_deg, shift_mm)
    noise = np.random.default_rng(1)
    now_hu = head_at(points_of(NOW)) + noise.normal(0, 5, (len(NOW.heights_mm), 128, 128))
    before_hu = head_at(true.back(points_of(before)))

    found = registered(
        reduced(NOW, now_hu.astype(np.int16)), reduced(before, before_hu.astype(np.int16))
    )

    assert found
    within = points_of(NOW)[::2, ::8, ::8][head_at(points_of(NOW)[::2, ::8, ::8]) > 0]
    away_mm = np.linalg.norm(found.of(within) - true.of(within), axis=-1)
    assert away_mm.max() < 2.0
    assert found.turned_deg == pytest.approx(true.turned_deg, abs=1.0)
    assert np.allclose(found.back(found.of(within)), within)


def test_what_is_no_head_is_not_laid_over_one() -> None:
    head = reduced(NOW, head_at(points_of(NOW)).astype(np.int16))
    empty = reduced(NOW, np.full((len(NOW.heights_mm), 128, 128), -1000, np.int16))

    assert registered(head, empty) is None


@pytest.mark.slow
@pytest.mark.skipif(not CT_ICH.is_dir(), reason=f"{CT_ICH} is not here")
def test_a_real_head_is_found_again_and_no_other_patients() -> None:
    head, other = (ct_ich_head(CT_ICH / f"{patient}_ct.nii.gz") for patient in ("051", "076"))
    of, of_other = (planes_of(one.grid) for one in (head, other))
    true = motion((11.0, -7.0, 14.0), (12.0, -9.0, 5.0))
    places_mm = true.back(points_of(of)) / np.array([CT_ICH_SLICE_MM, *of.spacing_mm])
    at = np.moveaxis(places_mm, -1, 0)
    turned = ndimage.map_coordinates(head.hu, at, order=1, cval=-1000)

    found = registered(reduced(of, head.hu), reduced(of, turned))

    assert found
    brain_mm = points_of(of)[::3, ::24, ::24][head.hu[::3, ::24, ::24] > 0]
    away_mm = np.linalg.norm(found.of(brain_mm) - true.of(brain_mm), axis=-1)
    assert away_mm.max() < 3.0
    assert registered(reduced(of, head.hu), reduced(of_other, other.hu)) is None


def planes_of(grid: Grid) -> Planes:
    spacing_mm = grid.row_spacing_mm, grid.column_spacing_mm
    return Planes(grid.rows, grid.columns, spacing_mm, np.asarray(grid.heights_mm))


def test_slices_and_findings_lie_where_the_motion_puts_them() -> None:
    before = planes(np.arange(-20.0, 150.0, 4.0))
    turned = motion((0.0, 0.0, 10.0), (6.0, -5.0, 3.0))
    hu = head_at(turned.back(points_of(before))).astype(np.int16)
    numbers = np.zeros(hu.shape, np.uint8)
    spot_mm = np.array([60.0, 90.0, 130.0])
    near = np.linalg.norm(points_of(before) - turned.of(spot_mm), axis=-1) < 12
    numbers[near] = 3
    k = 12  # 60 mm

    at = places(NOW, k, before, turned)
    of = slices_at(at, before)
    laid = laid_over(at, hu[of.start : of.stop], of.start)
    found = numbers_over(at, numbers[of.start : of.stop], of.start)

    expected = head_at(points_of(NOW)[k])
    inside = ndimage.binary_erosion(expected == 34, iterations=4)
    assert np.abs(laid[inside] - 34).max() < 1
    middle = np.argwhere(found == 3).mean(axis=0) * 1.8
    assert np.linalg.norm(middle - spot_mm[1:]) < 1.5
    assert set(np.unique(found)) == {0, 3}


def test_what_the_earlier_images_do_not_reach_is_empty() -> None:
    before = planes(np.array([500.0, 505.0]))
    still = motion((0.0, 0.0, 0.0), (0.0, 0.0, 0.0))

    at = places(NOW, 0, before, still)

    assert len(slices_at(at, before)) == 0
    assert (laid_over(at, np.zeros((2, 128, 128), np.int16), 0) == OUTSIDE_HU).all()
