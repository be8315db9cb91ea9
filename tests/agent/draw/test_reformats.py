"""agent.draw.reformats: a bleed stands where it is in the patient, however the slices lie."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from agent.draw.reformats import Reformat, plane_through, render_reformat
from agent.packing import OUTLINE_RGB
from agent.voxels import Grid, HeadVolume
from tests import heads

BALL_MM = 14.0
TOP_MM, BRAIN_RADII_MM = 75.0, (70.0, 90.0, 75.0)
EVEN = np.arange(-80.0, 80.0, 3.0)
THIN_BELOW = np.concatenate([np.arange(-80.0, -20.0, 2.0), np.arange(-20.0, 80.0, 6.0)])


def drawn(
    grid: Grid, centre_mm: tuple[float, float, float], view: Reformat, radius_mm: float = BALL_MM
) -> np.ndarray:
    """Draw the plane through a ball of blood in an ellipsoid of brain about (0, 0, 0)."""
    bleed = heads.ball(grid, centre_mm, radius_mm)
    head = heads.head(grid, bleed)
    png = render_reformat(head, bleed.astype(np.uint8), centre_mm, view)
    return np.asarray(Image.open(BytesIO(png)).convert("RGB"))


def outline(picture: np.ndarray) -> np.ndarray:
    return (picture == OUTLINE_RGB).all(axis=-1)


def middle(where: np.ndarray) -> np.ndarray:
    """Middle of what a picture shows: (down, across) in pixels."""
    rows, columns = np.nonzero(where)
    return np.array([rows.min() + rows.max(), columns.min() + columns.max()]) / 2


def size(where: np.ndarray) -> np.ndarray:
    rows, columns = np.nonzero(where)
    return np.array([np.ptp(rows), np.ptp(columns)]) + 1


@pytest.mark.slow
@settings(max_examples=12)
@given(
    centre_mm=st.tuples(st.floats(-35, 35), st.floats(-45, 45), st.floats(-30, 30)),
    tilt_deg=st.floats(-25, 25),
    heights_mm=st.sampled_from([EVEN, THIN_BELOW]),
    view=st.sampled_from(["coronal", "sagittal"]),
)
def test_the_outline_is_where_the_bleed_is(
    centre_mm: tuple[float, float, float],
    tilt_deg: float,
    heights_mm: np.ndarray,
    view: Reformat,
) -> None:
    grid = heads.axial_grid(heights_mm, rows=96, columns=96, pixel_mm=2.4, tilt_deg=tilt_deg)

    found = outline(drawn(grid, centre_mm, view))

    plane = plane_through(centre_mm, grid, view)
    row, column = middle(found).round().astype(int)
    at_lps_mm = plane.positions_lps_mm()[row, column]
    slice_mm = float(np.diff(heights_mm).max())
    assert np.abs(at_lps_mm - centre_mm).max() < slice_mm / 2 + 1
    outer_mm = size(found) * plane.pixel_mm
    assert np.abs(outer_mm - 2 * BALL_MM - 8 * plane.pixel_mm).max() < slice_mm + 3


@pytest.mark.slow
@pytest.mark.parametrize("tilt_deg", [-20.0, 0.0, 20.0])
@pytest.mark.parametrize("view", ["coronal", "sagittal"])
def test_left_is_right_up_is_up_and_millimetres_are_alike_both_ways(
    view: Reformat, tilt_deg: float
) -> None:
    x_mm, y_mm, z_mm = centre_mm = (30.0, -20.0, 25.0)  # to the left, the front and the top
    grid = heads.axial_grid(np.arange(-90.0, 90.0, 3.0), rows=150, tilt_deg=tilt_deg)

    picture = drawn(grid, centre_mm, view, radius_mm=10.0)

    # By nothing but what is seen: the brain's own edge is the ruler, and its middle the origin.
    brain = picture[..., 0] > 60
    brain[:, : brain.shape[1] // 8] = brain[:, -brain.shape[1] // 8 :] = False  # the letters
    off_mm, across_mm = (y_mm, x_mm) if view == "coronal" else (x_mm, y_mm)
    radius_off_mm = BRAIN_RADII_MM[1 if view == "coronal" else 0]
    radii_mm = np.array([TOP_MM, BRAIN_RADII_MM[0 if view == "coronal" else 1]])
    radii_mm = radii_mm * np.sqrt(1 - (off_mm / radius_off_mm) ** 2)
    px_per_mm = size(brain) / (2 * radii_mm)
    assert px_per_mm[0] == pytest.approx(px_per_mm[1], rel=0.03)
    down_mm, right_mm = (middle(outline(picture)) - middle(brain)) / px_per_mm
    assert (down_mm, right_mm) == pytest.approx((-z_mm, across_mm), abs=2.5)


def test_what_lies_beyond_the_slices_is_black() -> None:
    grid = heads.axial_grid(np.arange(0.0, 60.0, 5.0), tilt_deg=20.0)
    full = HeadVolume(np.full(grid.shape_kji, 80, np.int16), grid, tuple(map(str, range(12))), ())
    labels = np.zeros(grid.shape_kji, np.uint8)

    png = render_reformat(full, labels, (0.0, 0.0, 30.0), "sagittal")

    picture = np.asarray(Image.open(BytesIO(png)).convert("L"))
    assert picture[0, 0] == picture[-1, -1] == 0 or picture[0, -1] == picture[-1, 0] == 0
    assert picture[picture.shape[0] // 2, picture.shape[1] // 2] > 250


@pytest.mark.parametrize("n", [1, 2], ids=["one-slice", "two-slices"])
def test_a_few_slices_give_a_narrow_picture(n: int) -> None:
    grid = heads.axial_grid(5.0 * np.arange(n))
    head = heads.head(grid, np.zeros(grid.shape_kji, bool))

    png = render_reformat(head, np.zeros(grid.shape_kji, np.uint8), (0.0, 0.0, 0.0), "coronal")

    width, height = Image.open(BytesIO(png)).size
    assert 1 <= height < width // 10
