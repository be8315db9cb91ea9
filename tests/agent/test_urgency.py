"""agent.urgency: what waits is told in the order of its urgency. The table, written again."""

from __future__ import annotations

import pytest

from agent.exam import Examination, Second
from agent.records import EXTRA_AXIAL, State
from agent.report import SeriesReport
from agent.urgency import ORDER, STANDS_S, Suspicion, Urgency, precedence, standing, urgency_of
from tests.agent.reports import finding, report

TABLE = """
KIND              REGION         ML    SHIFT  TOTAL  URGENCY

subdural          frontal        31.4  6.0    31.4   immediate
subdural          frontal        31.4  5.0    31.4   immediate
subdural          frontal        31.4  4.9    31.4   prompt
subdural          frontal        59.9  0.0    59.9   prompt
subdural          frontal        60.0  0.0    60.0   immediate
subarachnoid      frontal        20.0  0.0    60.0   immediate
epidural          temporal       30.0  0.0    30.0   immediate
epidural          temporal       29.9  0.0    29.9   prompt
either            extra-axial    30.0  0.0    30.0   immediate
intraparenchymal  basal_ganglia  30.0  0.0    30.0   immediate
intraparenchymal  basal_ganglia  12.0  0.0    12.0   prompt
intraparenchymal  cerebellum     10.0  0.0    10.0   immediate
intraparenchymal  pons           10.0  0.0    10.0   immediate
intraparenchymal  pons           9.9   0.0    9.9    prompt
intraparenchymal  pons           0.5   0.0    0.5    prompt
intraparenchymal  pons           0.4   0.0    0.4    small
subarachnoid      parietal       1.0   0.0    1.0    prompt
subarachnoid      parietal       0.9   0.0    0.9    small
subdural          -              0.2   0.0    0.2    small
subdural          -              0.2   8.0    0.2    immediate
-                 -              0     0.0    -      prompt
-                 -              0     7.0    -      immediate
"""
"""One finding, the shift of the midline, the volume of all, and how urgent that is."""

ROWS = [row.split() for row in TABLE.splitlines()[3:] if row]


def suspicion(row: list[str]) -> SeriesReport:
    kind, region, ml, shift, total, _ = row
    kind = EXTRA_AXIAL if kind == "either" else kind
    place = None if region == "-" else region.replace("_", " ")
    one = finding(subtype=kind, region=place, volume_ml=float(ml)) if kind != "-" else None
    return report(
        findings=(one,) if one else (),
        midline_shift_mm=float(shift) or None,
        total_volume_ml=0.0 if total == "-" else float(total),
    )


@pytest.mark.parametrize("row", ROWS, ids=[" ".join(row[:5]) for row in ROWS])
def test_a_suspicion_is_as_urgent_as_the_table_says(row: list[str]) -> None:
    assert urgency_of(Suspicion.of(suspicion(row))).value == row[-1]


def examination(second: Second | None = None, unanalysed: tuple[str, ...] = ()) -> Examination:
    state = State.NOT_ANALYSED if unanalysed else State.SUSPECTED
    return Examination("1.2", state, False, second, None, (), unanalysed, ())


REFUSED = examination(unanalysed=("1.2",))
SMALL = suspicion(["subdural", "-", "0.2", "0.0", "0.2", "small"])


@pytest.mark.parametrize(
    ("told", "alert", "code", "age_s", "test", "urgency"),
    [
        (examination(), None, None, 1.0, False, None),
        (examination(), SMALL, None, 10 * STANDS_S, False, Urgency.SMALL),
        (examination(Second.CONFIRMED), SMALL, None, 1.0, False, Urgency.SMALL),
        (examination(Second.WITHDRAWN), SMALL, None, 1.0, False, Urgency.WITHDRAWN),
        (examination(), SMALL, None, 1.0, True, Urgency.TEST),
        (
            examination(unanalysed=("1.2",)),
            None,
            "slices_missing",
            0.0,
            False,
            Urgency.NOT_ANALYSED,
        ),
        (REFUSED, None, "slices_missing", STANDS_S + 1, False, None),
        (REFUSED, None, "slices_missing", 0.0, True, None),
        (REFUSED, None, "bone_kernel", 119.0, False, None),
        (REFUSED, None, "bone_kernel", 121.0, False, Urgency.NOT_ANALYSED),
    ],
    ids=[
        "nothing waits",
        "a suspicion, for ever",
        "confirmed",
        "withdrawn",
        "self-test",
        "not analysed",
        "not analysed, yesterday",
        "self-test not analysed",
        "bone alone, the other may come",
        "bone alone",
    ],
)
def test_what_stands_in_front(
    told: Examination,
    alert: SeriesReport | None,
    code: str | None,
    age_s: float,
    test: bool,
    urgency: Urgency | None,
) -> None:
    assert standing(told, alert, code, age_s, test=test) is urgency


def test_the_most_urgent_comes_first_and_of_equals_the_largest() -> None:
    waiting = [(None, 90.0), *((one, ml) for one in reversed(ORDER) for ml in (2.0, 3.0))]

    ordered = sorted(waiting, key=lambda one: precedence(*one))

    assert ordered == [*((one, ml) for one in ORDER for ml in (3.0, 2.0)), (None, 90.0)]
