"""agent.decide: three answers, and no "not suspected" of a head that was not seen whole."""

from __future__ import annotations

import pytest

from agent.decide import decide
from agent.reasons import Reason, english
from agent.records import (
    Gap,
    Measurement,
    NotAnalysed,
    NotSuspected,
    OperatingPoint,
    Suspected,
)

POINT = OperatingPoint("balanced", 0.5)
NOTHING = Measurement((), 0.0, None, None)
GAP = (Gap(10.0, 25.0, 2),)
SHORT = Reason("images_missing", n_images=30, n_expected=32)


@pytest.mark.parametrize(
    ("score", "gaps", "shortfall", "answer"),
    [
        (0.5, (), None, Suspected),
        (0.499, (), None, NotSuspected),
        (0.9, GAP, None, Suspected),
        (0.1, GAP, None, NotAnalysed),
        (0.1, (), SHORT, NotAnalysed),
    ],
    ids=["at-the-point", "below", "bleed-despite-gap", "gap", "not-covered"],
)
def test_answer(
    score: float, gaps: tuple[Gap, ...], shortfall: Reason | None, answer: type
) -> None:
    assert isinstance(decide(score, NOTHING, POINT, gaps=gaps, shortfall=shortfall), answer)


def test_a_gap_is_named_in_the_reason_and_in_the_caveat() -> None:
    absent = decide(0.1, NOTHING, POINT, gaps=GAP, shortfall=None)
    present = decide(0.9, NOTHING, POINT, gaps=GAP, shortfall=None)

    assert isinstance(absent, NotAnalysed)
    assert "slices missing between 10.0 and 25.0 mm (2)" in english(absent.reason)
    assert isinstance(present, Suspected)
    assert "slices missing between 10.0 and 25.0 mm (2)" in english(present.caveats[0])
