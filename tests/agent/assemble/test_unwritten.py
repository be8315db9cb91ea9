"""Zeros at the end of an image: half-written, or blanked by the scanner."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import ndimage

from agent.assemble.unwritten import is_unwritten

SIZE = 256
AIR = 24
BRAIN = 1064


def head(centre_j: float = 120.0, radius_j: float = 90.0, radius_i: float = 70.0) -> np.ndarray:
    """Stored values of a round head in noisy air, with a tube before its face."""
    j, i = np.mgrid[:SIZE, :SIZE]
    stored = np.random.default_rng(1).integers(0, 2 * AIR, (SIZE, SIZE))
    inside = ((j - centre_j) / radius_j) ** 2 + ((i - SIZE / 2) / radius_i) ** 2 < 1
    return np.where(inside, BRAIN, stored)


def blanked(stored: np.ndarray, margin: int) -> np.ndarray:
    """Set to 0 what lies further than ``margin`` pixels beside the head, and above and below it."""
    tissue = stored > 700
    near = ndimage.maximum_filter(tissue, 2 * margin + 1)
    return np.where(near, stored, 0)


def unwritten(stored: np.ndarray) -> bool:
    return is_unwritten(stored == 0, stored > 724)


def written_to(stored: np.ndarray, n_bytes: int) -> np.ndarray:
    """What a preallocated file holds when so many bytes of its pixels have been written."""
    content = stored.astype("<u2").tobytes()
    return np.frombuffer(content[:n_bytes] + bytes(len(content) - n_bytes), "<u2").reshape(
        stored.shape
    )


@pytest.mark.parametrize("margin", [0, 1, 3, 10])
@given(
    centre_j=st.floats(95, 150),
    radius_j=st.floats(10, 95),
    longer=st.floats(0.7, 1.4),
)
def test_a_head_whose_surroundings_are_blanked_is_whole(margin, centre_j, radius_j, longer):
    assume(margin or radius_j > 20)
    stored = blanked(head(centre_j, radius_j, radius_j / longer), margin)

    assert not stored[-1].any()
    assert not unwritten(stored)


@pytest.mark.parametrize("margin", [None, 0, 3, 10])
@given(share=st.floats(0.01, 0.99))
def test_a_writer_that_stopped_before_or_within_the_head_is_found_out(margin, share):
    whole = head() if margin is None else blanked(head(), margin)
    tissue = np.flatnonzero((whole > 700).any(axis=1))
    before_the_end = int((tissue[-1] - 8) * SIZE * 2)
    stored = written_to(whole, int(share * before_the_end))

    assert not stored.any() or unwritten(stored)


@given(rows=st.integers(8, 60))
def test_a_tube_before_the_face_is_no_head(rows):
    stored = np.zeros((SIZE, SIZE), int)
    stored[:rows] = head()[:rows] * 0 + AIR
    stored[5:8, 120:130] = BRAIN

    assert unwritten(stored)


def test_padding_all_round_is_an_image():
    stored = np.zeros((64, 64))
    stored[6:58] = 1000

    assert not unwritten(stored)


def test_a_small_tail_below_the_head_is_padding_and_a_large_one_is_not():
    stored = head()
    stored[-20:] = 0
    assert not unwritten(stored)

    stored[-40:] = 0
    assert unwritten(stored)
