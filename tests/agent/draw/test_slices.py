"""agent.draw.slices: slices are kept without loss, and outlines surround bleeds."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from agent.draw.slices import encoded_slices, stack_of
from agent.packing import OUTLINE_RGB
from agent.voxels import HeadVolume
from tests import heads
from tests.packed import unpacked

SHAPE = (2, 16, 12)
GRID = heads.axial_grid(np.array([0.0, 4.0]), rows=16, columns=12)


@given(hu=hnp.arrays(np.int16, SHAPE, elements=st.integers(-(2**15), 2**15 - 1)))
def test_every_value_comes_back(hu: np.ndarray) -> None:
    labels = np.zeros(SHAPE, np.uint8)

    encoded = list(encoded_slices(HeadVolume(hu, GRID, ("1", "2"), ()), labels, (None, None)))

    for k, each in enumerate(encoded):
        assert (unpacked(each.hu) == hu[k].ravel()).all()
        assert each.k == k


@pytest.mark.parametrize("hu", [-32768, -1024, 0, 32767], ids=str)
def test_a_slice_that_is_all_one_value_comes_back(hu: int) -> None:
    head = HeadVolume(np.full(SHAPE, hu, np.int16), GRID, ("1", "2"), ())

    first = next(encoded_slices(head, np.zeros(SHAPE, np.uint8), (None,) * SHAPE[0]))

    assert set(unpacked(first.hu).tolist()) == {hu}


def test_an_outline_surrounds_the_bleed_and_is_transparent_elsewhere() -> None:
    grid = heads.axial_grid(np.array([0.0, 5.0, 10.0]), rows=40, columns=30)
    labels = np.zeros(grid.shape_kji, np.uint8)
    labels[1, 10:20, 8:16] = 4
    head = heads.head(grid, labels > 0)

    below, bleeding, above = encoded_slices(head, labels, (None, None, None))

    assert below.outline_png is above.outline_png is None
    assert bleeding.outline_png
    picture = np.asarray(Image.open(BytesIO(bleeding.outline_png)).convert("RGBA"))
    drawn = picture[..., 3] > 0
    assert picture.shape == (40, 30, 4)
    assert (picture[drawn] == (*OUTLINE_RGB, 255)).all()
    assert not drawn[10:20, 8:16].any()
    assert drawn[9, 8:16].all()
    assert drawn[10:20, 16].all()
    assert not drawn[:7].any()
    assert stack_of(grid, labels).outlined == (1,)


def test_an_outline_lies_beside_the_blood_and_not_in_the_bone() -> None:
    grid = heads.axial_grid(np.array([0.0]), rows=40, columns=30)
    labels = np.zeros(grid.shape_kji, np.uint8)
    labels[0, 10:20, 8:16] = 4
    hu = np.full(grid.shape_kji, 30, np.int16)
    hu[0, :, 16:] = 900  # the skull, beside which the blood lies

    (slice_,) = encoded_slices(HeadVolume(hu, grid, ("1",), ()), labels, (None,))

    assert slice_.outline_png
    drawn = np.asarray(Image.open(BytesIO(slice_.outline_png)).convert("RGBA"))[..., 3] > 0
    assert drawn[12, 6:8].all()
    assert not drawn[:, 16:].any()
