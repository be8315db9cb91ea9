"""What the slice network is shown in training."""

from __future__ import annotations

from functools import cache, partial

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs the train extra")

from agent.preprocess import SliceInput
from agent.records import HeadVolume
from build_engine.synth.acquisition import Acquisition
from build_engine.synth.head import HeadRecipe, make_head
from build_engine.train.data import PUBLISHED_HU, Case, case_of, grid_of
from build_engine.train.slices import make_batch, slabs_of_cases

WIDE_HU = (-20.0, 500.0)
CONTRACT = SliceInput(1.0, 256, 2.5, 1, ((0.0, 80.0), WIDE_HU), 4)
PLAIN = Acquisition(0.8, 0.0, 2.0, 0.7, 0.3, 1.0, 0.0)


@cache
def clear_case(most_hu: float) -> Case:
    """A head without a bleed, cut off at ``most_hu``."""
    synth = make_head(HeadRecipe(3, None, acquisition=PLAIN), (5.0, 1.0, 1.0))
    names = tuple(map(str, range(len(synth.hu))))
    head = HeadVolume(synth.hu.clip(max=int(most_hu)), grid_of(synth), names, ())
    return case_of("clear", head, np.zeros_like(synth.subtypes), CONTRACT, named=False)


@pytest.mark.parametrize("most_hu", [PUBLISHED_HU, 3000.0], ids=["published", "scanned"])
def test_bone_is_shown_cut_off_and_as_dense_as_it_is(most_hu: float):
    """A site's bone is not cut off at 100 HU as the published patients' is; training shows both."""
    batch_of = partial(make_batch, slabs_of_cases((clear_case(most_hu),)), contract=CONTRACT)
    inputs, *_ = batch_of(np.random.default_rng(5), count=32)

    wide = inputs[:, 3].numpy() * (WIDE_HU[1] - WIDE_HU[0]) + WIDE_HU[0]
    bone_hu = np.quantile(wide, 0.97, axis=(1, 2))
    cut_off = (bone_hu > 80) & (bone_hu < 200)  # bone spills into bone, calibration differs
    assert 8 <= np.count_nonzero(cut_off) <= 24
    assert np.count_nonzero(bone_hu > 250) >= 6
