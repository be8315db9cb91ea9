"""Images that lie twice: which of them are one scan of the head."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.assemble.stacks import Stack, stack_of
from agent.errors import GeometryError
from agent.records import SliceHeader
from tests.agent.assemble.made import HEADER


def image(height_mm: float, number: int, **changes: object) -> SliceHeader:
    own = {
        "position_lps_mm": (0.0, 0.0, float(height_mm)),
        "instance_number": number,
        "digest": f"{height_mm} {number} {changes}",
    }
    return replace(HEADER, **{**own, **changes})


def stack(images: list[SliceHeader]) -> Stack:
    return stack_of(images, np.array([one.position_lps_mm[2] for one in images]))


def scan(heights_mm: list[float], first: int = 1, **changes: object) -> list[SliceHeader]:
    return [image(height, first + n, **changes) for n, height in enumerate(heights_mm)]


EVERY_5_MM = [5.0 * k for k in range(30)]


def test_a_slice_twice_at_a_seam_is_one_and_the_later_is_kept():
    images = [*scan(EVERY_5_MM[:16]), *scan(EVERY_5_MM[15:], 17, acquisition_number=2)]

    assert stack(images).order == (*range(15), *range(16, 31))
    assert stack(images).again == ()


@pytest.mark.parametrize("shift_mm", [0.0, 0.4, 1.7])
def test_an_upper_half_scanned_again_leaves_the_first_scan_whole(shift_mm):
    again = [height + shift_mm for height in EVERY_5_MM[15:]]
    images = [*scan(EVERY_5_MM), *scan(again, 31, acquisition_number=2)]

    assert stack(images) == Stack(tuple(range(30)), again=tuple(range(30, 45)))


@pytest.mark.parametrize("numbered", ["on", "anew"])
def test_of_two_whole_scans_the_later_is_taken(numbered):
    first = 31 if numbered == "on" else 1
    images = [*scan(EVERY_5_MM), *scan(EVERY_5_MM, first, acquisition_number=2)]

    assert stack(images) == Stack(tuple(range(30, 60)), again=tuple(range(30)))


def test_two_scans_are_told_apart_by_their_numbers_where_acquisitions_are_not_counted():
    images = [
        *scan(EVERY_5_MM, 1, acquisition_number=None),
        *scan(EVERY_5_MM[::-1], 31, acquisition_number=None),
    ]

    assert stack(images) == Stack(tuple(range(59, 29, -1)), again=tuple(range(30)))


def test_two_kernels_numbered_by_turns_are_two_stacks():
    images = [
        image(height, 2 * n + second, kernel=kernel)
        for n, height in enumerate(EVERY_5_MM)
        for second, kernel in enumerate(("STANDARD", "BONE"))
    ]

    order = stack(images).order

    assert len(order) == 30
    assert len({images[k].kernel for k in order}) == 1


def test_a_perfusion_is_no_scan_that_was_repeated():
    images = [
        one for phase in range(8) for one in scan(EVERY_5_MM, 30 * phase, acquisition_number=phase)
    ]

    with pytest.raises(GeometryError, match="two different images at one position"):
        stack(images)


def test_copies_are_left_out_without_a_word():
    images = [*scan(EVERY_5_MM), *scan(EVERY_5_MM)]

    found = stack(images)

    assert len(found.order) == 30
    assert (found.strays, found.again) == ((), ())


@pytest.mark.parametrize("at_mm", [40.0, 41.0, 200.0])
def test_a_derived_image_among_original_ones_is_a_stray_wherever_it_lies(at_mm):
    images = [*scan(EVERY_5_MM), image(at_mm, 99, image_type=("DERIVED", "SECONDARY", "MIP"))]

    assert stack(images) == Stack(tuple(range(30)), strays=(30,))


def test_a_head_that_is_derived_throughout_is_a_head():
    assert stack(scan(EVERY_5_MM, image_type=("DERIVED", "PRIMARY"))).order == tuple(range(30))


PATTERNS_MM = {
    "even": np.full(30, 5.0),
    "thin below, thick above": np.r_[np.full(16, 4.0), np.full(13, 7.0)],
    "thin slices within thick ones": np.r_[np.full(8, 5.0), np.full(16, 0.625), np.full(8, 5.0)],
    "pairs": np.tile([5.0, 7.0], 13),
    "overlapping below": np.r_[np.full(40, 1.5), np.full(33, 3.0)],
    "two that nearly meet": np.r_[np.full(20, 2.5), 0.25, np.full(10, 7.5)],
}


@pytest.mark.parametrize("steps_mm", PATTERNS_MM.values(), ids=PATTERNS_MM)
@given(down=st.booleans(), jitter=st.floats(0, 0.05), seed=st.integers(0, 99))
def test_every_slice_of_an_ordinary_head_is_in_its_stack(steps_mm, down, jitter, seed):
    rng = np.random.default_rng(seed)
    heights = np.r_[0, np.cumsum(steps_mm)] + rng.uniform(-jitter, jitter, len(steps_mm) + 1)
    numbers = range(len(heights), 0, -1) if down else range(1, len(heights) + 1)
    images = [image(height, n) for height, n in zip(heights, numbers, strict=True)]
    shuffled = rng.permutation(len(images))

    order = stack([images[k] for k in shuffled]).order

    assert [images[shuffled[k]] for k in order] == images


@given(
    n=st.integers(12, 40),
    again=st.floats(0.2, 1.0),
    shift_mm=st.sampled_from([0.0, 0.3, 1.5]),
    seed=st.integers(0, 99),
)
def test_whatever_was_scanned_again_the_stack_is_one_whole_scan(n, again, shift_mm, seed):
    heights = [5.0 * k for k in range(n)]
    n_again = max(4, int(again * n))
    images = [
        *scan(heights),
        *scan([h + shift_mm for h in heights[-n_again:]], n + 1, acquisition_number=2),
    ]
    shuffled = np.random.default_rng(seed).permutation(len(images))

    order = stack([images[k] for k in shuffled]).order

    found = [images[shuffled[k]] for k in order]
    assert len({one.acquisition_number for one in found}) == 1
    assert len(found) in (n, n_again)
    assert np.ptp([one.position_lps_mm[2] for one in found]) >= 0.8 * 5.0 * (n - 1)
