"""agent.infer: what the networks see and say comes back to the scanner's own pixels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.infer.bundle import Bundle
from agent.infer.probabilities import Probabilities
from agent.infer.slice_stage import SliceOutput, SliceStage, slabs_of
from agent.infer.volume_stage import label_head, labels_of, run_volume
from agent.measure import measure
from agent.preprocess import SliceInput, VolumeInput
from agent.records import Subtype
from agent.voxels import Grid, HeadVolume
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


@pytest.mark.slow
@pytest.mark.parametrize("tilt_deg", [0.0, 18.5, -25.0], ids="tilt={}".format)
@pytest.mark.parametrize("heights", [THIN, THICK, UNEVEN], ids=["0.625mm", "5mm", "4.2-then-7.4mm"])
def test_a_ball_of_blood_keeps_its_volume_and_place_and_so_do_its_probabilities(
    heights: np.ndarray, tilt_deg: float, bundle: Bundle
) -> None:
    grid = axial_grid(heights, tilt_deg=tilt_deg)
    blood = ball(grid, (25.0, -20.0, 10.0), 21.0)
    true_ml = float(blood.sum(axis=(1, 2)) @ grid.voxels_ml)
    backend = SeeingBackend(bundle, Subtype.SUBDURAL)
    whole = head(grid, blood)

    slices = SliceStage(bundle.contract).finish(whole, backend)
    volume = run_volume(whole, slices, bundle.contract, backend)
    mask = labels_of(whole, slices, bundle.contract, volume)
    (finding,) = measure(mask, INTERVAL, shift_in=None).findings
    assert finding.subtype is Subtype.SUBDURAL
    assert finding.volume_ml == pytest.approx(true_ml, rel=0.12)
    assert finding.centroid_lps_mm == pytest.approx((25.0, -20.0, 10.0), abs=1.5)

    probabilities = Probabilities.of(slices, volume, bundle.contract)
    for network in (0, 1):
        shown = as_drawn(probabilities, grid, network)
        kji = np.argwhere(shown)
        weights = shown[tuple(kji.T)] * grid.voxels_ml[kji[:, 0]]
        centre = weights @ grid.to_lps_mm(kji) / weights.sum()
        assert centre == pytest.approx((25.0, -20.0, 10.0), abs=1.5), network
        assert weights.sum() == pytest.approx(255 * true_ml, rel=0.15 if network == 0 else 0.5)


def as_drawn(probabilities: Probabilities, grid: Grid, network: int) -> np.ndarray:
    """Stretch a network's maps over the slices (k, j, i) about their centres, as the page does."""
    maps = list(probabilities.maps())
    shown = np.zeros(grid.shape_kji)
    for k, first_k in enumerate(probabilities.first_k):
        if first_k is not None:
            one = maps[first_k]
            assert one is not None
            per_mm = one.shape[1] / probabilities.field_mm
            rows, columns = (
                ((np.arange(n) + 0.5 - n / 2) * mm * per_mm + one.shape[1] / 2).astype(int)
                for n, mm in (
                    (grid.rows, grid.row_spacing_mm),
                    (grid.columns, grid.column_spacing_mm),
                )
            )
            shown[k] = one[network][np.ix_(rows, columns)]
    return shown


@pytest.mark.slow
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


@pytest.mark.slow
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
    np.testing.assert_allclose(both.probabilities, once.probabilities / 2, atol=1e-6)


def assert_same(one: SliceOutput, other: SliceOutput) -> None:
    np.testing.assert_array_equal(one.areas_mm2, other.areas_mm2)
    assert list(one.seen) == list(other.seen)
    for ours, theirs in zip(one.seen.values(), other.seen.values(), strict=True):
        np.testing.assert_array_equal(ours.bleed, theirs.bleed)
        np.testing.assert_array_equal(ours.narrowed, theirs.narrowed)


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


@pytest.mark.slow
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
    assert_same(streamed, at_once)


SMALL = replace(
    SEEING,
    slices=SliceInput(6.0, 32, 2.5, 1, ((0.0, 80.0), (-20.0, 100.0)), 4),
    volume=VolumeInput((5.0, 12.0, 12.0), (12, 16, 16), ((0.0, 80.0),)),
)


def only(whole: HeadVolume, chosen: list[int]) -> HeadVolume:
    """The slices ``chosen`` of a head, as long as the others have not come."""
    grid = replace(whole.grid, origins_lps_mm=whole.grid.origins_lps_mm[chosen])
    return HeadVolume(whole.hu[chosen], grid, tuple(whole.sop_uids[k] for k in chosen), ())


@pytest.mark.slow
@settings(max_examples=25)
@given(
    order=st.permutations(range(24)),
    waits=st.lists(st.booleans(), min_size=24, max_size=24),
    answered_at=st.integers(2, 24),
    tilt_deg=st.sampled_from([0.0, 15.0]),
    spacing_mm=st.sampled_from([1.25, 5.0]),
    mirrored=st.booleans(),
)
def test_in_whatever_order_slices_come_and_are_run_the_answer_is_that_of_a_fresh_analysis(
    order, waits, answered_at, tilt_deg, spacing_mm, mirrored
):
    heights_mm = (np.arange(24) - 11.5) * spacing_mm
    grid = axial_grid(heights_mm, rows=32, columns=32, pixel_mm=7.0, tilt_deg=tilt_deg)
    whole = head(grid, ball(grid, (25.0, -20.0, 2.0), 21.0))
    contract = replace(SMALL, reading=replace(SMALL.reading, mirrored=mirrored))
    bundle = replace(SEEING_BUNDLE, contract=contract)
    backend, stage = SeeingBackend(bundle), SliceStage(contract)

    for n, wait in enumerate(waits, start=1):
        so_far = only(whole, sorted(order[:n]))
        if not wait:
            stage.advance(so_far, backend)
        if n == answered_at:  # what comes after is late
            label_head(so_far, stage.finish(so_far, backend), contract, backend)
    found = label_head(whole, stage.finish(whole, backend), contract, backend)

    fresh = read(whole, contract, SeeingBackend(bundle))
    for part in ("subtypes", "probability", "first_k"):
        np.testing.assert_array_equal(getattr(found, part), getattr(fresh, part))
    np.testing.assert_array_equal(found.regions.planes(1), fresh.regions.planes(1))
    assert found.score == fresh.score
    assert found.subtypes.any()


def test_a_slice_that_was_scanned_again_is_run_again_with_all_that_see_it():
    grid = axial_grid((np.arange(24) - 11.5) * 5.0, rows=32, columns=32, pixel_mm=7.0)
    before = head(grid, ball(grid, (25.0, -20.0, 2.0), 0.0))
    after = head(grid, ball(grid, (25.0, -20.0, 2.0), 21.0))
    changed = (after.hu != before.hu).any(axis=(1, 2))
    uids = [f"{uid}.9" if new else uid for uid, new in zip(before.sop_uids, changed, strict=True)]
    again = replace(after, sop_uids=tuple(uids))
    tall = replace(SMALL, volume=replace(SMALL.volume, voxel_kji_mm=(10.0, 12.0, 12.0)))
    backend, stage = SeeingBackend(replace(SEEING_BUNDLE, contract=tall)), SliceStage(tall)
    stage.advance(before, backend)
    stage.finish(before, backend)
    first_run = backend.slices_run

    found = stage.finish(again, backend)

    fresh = SeeingBackend(replace(SEEING_BUNDLE, contract=tall))
    assert_same(found, SliceStage(tall).finish(again, fresh))
    assert backend.slices_run - first_run == changed.sum() + 2


def test_an_export_leaves_at_its_end_only_what_the_last_slices_touch():
    """The lowest slabs waited for slices below them, which an export upwards never brings."""
    grid = axial_grid((np.arange(24) - 11.5) * 5.0, rows=32, columns=32, pixel_mm=7.0)
    whole = head(grid, ball(grid, (25.0, -20.0, 2.0), 21.0))
    backend = SeeingBackend(replace(SEEING_BUNDLE, contract=SMALL))
    stage = SliceStage(SMALL)
    for n in (8, 16, 24):
        stage.advance(only(whole, list(range(n))), backend)
    before = backend.slices_run

    stage.finish(whole, backend)

    assert backend.slices_run - before <= 2 + backend.slabs_per_run - 1


def test_slabs_that_the_block_does_not_reach_are_not_run_and_change_nothing():
    """Below 60 mm from the vertex nothing that the slice network says is read."""
    grid = axial_grid((np.arange(24) - 11.5) * 5.0, rows=32, columns=32, pixel_mm=7.0)
    whole = head(grid, ball(grid, (25.0, -20.0, 30.0), 21.0))
    below = replace(whole, hu=np.where(np.arange(24)[:, None, None] < 8, 70, whole.hu))
    backend = SeeingBackend(replace(SEEING_BUNDLE, contract=SMALL))

    found = SliceStage(SMALL).finish(whole, backend)

    assert len(found.seen) == backend.slices_run == 13
    assert list(found.seen) == list(range(11, 24))
    masks = [read(one, SMALL, backend) for one in (whole, below)]
    assert masks[0].subtypes.any()
    assert masks[0].score == masks[1].score
    np.testing.assert_array_equal(masks[0].probability, masks[1].probability)


def test_an_export_downwards_ends_without_slabs_that_the_block_does_not_reach():
    grid = axial_grid((np.arange(24) - 11.5) * 5.0, rows=32, columns=32, pixel_mm=7.0)
    whole = head(grid, ball(grid, (25.0, -20.0, 30.0), 21.0))
    backend, stage = SeeingBackend(replace(SEEING_BUNDLE, contract=SMALL)), SliceStage(SMALL)
    for n in range(2, 25):
        stage.advance(only(whole, list(range(24 - n, 24))), backend)

    stage.finish(whole, backend)

    assert backend.slices_run == 13


def test_slabs_that_wait_are_run_from_the_highest_until_no_more_are_wanted():
    """The block hangs from the vertex: what it may not reach is left for last."""
    grid = axial_grid((np.arange(24) - 11.5) * 5.0, rows=32, columns=32, pixel_mm=7.0)
    whole = head(grid, ball(grid, (25.0, -20.0, 30.0), 21.0))
    backend, stage = SeeingBackend(replace(SEEING_BUNDLE, contract=SMALL)), SliceStage(SMALL)
    stage.advance(only(whole, list(range(2))), backend)
    asked = iter([True, False])

    ran = stage.advance(only(whole, list(range(22))), backend, lambda: next(asked))

    assert ran == backend.slabs_per_run == 4
    left = backend.slices_run
    stage.finish(only(whole, list(range(16, 20))), backend)
    assert backend.slices_run - left == 2, "only those that see where these four end"


@pytest.mark.slow
def test_slabs_measure_what_their_slices_do(bundle: Bundle):
    for heights in (THIN, UNEVEN):
        grid = axial_grid(heights, tilt_deg=12.0)
        whole = head(grid, ball(grid, (25.0, -20.0, 10.0), 21.0))
        mask = read(whole, bundle.contract, SeeingBackend(bundle, Subtype.SUBDURAL))

        (by_slab,) = measure(mask, INTERVAL, shift_in=None).findings

        (by_slice,) = measure(mask.of_slices(grid), INTERVAL, shift_in=None).findings
        np.testing.assert_array_equal(mask.slice_subtypes(grid), mask.of_slices(grid).subtypes)
        assert by_slab.volume_ml == pytest.approx(by_slice.volume_ml)
        assert by_slab.extent_mm == pytest.approx(by_slice.extent_mm)
        assert by_slab.centroid_lps_mm == pytest.approx(by_slice.centroid_lps_mm)
        assert by_slab.key_slice_k == by_slice.key_slice_k
        assert (by_slab.side, by_slab.region) == (by_slice.side, by_slice.region)


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
    assert_same(late, fresh)
