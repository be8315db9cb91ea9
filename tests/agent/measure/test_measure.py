"""agent.measure: volumes, sides and shifts against paper arithmetic."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from agent.measure import measure as measure_with
from agent.measure import numbered, numbered_slices
from agent.measure.bleeds import SMALLEST_ML
from agent.records import Region, Side, Subtype, VolumeInterval
from agent.voxels import LabelMask, Regions
from tests.heads import INTERVAL, axial_grid, ball, halved_brain, labels

measure = partial(measure_with, shift_in=None)
EVEN = np.arange(-75.0, 76.0, 2.5)
UNEVEN = np.r_[np.arange(-75.0, 0.0, 2.5), np.arange(0.0, 76.0, 5.0)]


def test_no_label_gives_no_finding() -> None:
    grid = axial_grid(EVEN)

    measured = measure(labels(grid, np.zeros(grid.shape_kji, bool), Subtype.SUBDURAL), INTERVAL)

    assert measured.findings == ()
    assert measured.total_volume_ml == 0
    assert measured.key_slice_k is None


@pytest.mark.slow
@pytest.mark.parametrize("tilt_deg", [0.0, -18.5, 25.0], ids="tilt={}".format)
@pytest.mark.parametrize("heights", [EVEN, UNEVEN], ids=["even", "thin-below-thick-above"])
def test_volume_of_a_ball(heights: np.ndarray, tilt_deg: float) -> None:
    grid = axial_grid(heights, tilt_deg=tilt_deg, pixel_mm=0.9, rows=256, columns=256)
    bleed = ball(grid, (20.0, 5.0, 0.0), 20.0)

    (finding,) = measure(labels(grid, bleed, Subtype.SUBDURAL), INTERVAL).findings

    assert finding.volume_ml == pytest.approx(4 / 3 * np.pi * 2.0**3, rel=0.02)
    assert finding.centroid_lps_mm == pytest.approx((20.0, 5.0, 0.0), abs=1.0)
    assert finding.extent_mm[:2] == pytest.approx((40.0, 40.0), abs=2.5)
    low, high = finding.volume_interval_ml
    assert (low, high) == pytest.approx((finding.volume_ml * 0.9 - 1, finding.volume_ml * 1.1 + 1))


@pytest.mark.slow
def test_a_bleed_on_the_dura_tells_how_epidural_its_voxels_are_in_the_mean() -> None:
    grid = axial_grid(EVEN, pixel_mm=0.9, rows=256, columns=256)
    on_dura, in_brain = (ball(grid, (x_mm, 5.0, 0.0), 15.0) for x_mm in (40.0, -40.0))
    mask = labels(grid, on_dura, Subtype.SUBDURAL)
    subtypes = np.where(in_brain, Subtype.INTRAPARENCHYMAL, mask.subtypes).astype(np.uint8)
    share = np.where(on_dura, 102, 255).astype(np.uint8)

    told = measure(replace(mask, subtypes=subtypes, epidural_share=share), INTERVAL).findings

    assert {one.subtype: one.epidural_share for one in told} == {
        Subtype.SUBDURAL: pytest.approx(0.4),
        Subtype.INTRAPARENCHYMAL: None,
    }


@pytest.mark.slow
def test_the_interval_is_the_wider_the_less_sure_a_bleeds_own_voxels_are() -> None:
    grid = axial_grid(EVEN, pixel_mm=0.9, rows=256, columns=256)
    sure, doubtful = (ball(grid, (x_mm, 5.0, 0.0), 15.0) for x_mm in (40.0, -40.0))
    mask = labels(grid, sure | doubtful, Subtype.SUBDURAL)
    probability = np.where(doubtful, 102, 255).astype(np.uint8)
    interval = VolumeInterval(0.1, 0.2, 0.5, 2.0, 1.0)

    findings = measure(replace(mask, probability=probability), interval).findings

    told_ml = findings[0].volume_ml
    told = {round(one.mean_probability, 1): one.volume_interval_ml for one in findings}
    assert told[1.0] == pytest.approx((told_ml * 0.9 - 1, told_ml * 1.2 + 1))
    # a doubt of 0.6 adds 0.36 times as much
    assert told[0.4] == pytest.approx((told_ml * 0.72 - 1, told_ml * 1.92 + 1))


ENDS = st.floats(0, 5)


@given(st.floats(0, 500), st.floats(0, 1), st.builds(VolumeInterval, ENDS, ENDS, ENDS, ENDS, ENDS))
def test_an_interval_holds_its_volume_and_nothing_below_0(
    volume_ml: float, doubt: float, interval: VolumeInterval
) -> None:
    low_ml, high_ml = interval.of(volume_ml, doubt)

    assert 0 <= low_ml <= volume_ml <= high_ml


@pytest.mark.slow
def test_touching_blood_under_the_skull_is_one_bleed_named_after_its_larger_part() -> None:
    grid = axial_grid(EVEN, pixel_mm=0.9, rows=256, columns=256)
    mask = labels(grid, ball(grid, (20.0, 5.0, 0.0), 20.0), Subtype.EPIDURAL)
    lowest = np.arange(len(EVEN))[:, None, None] < 27
    mask.subtypes[(mask.subtypes > 0) & lowest] = Subtype.SUBDURAL
    mask.subtypes[ball(grid, (-40.0, 5.0, 0.0), 8.0)] = Subtype.SUBDURAL

    largest, other = measure(mask, INTERVAL).findings

    assert largest.subtype is Subtype.EPIDURAL
    assert largest.volume_ml == pytest.approx(4 / 3 * np.pi * 2.0**3, rel=0.02)
    assert other.subtype is Subtype.SUBDURAL


@pytest.mark.parametrize("tilt_deg", [0.0, 20.0], ids="tilt={}".format)
@pytest.mark.parametrize("heights", [EVEN, UNEVEN], ids=["even", "thin-below-thick-above"])
def test_place_is_told_from_right_to_left_front_to_back_bottom_to_top(
    heights: np.ndarray, tilt_deg: float
) -> None:
    grid = axial_grid(heights, tilt_deg=tilt_deg)
    bleed = ball(grid, (35.0, -45.0, 0.0), 10.0)  # the brain reaches ±70, ±90, ±75 mm

    (finding,) = measure(
        labels(grid, bleed, Subtype.SUBDURAL, halved_brain(grid)), INTERVAL
    ).findings

    assert finding.place == pytest.approx((0.75, 0.25, 0.5), abs=0.05)


def test_place_is_not_guessed_without_anatomy() -> None:
    grid = axial_grid(EVEN)

    (finding,) = measure(
        labels(grid, ball(grid, (35.0, 0.0, 0.0), 10.0), Subtype.SUBDURAL), INTERVAL
    ).findings

    assert finding.place is None


@pytest.mark.parametrize(
    ("x_mm", "side", "region"),
    [
        (40.0, Side.LEFT, Region.LEFT_FRONTAL),
        (-40.0, Side.RIGHT, Region.RIGHT_FRONTAL),
        (0.0, Side.MIDLINE, None),
    ],
    ids=["patient-left", "patient-right", "across-midline"],
)
def test_side_is_the_patients(x_mm: float, side: Side, region: Region | None) -> None:
    grid = axial_grid(EVEN)
    bleed = ball(grid, (x_mm, 50.0, 0.0), 12.0)

    (finding,) = measure(
        labels(grid, bleed, Subtype.INTRAPARENCHYMAL, halved_brain(grid)), INTERVAL
    ).findings

    assert finding.side is side
    assert region is None or finding.region is region


def test_without_anatomy_side_and_region_are_absent_not_guessed() -> None:
    grid = axial_grid(EVEN)

    (finding,) = measure(
        labels(grid, ball(grid, (40.0, 0.0, 0.0), 12.0), Subtype.EPIDURAL), INTERVAL
    ).findings

    assert finding.side is None
    assert finding.region is None


@pytest.mark.slow
def test_specks_are_no_findings_and_the_largest_comes_first() -> None:
    grid = axial_grid(EVEN)
    small, large = ball(grid, (-30.0, 0.0, 0.0), 8.0), ball(grid, (30.0, 0.0, 0.0), 15.0)
    speck = ball(grid, (0.0, 60.0, 30.0), 1.0)

    findings = measure(labels(grid, small | large | speck, Subtype.SUBDURAL), INTERVAL).findings

    assert [f.volume_ml >= SMALLEST_ML for f in findings] == [True, True]
    assert findings[0].volume_ml > findings[1].volume_ml


@given(subtypes=arrays(np.uint8, (4, 6, 7), elements=st.integers(0, 5)))
def test_findings_are_numbered_slice_by_slice_as_they_are_at_once(subtypes: np.ndarray) -> None:
    voxels_ml = axial_grid(np.arange(4) * 5.0, rows=6, columns=7, pixel_mm=6.0).voxels_ml

    slices = list(numbered_slices(subtypes, voxels_ml))

    for one, whole in zip(slices, numbered(subtypes, voxels_ml), strict=True):
        assert (whole == (0 if one is None else one)).all()
        assert one is None or one.any()


@given(subtypes=arrays(np.uint8, (4, 6, 7), elements=st.integers(0, 5)))
def test_every_part_is_measured_once(subtypes: np.ndarray) -> None:
    grid = axial_grid(np.arange(4) * 5.0, rows=6, columns=7, pixel_mm=6.0)
    zeros = np.zeros_like(subtypes)

    measured = measure(LabelMask(subtypes, Regions.of_voxels(zeros), zeros, grid, 0.5), INTERVAL)

    voxels_ml = (subtypes > 0).sum(axis=(1, 2)) @ grid.voxels_ml
    assert measured.total_volume_ml == pytest.approx(voxels_ml)


@pytest.mark.slow
@given(subtypes=arrays(np.uint8, (4, 6, 7), elements=st.integers(0, 5)))
def test_a_mirrored_head_swaps_sides(subtypes: np.ndarray) -> None:
    grid = axial_grid(np.arange(-7.5, 8, 5.0), rows=40, columns=40, pixel_mm=4.0)
    regions, big = halved_brain(grid), np.zeros(grid.shape_kji, np.uint8)
    big[:, 10:16, 20:27] = subtypes
    swapped = {
        0: 0,
        **{r: Region[r.name.replace("LEFT", "RIGHT")] for r in Region if "LEFT" in r.name},
        **{r: Region[r.name.replace("RIGHT", "LEFT")] for r in Region if "RIGHT" in r.name},
    }
    mirrored_regions = np.vectorize(lambda r: int(swapped[r]), otypes=[np.uint8])(
        regions[:, :, ::-1]
    )
    other = {Side.LEFT: Side.RIGHT, Side.RIGHT: Side.LEFT, Side.MIDLINE: Side.MIDLINE}

    there, back = (
        measure(LabelMask(bleed, Regions.of_voxels(where), big, grid, 0.5), INTERVAL).findings
        for bleed, where in ((big, regions), (big[:, :, ::-1], mirrored_regions))
    )

    assert sorted(other[f.side] for f in there if f.side) == sorted(f.side for f in back if f.side)
