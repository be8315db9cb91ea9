"""agent.console.before: a patient's previous examination beside the present one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from agent.console.before import Before, before, change_of
from agent.reasons import Reason
from agent.records import Acquisition
from agent.report import SeriesReport
from agent.store.delivery_store import DeliveryStore
from agent.wiring import system_clock
from tests.agent.reports import (
    add_result,
    finding,
    identity,
    not_analysed,
    not_suspected,
    receive,
    report,
)
from tests.agent.stored import Store

NOW = datetime(2026, 11, 30, 12)  # noqa: DTZ001 - the scanner's clock, which has no zone
SMALL = finding(volume_ml=8.0, volume_interval_ml=(6.0, 11.0))
LARGE = finding(volume_ml=14.0, volume_interval_ml=(11.0, 18.0))
DOE = identity()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "store.sqlite", system_clock) as opened:
        yield opened


def scan(
    store: Store,
    result: SeriesReport,
    hours_ago: float | None = 0.0,
    **whose: str,
) -> None:
    """Store a scan's result, of a study of its own and of Jane Doe unless said otherwise."""
    at = None if hours_ago is None else NOW - timedelta(hours=hours_ago)
    acquisition = Acquisition(acquired=(at, at)) if at else Acquisition()
    uid = result.series_uid
    patient = replace(DOE, **({"study_uid": f"{uid}.9"} | whose))
    receive(store, system_clock, uid, identity=patient, acquisition=acquisition)
    add_result(store, result.model_copy(update={"study_uid": patient.study_uid}))


def compared(store: Store, uid: str = "1.2") -> Before | None:
    row = store.queries.series(uid)
    assert row
    (examination,) = store.queries.examinations_with([row])
    found = before(examination, store.queries)
    return found[0] if found else None


def test_a_volumes_change_has_an_interval_of_both_errors() -> None:
    was, is_ = (8.0, 6.0, 11.0), (14.0, 11.0, 18.0)

    assert change_of(was, is_) == pytest.approx((6.0, 6 - 18**0.5, 6 + 20**0.5))
    assert change_of(is_, was) == pytest.approx((-6.0, -6 - 20**0.5, -6 + 18**0.5))


def test_nine_of_ten_intervals_hold_the_true_change() -> None:
    random, z_90, sd_ml = np.random.default_rng(1), 1.645, (2.0, 3.0)
    held = 0
    for _ in range(2000):
        was, is_ = (
            (seen, seen - z_90 * sd, seen + z_90 * sd)
            for seen, sd in zip(random.normal((20.0, 26.0), sd_ml), sd_ml, strict=True)
        )
        _, low, high = change_of(was, is_)
        held += low <= 6.0 <= high

    assert held / 2000 == pytest.approx(0.9, abs=0.02)


def test_the_previous_of_the_same_patient_is_told_with_what_changed(store: Store) -> None:
    scan(store, report("1.0", findings=(LARGE,)), 30.0)
    scan(store, report("1.1", findings=(SMALL,)), 5.0)
    scan(store, report("1.2", findings=(LARGE,)))

    told = compared(store)

    assert told
    assert (told.examination_uid, told.hours) == ("1.1", 5.0)
    assert told.before
    assert told.now
    assert (told.before.volume_ml, told.now.interval_ml) == (8.0, (11.0, 18.0))
    assert told.change.text == "grew 6.0 mL (1.8 to 10.5) in 5.0 h"
    latest = compared(store, "1.0")
    assert latest is None  # what came later is no previous examination


@pytest.mark.parametrize(
    ("former", "latter", "told"),
    [
        (report("1.1", findings=(LARGE,)), report("1.2", findings=(SMALL,)), "shrank 6.0 mL"),
        (report("1.1", findings=(SMALL,)), report("1.2", findings=(SMALL,)), "changed 0.0 mL"),
        (not_suspected("1.1"), report("1.2"), "not suspected 3 days before"),
        (report("1.1"), not_suspected("1.2"), "suspected 3 days before, not suspected now"),
        (not_suspected("1.1"), not_suspected("1.2"), "not suspected 3 days before either"),
        (report("1.1", findings=()), report("1.2"), "suspected 3 days before as well"),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_each_change_is_told_in_its_words(
    store: Store, former: SeriesReport, latter: SeriesReport, told: str
) -> None:
    scan(store, former, 72.0)
    scan(store, latter)

    found = compared(store)

    assert found
    assert found.change.text.startswith(told)


@pytest.mark.parametrize(
    "whose",
    [
        {"patient_id": "P2"},
        {"patient_name": "DOE^JOHN"},
        {"birth_date": "19500102"},
        {"patient_name": ""},
    ],
    ids=str,
)
def test_another_patient_is_never_compared(store: Store, whose: dict[str, str]) -> None:
    scan(store, report("1.1", findings=(SMALL,)), 5.0, **whose)
    scan(store, report("1.2", findings=(LARGE,)))

    assert compared(store) is None


@pytest.mark.parametrize("missing", ["patient_id", "patient_name", "birth_date"])
def test_nobody_in_particular_is_never_compared(store: Store, missing: str) -> None:
    for uid, hours_ago in (("1.1", 5.0), ("1.2", 0.0)):
        scan(store, report(uid, findings=(SMALL,)), hours_ago, **{missing: ""})

    assert compared(store) is None


@pytest.mark.parametrize("doubted", ["1.1.9", "1.2.9"])
def test_a_doubted_identity_is_never_compared(store: Store, doubted: str) -> None:
    scan(store, report("1.1", findings=(SMALL,)), 5.0)
    scan(store, report("1.2", findings=(LARGE,)))
    DeliveryStore(store.database, system_clock).doubt(doubted, Reason("recorded", said="doubted"))

    assert compared(store) is None


def test_only_what_was_analysed_and_dated_is_compared(store: Store) -> None:
    scan(store, not_analysed("1.0"), 3.0)
    scan(store, report("1.1", findings=(SMALL,)), None)
    scan(store, report("1.2", findings=(LARGE,)))

    assert compared(store) is None
