"""build_engine.train.calcification: what tells calcium from blood is learned."""

from __future__ import annotations

import numpy as np
import pytest

from build_engine.synth.head import HeadRecipe, make_head
from build_engine.synth.lookalike import LookAlike
from build_engine.train.calcification import fitted
from tests.build_engine.synth.test_head import COARSE_KJI_MM, PLAIN


def test_what_parts_spots_is_weighed_and_what_does_not_is_hardly() -> None:
    rng = np.random.default_rng(24)
    spread, middle = (20.0, 1.0, 1.0, 0.1, 0.1, 0.1), (70.0, 2.0, 2.0, 0.5, 0.5, 0.5)
    rows = rng.normal(0.0, 1.0, (400, 6)) * spread + middle
    dense = rows[:, 0] + rng.normal(0.0, 10.0, 400) > 80.0

    how = fitted(rows, dense)

    told = np.array([how.probability_of(row) for row in rows])
    assert dense[told >= 0.9].mean() > 0.95
    assert told.mean() == pytest.approx(dense.mean(), abs=0.02)
    high, *others = how.weights
    assert high > 0.1
    assert max(abs(np.array(others) * (1.0, 1.0, 0.1, 0.1, 0.1))) < 0.5


@pytest.mark.slow
def test_a_generated_head_tells_where_calcium_is() -> None:
    plain, calcified = (
        make_head(HeadRecipe(11, None, look_alike=one, acquisition=PLAIN), COARSE_KJI_MM)
        for one in (None, LookAlike.CALCIFICATION)
    )

    assert calcified.calcified.sum() > plain.calcified.sum()
    brain = (calcified.regions > 0) & ~calcified.calcified
    assert np.median(calcified.hu[calcified.calcified]) > np.quantile(calcified.hu[brain], 0.95)
