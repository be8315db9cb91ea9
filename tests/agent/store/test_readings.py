"""agent.store.readings: what radiologists made of results, beside them and never over them."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from agent.errors import StoreError
from agent.handover.facts import series_facts
from agent.store.extents import Extent
from agent.store.readings import Judgement, Section, Sentence, standing
from agent.store.rows import Keep
from agent.store.view import SeriesView
from agent.wiring import system_clock
from tests.agent.reports import add_result, receive, report
from tests.agent.stored import Store

UID = "1.2.3.4"
RIGHT = Judgement(judged="correct", finding=0)
NOT_BLOOD = Judgement(judged="not_blood", finding=0, instead="calcification", note="Ms Doe's")
MISSED = Judgement(judged="missed", voxel_kji=(3, 20, 30), subtype="subarachnoid")
TEXT = Section(
    section="impression", title="Impression", sentences=(Sentence(text="None.", reason=None),)
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    with Store(tmp_path / "store.sqlite", system_clock) as opened:
        receive(opened, system_clock, UID)
        add_result(opened, report(UID))
        yield opened


@pytest.mark.parametrize(
    "wrong",
    [
        {"judged": "correct"},
        {"judged": "correct", "finding": 0, "subtype": "subdural"},
        {"judged": "correct", "finding": -1},
        {"judged": "correct", "finding": 10**30},
        {"judged": "changed", "finding": 0},
        {"judged": "changed", "finding": 0, "subtype": "blood"},
        {"judged": "changed", "finding": 0, "side": "port"},
        {"judged": "not_blood", "finding": 0},
        {"judged": "not_blood", "finding": 0, "instead": "nothing"},
        {"judged": "not_blood", "finding": 0, "instead": "other"},
        {"judged": "missed"},
        {"judged": "missed", "finding": 0, "voxel_kji": (1, 2, 3)},
        {"judged": "missed", "voxel_kji": (-1, 2, 3)},
        {"judged": "correct", "finding": 0, "note": "x" * 1001},
        {"judged": "correct", "finding": 0, "reading": 1},
    ],
    ids=str,
)
def test_no_judgement_can_be_made_that_says_nothing_or_two_things(wrong: dict) -> None:
    with pytest.raises(ValidationError):
        Judgement.model_validate(wrong)


def test_the_latest_reading_of_a_finding_stands_beside_the_result(store: Store) -> None:
    before = store.queries.history(UID)

    store.console.read(UID, 1, "Dr Bob", RIGHT)
    store.console.read(UID, 1, "Dr Eve", NOT_BLOOD)
    store.console.read(UID, 1, "Dr Bob", MISSED)

    readings = store.queries.readings(UID)
    assert [(one.who, one.judgement) for one in readings] == [
        ("Dr Bob", RIGHT),
        ("Dr Eve", NOT_BLOOD),
        ("Dr Bob", MISSED),
    ]
    assert [one.judgement for one in standing(readings)] == [NOT_BLOOD, MISSED]
    assert store.queries.history(UID) == before


def test_a_reading_is_taken_back_and_stays_on_record(store: Store) -> None:
    made = store.console.read(UID, 1, "Dr Bob", MISSED)

    first = store.console.take_back(UID, 1, "Dr Eve", made.reading_id)
    again = store.console.take_back(UID, 1, "Dr Bob", made.reading_id)

    assert first == again
    assert first.taken_back_by == "Dr Eve"
    assert store.queries.readings(UID) == [first]
    assert standing([first]) == []


def test_only_a_result_that_is_there_is_read_or_reported(store: Store) -> None:
    made = store.console.read(UID, 1, "Dr Bob", RIGHT)

    for attempt in (
        lambda: store.console.read("1.9", 1, "Dr Bob", RIGHT),
        lambda: store.console.take_back("1.9", 1, "Dr Bob", made.reading_id),
        lambda: store.console.take_back(UID, 1, "Dr Bob", made.reading_id + 1),
        lambda: store.console.sign(("1.9", 1), "Dr Bob", "en", (TEXT,)),
    ):
        with pytest.raises(StoreError):
            attempt()


def test_a_report_that_is_signed_again_is_a_new_version(store: Store) -> None:
    for who in ("Dr Bob", "Dr Eve"):
        store.console.sign((UID, 1), who, "de", (TEXT,))

    first, second = store.queries.signed_reports([UID, "1.9"])
    assert [(one.version, one.who) for one in (first, second)] == [(1, "Dr Bob"), (2, "Dr Eve")]
    assert first.sections == (TEXT,)
    assert first.text == "IMPRESSION\nNone."


def test_what_leaves_the_box_names_nobody_and_quotes_nobody(store: Store) -> None:
    store.console.read(UID, 1, "Dr Bob", NOT_BLOOD)
    store.console.sign((UID, 1), "Dr Bob", "en", (TEXT,))
    row = store.queries.series(UID)
    assert row

    facts = series_facts(SeriesView.of(row).with_history(store.queries))

    (reading,) = facts["readings"]
    assert reading["judgement"] == {
        "judged": "not_blood",
        "finding": 0,
        "subtype": None,
        "side": None,
        "instead": "calcification",
        "voxel_kji": None,
        "redrawn": False,
    }
    assert "Bob" not in str(facts)
    assert "signed_reports" not in facts


def test_readings_and_reports_go_with_their_series(store: Store) -> None:
    drawn = Extent.model_validate({"slices": [{"k": 3, "runs": [70, 4]}]})
    store.console.read(UID, 1, "Dr Bob", MISSED, (drawn, 1.5))
    assert store.queries.extents(UID) == {1: drawn}
    store.console.sign((UID, 1), "Dr Bob", "en", (TEXT,))
    store.console.acknowledge(UID, 1, "Ann", "")
    store.console.receipt(UID, 1, "console")

    store.agent.forget(Keep(400.0, 0))

    assert store.queries.series(UID) is None
    assert store.queries.readings(UID) == []
    assert store.sql("SELECT * FROM extents") == []
    assert store.queries.signed_reports([UID]) == []
