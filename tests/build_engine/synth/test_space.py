"""The box that heads are made in: its windows, its noise, and the maps looked up in it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from build_engine.synth.space import Space, sample, sample_smooth, template_positions
from build_engine.synth.template import load_template

BOX = Space((10.0, 8.0, 8.0))


def span(count: int) -> st.SearchStrategy[slice]:
    """Some of ``count`` voxels, one after the other."""
    first = st.integers(0, count - 1)
    return first.flatmap(lambda a: st.integers(a + 1, count).map(lambda b: slice(a, b)))


windows = st.tuples(*map(span, BOX.box_kji))


@given(window=windows, seed=st.integers(0, 99), scale_mm=st.floats(4.0, 80.0))
def test_a_window_shows_the_noise_of_the_box(
    window: tuple[slice, slice, slice], seed: int, scale_mm: float
):
    whole = BOX.noise(np.random.default_rng(seed), scale_mm)

    part = Space(BOX.spacing_kji_mm, window).noise(np.random.default_rng(seed), scale_mm)

    np.testing.assert_allclose(part, whole[window], atol=1e-4)


@given(window=windows)
def test_a_window_knows_where_it_lies_in_the_box(window: tuple[slice, slice, slice]):
    inside = np.zeros(BOX.box_kji, dtype=np.bool_)
    inside[window] = True

    found = BOX.around(inside)

    assert found.window == window
    assert found.first_kji == tuple(np.argwhere(inside)[0])
    assert np.array_equal(found.in_box(found.part(inside), outside=0), inside)
    for axis_mm, of_box_mm, part in zip(
        found.positions_mm(), BOX.positions_mm(), window, strict=True
    ):
        assert np.array_equal(axis_mm.ravel(), of_box_mm.ravel()[part])


@pytest.mark.parametrize("scale_mm", [5.0, 18.0, 65.0])
def test_noise_has_unit_variance_in_the_box(scale_mm: float):
    assert BOX.noise(np.random.default_rng(0), scale_mm).std() == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("pixel_mm", [0.95, 1.1, 2.0])
def test_a_smooth_map_is_looked_up_at_half_the_pixels_with_the_same_result(pixel_mm: float):
    space, template = Space((20.0, pixel_mm, pixel_mm)), load_template()
    at_mm = template_positions(space, np.random.default_rng(5), deformation=1.4)

    every = sample(template.skull_mm, template.index(at_mm), outside=60.0)
    found = sample_smooth(space, template, template.skull_mm, at_mm, outside=60.0)

    near_skull = np.abs(every) < 10
    assert near_skull.any()
    assert np.abs(found - every)[near_skull].max() < 0.5
    assert np.abs(found - every)[near_skull].mean() < 0.03
