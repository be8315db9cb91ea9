"""What the simulated exports amount to is what the agent's own series would say."""

from __future__ import annotations

import numpy as np
import pytest

from build_engine.bench.rhythms import RHYTHMS, Scan, added_wait_s, fixed_wait, is_early, scan

SCAN = Scan(np.arange(4) * 5.0, (1, 2, 3, 4), np.array([0.0, 1.0, 4.0, 4.5]), 0)


def test_a_fixed_wait_is_early_where_a_pause_is_longer():
    assert is_early(SCAN, fixed_wait(2.9))
    assert not is_early(SCAN, fixed_wait(3.1))


def test_a_fixed_wait_is_what_it_adds():
    assert added_wait_s(SCAN, fixed_wait(5.0)) == pytest.approx(5.0, abs=0.03)


@pytest.mark.parametrize("rhythm", RHYTHMS)
def test_rhythms_are_of_whole_heads_in_order(rhythm):
    drawn = scan(rhythm, np.random.default_rng(1), counted=True)

    assert drawn.promised == len(drawn.seen_s) == len(set(drawn.numbers))
    assert (np.diff(drawn.seen_s) >= 0).all()
    assert np.ptp(drawn.heights_mm) >= 130
