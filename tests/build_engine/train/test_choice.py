"""How networks are read is chosen on validation heads: cut, intervals, operating points."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.records import Subtype
from build_engine.judge.evaluate import AtCut, StudyResult
from build_engine.train.choice import CUTS, best_cut, chosen, intervals_of
from tests.build_engine.judge.made import known_head, result_of
from tests.heads import SEEING


def test_the_cut_is_the_one_that_fits():
    result = result_of(known_head(), 0.9)
    true_ml = result.true_ml or 0.0
    at_cuts = tuple(AtCut(true_ml * (1.6 - 2 * cut), None) for cut in CUTS)  # right at 0.3

    assert best_cut([replace(result, at_cuts=at_cuts)]) == 0.3


def told(taken_for: Subtype, found_ml: float, true_ml: float) -> StudyResult:
    result = result_of(known_head(taken_for), 0.9)
    return replace(result, found_ml=found_ml, true_ml=true_ml)


def test_an_interval_is_as_wide_below_and_above_as_its_own_subtype_needs():
    too_small = [told(Subtype.SUBDURAL, 20.0, 21.0 + number) for number in range(20)]
    too_large = [told(Subtype.EPIDURAL, 20.0, 19.0 - 0.8 * number) for number in range(20)]

    intervals = intervals_of(too_small + too_large, 0.9)

    # 19 of 20 are held, (20 + 1) · 0.9: up to 1 + 18 mL more, and up to 1 + 14.4 mL less;
    # nothing is told more exactly than to 15 %
    subdural, epidural = intervals[Subtype.SUBDURAL], intervals[Subtype.EPIDURAL]
    assert (subdural.below, subdural.above) == (0.15, 0.9)
    assert (epidural.below, epidural.above) == (0.72, 0.15)
    assert subdural.absolute_ml == epidural.absolute_ml == 1.0


def test_a_subtype_that_was_hardly_found_has_the_interval_of_all():
    many = [told(Subtype.SUBDURAL, 20.0, 31.0) for _ in range(20)]
    one = told(Subtype.EPIDURAL, 20.0, 20.0)

    intervals = intervals_of([*many, one], 0.9)

    assert intervals[Subtype.EPIDURAL] == intervals[Subtype.SUBDURAL]
    assert intervals[Subtype.EPIDURAL].above == 0.5


def test_the_part_of_an_interval_that_does_not_grow_is_the_one_that_makes_it_narrowest():
    small = [told(Subtype.SUBDURAL, 2.0, 3.9) for _ in range(5)]
    large = [told(Subtype.SUBDURAL, 40.0, 40.0) for _ in range(20)]

    mostly_large, mostly_small = (
        intervals_of(heads, 0.9)[Subtype.SUBDURAL] for heads in (small + large, small * 4 + large)
    )

    # 2 mL more than 1.15 · 2 mL hold 3.9 mL, and tell 40 mL more exactly than 1.45 and 1 mL would
    assert (mostly_large.above, mostly_large.absolute_ml) == (0.15, 2.0)
    assert (mostly_small.above, mostly_small.absolute_ml) == (0.45, 1.0)


def test_nothing_found_tells_an_interval_from_nothing_to_twice_the_volume():
    interval = intervals_of([], 0.9)[Subtype.SUBDURAL]

    assert (interval.below, interval.above) == (1.0, 1.0)


@given(st.lists(st.tuples(st.floats(0.5, 90), st.floats(0.5, 90)), min_size=1, max_size=40))
def test_nine_in_ten_are_held(volumes_ml: list[tuple[float, float]]):
    heads = [told(Subtype.SUBDURAL, *pair) for pair in volumes_ml]

    interval = intervals_of(heads, 0.9)[Subtype.SUBDURAL]

    ends_ml = [interval.of(found_ml) for found_ml, _ in volumes_ml]
    held = [
        low - 1e-9 <= truth <= high + 1e-9
        for (low, high), (_, truth) in zip(ends_ml, volumes_ml, strict=True)
    ]
    assert np.mean(held) >= 0.9


def test_the_cut_is_that_of_the_bleeds_large_enough_to_be_measured():
    result = result_of(known_head(), 0.9)
    small, large = (
        replace(result, true_ml=true_ml, at_cuts=tuple(AtCut(ml, None) for ml in found_ml))
        for true_ml, found_ml in (
            (1.0, [1.1 - cut for cut in CUTS]),
            (20.0, [28.0 - 20 * cut for cut in CUTS]),
        )
    )

    assert best_cut([small, small, large]) == 0.4
    assert best_cut([small, small]) == 0.1


def test_a_contract_is_read_as_its_validation_heads_ask():
    bleeding, clear = result_of(known_head(), 0.9), result_of(known_head(None), 0.2)
    truth = AtCut(bleeding.true_ml or 0.0, bleeding.found)
    missed = AtCut(0.0, None)
    at_cuts = tuple(truth if cut == 0.25 else missed for cut in CUTS)

    contract = chosen(
        SEEING,
        [replace(bleeding, at_cuts=at_cuts), replace(clear, at_cuts=(missed,) * len(CUTS))],
    )

    assert contract.reading == replace(SEEING.reading, bleed_probability=0.25)
    assert {point.name: point.score for point in contract.operating_points} == {
        "balanced": 0.5,
        "specific": 0.5,
        "sensitive": 0.5,
    }
    assert contract.operating_point("balanced").alerts_per_100 == 0.0
    assert contract.intervals[Subtype.SUBDURAL].of(10.0)[0] == pytest.approx(7.5)
    assert (contract.slices, contract.sha256) == (SEEING.slices, SEEING.sha256)
