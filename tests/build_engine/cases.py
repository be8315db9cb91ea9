"""A head to train on whose anatomy is not known, as a real one's."""

from __future__ import annotations

from functools import cache

import numpy as np

from agent.preprocess import SliceInput
from agent.voxels import HeadVolume
from build_engine.heads.fields import Case, case_of, grid_of
from build_engine.synth.acquisition import HIGHEST_HU, Acquisition
from build_engine.synth.head import HeadRecipe, make_head

CONTRACT = SliceInput(1.0, 256, 2.5, 1, ((0.0, 80.0), (-20.0, 500.0)), 4)
PLAIN = Acquisition(0.8, 0.0, 2.0, 0.7, 0.3, 1.0, 0.0)


@cache
def clear_case(most_hu: int = HIGHEST_HU) -> Case:
    """Make a head without a bleed, cut off at ``most_hu``."""
    synth = make_head(HeadRecipe(3, None, acquisition=PLAIN), (5.0, 1.0, 1.0))
    names = tuple(map(str, range(len(synth.hu))))
    head = HeadVolume(synth.hu.clip(max=most_hu), grid_of(synth), names, ())
    return case_of("clear", head, np.zeros_like(synth.subtypes), CONTRACT, named=False)
