"""What the slice network is shown in training."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs the train extra")

from build_engine.heads.fields import PUBLISHED_HU
from build_engine.synth.acquisition import HIGHEST_HU
from build_engine.train.slices import make_batch, slabs_of_cases
from tests.build_engine.cases import CONTRACT, clear_case

WIDE_HU = CONTRACT.windows_hu[1]


@pytest.mark.parametrize("most_hu", [int(PUBLISHED_HU), HIGHEST_HU], ids=["published", "scanned"])
def test_bone_is_shown_cut_off_and_as_dense_as_it_is(most_hu: int):
    """A site's bone is not cut off at 100 HU as the published patients' is; training shows both."""
    batch_of = partial(make_batch, slabs_of_cases((clear_case(most_hu),)), contract=CONTRACT)
    inputs, *_ = batch_of(np.random.default_rng(5), count=32)

    wide = inputs[:, 3].numpy() * (WIDE_HU[1] - WIDE_HU[0]) + WIDE_HU[0]
    bone_hu = np.quantile(wide, 0.97, axis=(1, 2))
    cut_off = (bone_hu > 80) & (bone_hu < 200)  # bone spills into bone, calibration differs
    assert 8 <= np.count_nonzero(cut_off) <= 24
    assert np.count_nonzero(bone_hu > 250) >= 6
