"""agent.infer: what the networks see and say comes back to the scanner's own pixels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from agent.infer.bundle import Bundle
from agent.infer.slice_stage import SliceStage, slabs_of
from agent.measure import measure
from agent.records import HeadVolume, Subtype
from tests.heads import (
    INTERVAL,
    SEEING,
    SEEING_BUNDLE,
    SeeingBackend,
    axial_grid,
    ball,
    head,
    read,
)

THIN = np.arange(-75.0, 76.0, 0.625)
THICK = np.arange(-75.0, 76.0, 5.0)
UNEVEN = np.r_[np.arange(-75.0, 0.0, 4.2), np.arange(0.0, 76.0, 7.4)]


@pytest.fixture
def bundle() -> Bundle:
    return SEEING_BUNDLE


@pytest.mark.parametrize("tilt_deg", [0.0, 18.5, -25.0], ids="tilt={}".format)
@pytest.mark.parametrize("heights", [THIN, THICK, UNEVEN], ids=["0.625mm", "5mm", "4.2-then-7.4mm"])
def test_a_ball_of_blood_keeps_its_volume_and_place(
    heights: np.ndarray, tilt_deg: float, bundle: Bundle
) -> None:
    grid = axial_grid(heights, tilt_deg=tilt_deg)
    blood = ball(grid, (25.0, -20.0, 10.0), 21.0)
    true_ml = float(blood.sum(axis=(1, 2)) @ grid.voxels_ml)
    backend = SeeingBackend(bundle, Subtype.SUBDURAL)
    whole = head(grid, blood)

    mask = read(whole, bundle.contract, backend)

    (finding,) = measure(mask, INTERVAL, midline_shift=False).findings
    assert finding.subtype is Subtype.SUBDURAL
    assert finding.volume_ml == pytest.approx(true_ml, rel=0.12)
    assert finding.centroid_lps_mm == pytest.approx((25.0, -20.0, 10.0), abs=1.5)


def test_thin_slices_share_slabs_and_thick_ones_do_not(bundle: Bundle) -> None:
    thin, thick = (head(axial_grid(h), np.zeros((len(h), 128, 128), bool)) for h in (THIN, THICK))

    assert len(slabs_of(thin, 2.5)) == pytest.approx(len(THIN) / 4, abs=1)
    assert len(slabs_of(thick, 2.5)) == len(THICK)


class LeftEyedBackend(SeeingBackend):
    """Sees blood in the left half of its input alone."""

    def see(self, slabs: np.ndarray) -> np.ndarray:
        seen = super().see(slabs)
        right_columns = seen.shape[-1] // 2
        seen[:, 1:, :, right_columns:] = 0
        seen[:, 0] = 1 - seen[:, 1:].sum(axis=1)
        return seen


@pytest.mark.parametrize("side_mm", [-25.0, 25.0], ids=["right", "left"])
def test_read_mirrored_as_well_a_bleed_on_either_side_counts_alike(
    side_mm: float, bundle: Bundle
) -> None:
    grid = axial_grid(THICK)
    whole = head(grid, ball(grid, (side_mm, -20.0, 10.0), 21.0))
    mirrored = replace(SEEING, reading=replace(SEEING.reading, mirrored=True))
    backend = LeftEyedBackend(bundle)

    both = SliceStage(mirrored).finish(whole, backend)

    once = SliceStage(bundle.contract).finish(whole, SeeingBackend(bundle))
    assert backend.slices_run == 2 * len(both.slabs)
    np.testing.assert_allclose(both.probabilities[:, 1:], once.probabilities[:, 1:] / 2, atol=1e-6)


def growing(whole: HeadVolume, first_k: int, end_k: int) -> HeadVolume:
    grid = whole.grid
    part = type(grid)(
        grid.origins_lps_mm[first_k:end_k],
        grid.row_direction,
        grid.column_direction,
        grid.row_spacing_mm,
        grid.column_spacing_mm,
        grid.rows,
        grid.columns,
        grid.end_thickness_mm,
    )
    return HeadVolume(whole.hu[first_k:end_k], part, whole.sop_uids[first_k:end_k], ())


@pytest.mark.parametrize("upwards", [True, False], ids=["ascending", "descending"])
@pytest.mark.parametrize("heights", [THIN[:120], THICK], ids=["thin", "thick"])
@pytest.mark.parametrize("neighbours", [1, 2])
def test_work_done_while_slices_arrive_is_the_work_of_the_end(
    neighbours: int, heights: np.ndarray, upwards: bool, bundle: Bundle
) -> None:
    contract = replace(SEEING, slices=replace(SEEING.slices, neighbours=neighbours))
    bundle = replace(bundle, contract=contract)
    grid = axial_grid(heights, tilt_deg=12.0)
    whole = head(grid, ball(grid, (25.0, -20.0, -30.0), 25.0))
    backend, reference = SeeingBackend(bundle), SeeingBackend(bundle)
    stage, n = SliceStage(bundle.contract), len(heights)

    early = 0
    for count in range(2, n + 1):
        part = growing(whole, 0, count) if upwards else growing(whole, n - count, n)
        early += stage.advance(part, backend)
    streamed = stage.finish(whole, backend)
    at_once = SliceStage(bundle.contract).finish(whole, reference)

    assert early >= 0.6 * len(at_once.slabs)
    assert backend.slices_run == len(at_once.slabs), "nothing was run twice"
    np.testing.assert_array_equal(streamed.probabilities, at_once.probabilities)
    np.testing.assert_array_equal(streamed.fields, at_once.fields)


def test_a_slice_that_comes_late_changes_only_what_it_touches(bundle: Bundle) -> None:
    grid = axial_grid(THICK)
    whole = head(grid, ball(grid, (25.0, -20.0, 10.0), 25.0))
    without = growing(whole, 0, len(THICK) - 1)
    backend, stage = SeeingBackend(bundle), SliceStage(bundle.contract)
    stage.finish(without, backend)
    before = backend.slices_run

    late = stage.finish(whole, backend)

    assert backend.slices_run - before == 2
    fresh = SliceStage(bundle.contract).finish(whole, SeeingBackend(bundle))
    np.testing.assert_array_equal(late.probabilities, fresh.probabilities)
