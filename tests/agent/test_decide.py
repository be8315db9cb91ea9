"""agent.decide: three answers, and no "not suspected" of a head that was not seen whole."""

from __future__ import annotations

from itertools import product

import pytest

from agent.decide import decide
from agent.reasons import Reason
from agent.records import (
    Assessment,
    Evidence,
    Gap,
    Measurement,
    NotAnalysed,
    NotSuspected,
    OperatingPoint,
    Suspected,
)

POINT = OperatingPoint("balanced", 0.5)
NOTHING = Measurement((), 0.0, None, None)
WHOLE = Evidence(faults=(), gaps=(), shortfall=None, unread=(), unseen=(), unsure=(), remarks=())

GAP = Gap(10.0, 25.0, 2)
SHORTFALL = Reason("images_missing", n_images=30, n_expected=32)
UNREAD = Reason("pixels_cut", n_bytes=3, n_declared=4).of_file("I007")
UNSEEN = Reason("vertex_not_seen", percent=60.0)
UNSURE = Reason("goes_on_above", percent=29.0)
FAULT = Reason("no_air")
REMARK = Reason("no_outline")


@pytest.mark.parametrize(("shift_mm", "told"), [(None, ()), (4.9, ()), (5.0, ("midline_shifted",))])
def test_a_shift_that_no_suspected_bleed_explains_is_told(
    shift_mm: float | None, told: tuple[str, ...]
) -> None:
    measured = Measurement((), 0.0, shift_mm, None)

    answer = decide(0.1, measured, POINT, WHOLE)

    assert isinstance(answer, NotSuspected)
    assert tuple(caveat.code for caveat in answer.caveats) == told


def answer_to(score: float, evidence: Evidence) -> Assessment:
    return decide(score, NOTHING, POINT, evidence)


@pytest.mark.parametrize("score", [0.0, 0.449, 0.45, 0.499, 0.5, 1.0])
def test_not_suspected_is_said_of_a_low_score_and_of_nothing_amiss(score: float) -> None:
    """Every row of the table: what is amiss, and what may then be said at all."""
    amiss = {
        "faults": ((), (FAULT,)),
        "gaps": ((), (GAP,)),
        "shortfall": (None, SHORTFALL),
        "unread": ((), (UNREAD,)),
        "unseen": ((), (UNSEEN,)),
        "unsure": ((), (UNSURE,)),
        "remarks": ((), (REMARK,)),
    }
    rows = [dict(zip(amiss, row, strict=True)) for row in product(*amiss.values())]

    for row in rows:
        if row["faults"]:
            expected = "no head in HU"
        elif score >= 0.5:
            expected = "suspected"
        elif any(row[one] for one in ("gaps", "shortfall", "unread", "unseen")):
            expected = "not seen whole"
        elif row["unsure"]:
            expected = "not seen whole" if score >= 0.45 else "not suspected"
        else:
            expected = "not suspected"
        assert said(answer_to(score, Evidence(**row))) == expected, row


def said(answer: Assessment) -> str:
    match answer:
        case Suspected():
            return "suspected"
        case NotSuspected():
            return "not suspected"
        case NotAnalysed(Reason(code="implausible")):
            return "no head in HU"
        case NotAnalysed(Reason(code="not_seen_whole")):
            return "not seen whole"
    raise AssertionError(answer)


def test_all_that_is_missing_is_named_in_the_reason_and_in_the_caveats() -> None:
    evidence = Evidence((), (GAP,), SHORTFALL, (UNREAD,), (UNSEEN,), (UNSURE,), (REMARK,))

    absent, present = answer_to(0.1, evidence), answer_to(0.9, evidence)

    missing = (GAP.reason, SHORTFALL, UNREAD, UNSEEN)
    assert absent == NotAnalysed(Reason("not_seen_whole", missing=missing))
    uncertain = tuple(Reason("volume_uncertain", because=one) for one in missing)
    assert present == Suspected(0.9, POINT, (*uncertain, Reason("no_outline"), REMARK))


def test_a_score_close_to_the_threshold_is_no_answer_where_the_head_may_go_on() -> None:
    evidence = Evidence((), (), None, (), (), (UNSURE,), (REMARK,))

    assert answer_to(0.46, evidence) == NotAnalysed(Reason("not_seen_whole", missing=(UNSURE,)))
    assert answer_to(0.44, evidence) == NotSuspected(0.44, POINT, (REMARK,))
    assert answer_to(0.55, evidence) == Suspected(0.55, POINT, (Reason("no_outline"), REMARK))


def test_remarks_are_told_with_the_answer_they_do_not_change() -> None:
    evidence = Evidence((), (), None, (), (), (), (REMARK,))

    assert answer_to(0.1, evidence) == NotSuspected(0.1, POINT, (REMARK,))


def test_every_fault_is_named() -> None:
    faults = (FAULT, Reason("slices_repeated", n_slices=3))

    answer = answer_to(0.9, Evidence(faults, (), None, (), (), (), ()))

    assert answer == NotAnalysed(Reason("implausible", faults=faults))
