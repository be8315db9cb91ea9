"""How networks are read is chosen on validation heads: cut, intervals, operating points."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.records import Certainty, Subtype
from build_engine.judge.evaluate import AtCut, Found, StudyResult
from build_engine.train.choice import CUTS, best_cut, certainty_of, chosen, interval_of
from tests.build_engine.judge.made import known_head, result_of
from tests.heads import SEEING


def test_the_cut_is_the_one_that_fits():
    result = result_of(known_head(), 0.9)
    true_ml = result.true_ml or 0.0
    at_cuts = tuple(AtCut(true_ml * (1.6 - 2 * cut), 0.5, None) for cut in CUTS)  # right at 0.3

    assert best_cut([replace(result, at_cuts=at_cuts)]) == 0.3


def told(found_ml: float, true_ml: float, doubt: float = 0.5) -> StudyResult:
    return replace(result_of(known_head(), 0.9), found_ml=found_ml, true_ml=true_ml, doubt=doubt)


def test_an_interval_is_as_wide_below_and_above_as_the_bleeds_ask():
    too_small = [told(20.0, 24.0 + number) for number in range(10)]
    too_large = [told(20.0, 16.0 - number) for number in range(10)]

    interval = interval_of(too_small + too_large, 0.9)

    # 19 of 20 are held, (20 + 1) · 0.9: all that are too small, by up to 13 mL, and all but one
    # that are too large, by up to 12 mL. 15 % and 1 mL are told without doubt, which are 4 mL;
    # the rest grows with the square of the doubt, a quarter
    assert (interval.below, interval.above, interval.absolute_ml) == (0.15, 0.15, 1.0)
    assert interval.above_by_doubt == pytest.approx(4 * (13 - 4) / 20)
    assert interval.below_by_doubt == pytest.approx(4 * (12 - 4) / 20)


def test_what_is_sure_is_told_narrowly_where_what_is_doubtful_is_wrong():
    sure = [told(20.0, 22.0, 0.1) for _ in range(20)]
    doubtful = [told(20.0, 40.0, 0.8) for _ in range(20)]

    interval = interval_of(sure + doubtful, 0.9)

    assert interval.of(20.0, 0.1)[1] < 25.0
    assert interval.of(20.0, 0.8)[1] >= 40.0


def test_nothing_found_tells_an_interval_from_nothing_to_twice_the_volume():
    assert interval_of([], 0.9).of(10.0, 0.5) == (0.0, 21.0)


def test_where_no_doubt_explains_the_error_the_interval_is_the_widest():
    wrong = [told(20.0, 90.0, 0.0) for _ in range(20)]

    assert interval_of(wrong, 0.9) == interval_of([], 0.9)


VOLUME_ML = st.floats(0.5, 90)


@given(st.lists(st.tuples(VOLUME_ML, VOLUME_ML, st.floats(0.01, 0.9)), min_size=1, max_size=40))
def test_nine_in_ten_are_held(volumes_ml: list[tuple[float, float, float]]):
    heads = [told(*one) for one in volumes_ml]

    interval = interval_of(heads, 0.9)

    ends_ml = [interval.of(found_ml, doubt) for found_ml, _, doubt in volumes_ml]
    held = [
        low - 1e-9 <= truth <= high + 1e-9
        for (low, high), (_, truth, _) in zip(ends_ml, volumes_ml, strict=True)
    ]
    assert np.mean(held) >= 0.9


def test_the_cut_is_that_of_the_bleeds_large_enough_to_be_measured():
    result = result_of(known_head(), 0.9)
    small, large = (
        replace(result, true_ml=true_ml, at_cuts=tuple(AtCut(ml, 0.5, None) for ml in found_ml))
        for true_ml, found_ml in (
            (1.0, [1.1 - cut for cut in CUTS]),
            (20.0, [28.0 - 20 * cut for cut in CUTS]),
        )
    )

    assert best_cut([small, small, large]) == 0.4
    assert best_cut([small, small]) == 0.1


def test_a_contract_is_read_as_its_validation_heads_ask():
    bleeding, clear = result_of(known_head(), 0.9), result_of(known_head(None), 0.2)
    truth = AtCut(bleeding.true_ml or 0.0, 0.5, bleeding.found)
    missed = AtCut(0.0, 1.0, None)
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
    assert contract.operating_point("balanced").alerts_per_100 is None  # none that chose may tell
    assert contract.interval.of(10.0, 0.5)[0] == pytest.approx(7.5)
    assert (contract.slices, contract.sha256) == (SEEING.slices, SEEING.sha256)


def finding(mean: float, *, is_bleed: bool = True, epidural: float | None = None) -> Found:
    """A finding of a mean probability; where ``epidural`` is told, an epidural one."""
    (one,) = result_of(known_head(), 0.9).findings
    kind = Subtype.INTRAPARENCHYMAL if epidural is None else Subtype.EPIDURAL
    subtype = kind if epidural is None or epidural >= 0.5 else Subtype.SUBDURAL
    measured = replace(one.finding, mean_probability=mean, subtype=subtype, epidural_share=epidural)
    return Found(measured, is_bleed, kind if is_bleed else None)


def test_a_findings_probability_is_how_often_the_like_was_a_bleed():
    sure = [finding(0.9) for _ in range(95)] + [finding(0.9, is_bleed=False) for _ in range(5)]
    unsure = [finding(0.6) for _ in range(20)] + [finding(0.6, is_bleed=False) for _ in range(20)]

    certainty = certainty_of(sure + unsure)

    assert certainty.probability(finding(0.9).finding) == pytest.approx(0.95, abs=0.02)
    assert certainty.probability(finding(0.6).finding) == pytest.approx(0.5, abs=0.03)


def test_where_all_findings_are_bleeds_their_probability_stays_the_voxels():
    assert certainty_of([finding(0.9), finding(0.6)]) == Certainty(told_apart=0.9)


def test_kinds_are_told_apart_from_the_share_on_that_is_right_nine_times_of_ten():
    doubtful = [finding(0.9, epidural=share) for share in (0.3, 0.4, 0.58, 0.57)]  # two are wrong
    sure = [finding(0.9, epidural=0.9) for _ in range(12)]

    assert certainty_of(sure).told_apart == 0.5
    assert certainty_of(sure + doubtful).told_apart == 0.75
    assert certainty_of(doubtful).told_apart == 0.9  # never right often enough
