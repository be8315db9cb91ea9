"""Where slices are missing, and where they only look missing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from agent.assemble.geometry import find_gaps
from agent.records import Gap
from tests.agent.assemble.made import made


def gaps(
    heights: Sequence[float],
    thickness: Sequence[float | None] | float | None = None,
    numbers: Sequence[int | None] | None = None,
) -> list[Gap]:
    n = len(heights)
    thicknesses = thickness if isinstance(thickness, Sequence) else [thickness] * n
    numbers = numbers if numbers is not None else [None] * n
    headers = [
        made(k, heights[k], thickness_mm=thicknesses[k], instance_number=numbers[k]).header
        for k in range(n)
    ]
    return list(find_gaps(headers, np.array(heights)))


def test_even_slices_have_no_gap():
    assert gaps([0, 5, 10, 15.2, 20]) == []


@pytest.mark.parametrize("n_missing", [1, 2, 3])
def test_missing_slices_are_counted(n_missing):
    heights = [0.0, 5, 10, *(15 + 5.0 * n_missing + 5 * k for k in range(4))]

    assert gaps(heights) == [Gap(10.0, 15.0 + 5 * n_missing, n_missing)]


def test_gaps_next_to_each_other_are_both_named():
    assert [gap.slices for gap in gaps([0, 5, 10, 15, 25, 35, 40, 45, 50])] == [1, 1]


def test_thin_to_thick_is_no_gap():
    heights = [*np.arange(0, 50, 2.5), *np.arange(50 + 1.25, 150, 5.0)]
    thickness = [2.5] * 20 + [5.0] * (len(heights) - 20)

    assert gaps(heights, thickness) == []
    assert gaps(heights, thickness, range(len(heights))) == []
    assert gaps(heights) == []


def test_a_slice_missing_where_thickness_changes_is_named():
    heights = [0.0, 4, 8, 12, 16, 21.5, 28.5, 35.5, 42.5]
    thickness = [4.0] * 5 + [7.0] * 4

    for gone in range(1, 8):
        left = [k for k in range(9) if k != gone]
        named = gaps([heights[k] for k in left], [thickness[k] for k in left])
        assert [gap.slices for gap in named] == [1], gone


def test_a_jump_in_numbers_decides_a_doubtful_spacing():
    heights, thickness = [0.0, 4, 8, 13.1, 20, 27], [4.0, 4, 4, 7, 7, 7]

    assert gaps(heights, thickness, [1, 2, 3, 4, 5, 6]) == []
    assert gaps(heights, thickness, [1, 2, 3, 5, 6, 7]) == [Gap(8.0, 13.1, 1)]


def test_a_new_block_of_numbers_is_no_gap_where_nothing_fits_in():
    assert gaps([0, 4, 8, 13.1, 20, 27], [4.0, 4, 4, 7, 7, 7], [1, 2, 3, 101, 102, 103]) == []


def test_every_other_slice_of_another_series_is_no_gap():
    assert gaps([0, 10, 20, 30], 5.0, [1, 3, 5, 7]) == []


def test_two_slices_say_nothing_of_gaps():
    assert gaps([0, 50]) == []


@given(
    n=st.integers(6, 60),
    spacing=st.floats(0.4, 10),
    jitter=st.floats(0, 0.05),
    gone=st.data(),
)
def test_any_inner_slice_of_an_even_series_is_missed(n, spacing, jitter, gone):
    heights = [k * spacing + jitter * spacing * (-1) ** k for k in range(n)]
    assert gaps(heights) == []

    missing = gone.draw(st.integers(1, n - 2))
    left = heights[:missing] + heights[missing + 1 :]
    assume(len(left) > 4)

    assert [gap.slices for gap in gaps(left)] == [1]


def test_a_hole_beside_slices_of_unknown_thickness_is_found():
    heights = [0, 5, 10, 20, 25, 30]

    assert gaps([0, 5, 15], [None, None, 5.0]) == [Gap(5.0, 15.0, 1)]
    assert gaps(heights, [5.0, 5.0, None, None, 5.0, 5.0]) == [Gap(10.0, 20.0, 1)]


@pytest.mark.slow
def test_the_gaps_of_a_very_long_series_are_found_in_one_pass():
    heights = [0.6 * k for k in range(40_000) if k % 10]

    assert len(gaps(heights, 0.6)) == 3999  # looking through the whole series each time: minutes


def test_holes_near_one_another_do_not_excuse_each_other():
    left = [5.0 * k for k in (*range(7), 9, 14, 18)]

    assert [gap.slices for gap in gaps(left, 5.0)][:2] == [2, 4]


@given(later=st.sets(st.integers(8, 40), min_size=1))
def test_a_series_that_begins_whole_and_then_lacks_slices_is_never_called_whole(later):
    left = [*range(8), *sorted(later)]

    found = gaps([5.0 * k for k in left], 5.0)

    assert bool(found) == (max(left) + 1 > len(left))
