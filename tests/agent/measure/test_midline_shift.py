"""Midline shift of drawn heads, whose septum lies where it was drawn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from agent.measure.midline_shift import midline_shift_mm
from agent.records import Region, Subtype
from agent.voxels import Grid, HeadVolume, LabelMask, Regions
from tests.heads import AIR_HU, axial_grid, labels, positions_lps_mm

HEIGHTS_MM = np.arange(-25.0, 31.0, 5.0)
BRAIN_HU, BONE_HU, FLUID_HU, CLOT_HU = 35, 900, 8, 65
SEPTUM_MM = -23.0

Drawn = tuple[HeadVolume, LabelMask]
Change = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def drawn(
    shift_mm: float,
    *,
    turned_deg: float = 0.0,
    scan: dict[str, Any] | None = None,
    fluid_hu: int = FLUID_HU,
    falx_mm: float = 0.0,
    wide_mm: float = 7.0,
) -> Drawn:
    """A head whose septum bows to the left between two horns, and its sides and thalami.

    ``falx_mm`` is how far to the left the labels see all of the midline, ``wide_mm`` how wide the
    left horn is; the right one measures 5 mm.
    """
    grid = axial_grid(
        **{"heights_mm": HEIGHTS_MM, "rows": 190, "columns": 190, "pixel_mm": 1.0, **(scan or {})}
    )
    x, y, z = along_the_head(grid, turned_deg)
    bowed = shift_mm * np.clip(1.5 - np.abs(y - SEPTUM_MM) / 30, 0, 1)
    radius = np.sqrt((x / 66) ** 2 + (y / 82) ** 2 + (z / 90) ** 2)
    aside = x - bowed
    horns = (np.abs(y - SEPTUM_MM) < 24) & (aside > -5.8) & (aside < wide_mm + 0.8)
    hu = np.where(radius <= 1, BRAIN_HU, np.where(radius <= 1.1, BONE_HU, AIR_HU))
    hu = np.where(horns & (np.abs(aside) > 0.8), fluid_hu, hu).astype(np.int16)
    left = aside > falx_mm
    regions = np.where(left, Region.LEFT_FRONTAL, Region.RIGHT_FRONTAL)
    deep = (np.abs(y) < 20) & (np.abs(x) < 20) & (z < -9)
    regions = np.where(deep, np.where(left, Region.LEFT_THALAMUS, Region.RIGHT_THALAMUS), regions)
    regions = np.where(radius <= 1, regions, 0).astype(np.uint8)
    head = HeadVolume(hu, grid, tuple(f"1.2.{k}" for k in range(len(hu))), ())
    return head, labels(grid, np.zeros(hu.shape, bool), Subtype.SUBDURAL, regions)


def along_the_head(grid: Grid, turned_deg: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How far to the left, the back and the top of a turned head each voxel lies [mm]."""
    x, y, z = np.moveaxis(positions_lps_mm(grid), -1, 0)
    cos, sin = np.cos(np.radians(turned_deg)), np.sin(np.radians(turned_deg))
    return x * cos - y * sin, x * sin + y * cos, z


def changed(head: HeadVolume, change: Change, hu: int) -> HeadVolume:
    """The head with other tissue where ``change`` says so of x, y and z [mm]."""
    where = change(*along_the_head(head.grid, 0.0))
    return replace(head, hu=np.where(where, hu, head.hu).astype(np.int16))


@pytest.mark.parametrize(
    ("shift_mm", "how"),
    [
        (0.0, {}),
        (4.0, {"turned_deg": 18.0}),
        (-9.0, {"turned_deg": -10.0}),
        (6.0, {"scan": {"tilt_deg": 20.0}, "turned_deg": 12.0}),
        (6.0, {"scan": {"heights_mm": np.arange(-25.0, 31.0, 1.25)}}),
        (5.0, {"wide_mm": 13.0}),
    ],
    ids=["none", "turned", "to-the-right", "tilted-gantry", "thin-slices", "a-wide-ventricle"],
)
def test_a_shift_is_how_far_the_septum_lies_off_the_skulls_midline(
    shift_mm: float, how: dict[str, Any]
) -> None:
    assert midline_shift_mm(*drawn(shift_mm, **how)) == pytest.approx(abs(shift_mm), abs=1.0)


def test_a_bleed_on_one_side_does_not_draw_the_midline() -> None:
    head, mask = drawn(5.0)
    clot = changed(head, lambda x, y, z: (x + 35) ** 2 + (y + 10) ** 2 + z**2 < 22**2, CLOT_HU)

    assert midline_shift_mm(clot, mask) == pytest.approx(5.0, abs=1.0)


def test_a_mirrored_head_has_the_same_shift() -> None:
    head, mask = drawn(6.0, turned_deg=15.0)
    swapped = {
        Region.LEFT_FRONTAL: Region.RIGHT_FRONTAL,
        Region.LEFT_THALAMUS: Region.RIGHT_THALAMUS,
    }
    table = np.arange(256, dtype=np.uint8)
    for left, right in swapped.items():
        table[left], table[right] = right, left
    mirrored = (
        replace(head, hu=head.hu[..., ::-1]),
        replace(mask, regions=Regions.of_voxels(table[mask.regions.planes(1)[..., ::-1]])),
    )

    as_it_is, as_its_image = midline_shift_mm(head, mask), midline_shift_mm(*mirrored)

    assert as_it_is == pytest.approx(as_its_image, abs=0.6)


def without_anatomy() -> Drawn:
    head, mask = drawn(5.0)
    return head, replace(mask, regions=Regions.of_voxels(np.zeros_like(mask.subtypes)))


def a_piece_of_the_skull_pressed_in() -> Drawn:
    head, mask = drawn(5.0)
    return changed(head, lambda x, y, _: (x > 30) & (y > -20) & (y < 50), BONE_HU), mask


def nothing_but_air() -> Drawn:
    head, mask = drawn(5.0)
    return replace(head, hu=np.full_like(head.hu, AIR_HU)), mask


@pytest.mark.parametrize(
    "of",
    [
        without_anatomy,
        a_piece_of_the_skull_pressed_in,
        nothing_but_air,
        lambda: drawn(5.0, falx_mm=5.0),
        lambda: drawn(5.0, fluid_hu=CLOT_HU),
        lambda: drawn(5.0, fluid_hu=BRAIN_HU),
    ],
    ids=[
        "no-anatomy",
        "uneven-skull",
        "no-head",
        "both-midlines-of-the-skull-disagree",
        "ventricles-full-of-blood",
        "ventricles-pressed-shut",
    ],
)
def test_a_shift_that_could_not_be_trusted_is_not_told(of: Callable[[], Drawn]) -> None:
    assert midline_shift_mm(*of()) is None
