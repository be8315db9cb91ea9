"""agent.store of self-tests: what is kept of them, what is forgotten, what the console says."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from agent.reasons import Reason
from agent.records import TEST_MARK, Instant
from agent.store.console_store import MOST_SELFTESTS
from agent.store.effects import NoteFile, ShowAnalysis
from agent.store.liveness import selftest_problem
from agent.store.rows import FileNote, Selftest
from tests.agent.box import MIDNIGHT, SetClock
from tests.agent.reports import ENGINE, add_result, not_suspected, receive, recorded, report
from tests.agent.stored import Store

UID = f"{TEST_MARK}1.2.3.4"
LONG_AGO = MIDNIGHT - timedelta(days=9)
NOW = Instant(MIDNIGHT, 90_000.0)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "store.sqlite", SetClock()) as opened:
        yield opened


def ended(hours_ago: float, failure: str | None = None) -> Selftest:
    reason = recorded(failure) if failure else None
    return Selftest(Instant(MIDNIGHT - timedelta(hours=hours_ago), 1.0), reason)


def conclude(store: Store, uid: str) -> None:
    receive(store, SetClock(), uid)
    note = FileNote(f"/state/{uid}", 1, 1, uid, "1.9", refusal=None, settled=True)
    store.agent.commit([NoteFile(note)])
    add_result(store, report(uid), {"axial": b"png"})


def test_a_test_that_was_acknowledged_is_forgotten_with_all_that_was_its(store: Store) -> None:
    conclude(store, UID)
    store.console.acknowledge(UID, 1, "selftest", "")

    store.agent.forget_tests(LONG_AGO)

    assert (
        store.queries.worklist(9),
        store.queries.transitions(UID),
        store.queries.history(UID),
    ) == ([], [], [])
    assert (store.queries.undelivered(), store.queries.files_of(UID)) == ([], [])


def test_a_patients_series_is_never_forgotten_as_a_test(store: Store) -> None:
    conclude(store, "1.2.3.4")
    store.console.acknowledge("1.2.3.4", 1, "selftest", "")

    store.agent.forget_tests(MIDNIGHT + timedelta(days=9))

    assert [row.uid for row in store.queries.worklist(9)] == ["1.2.3.4"]


def test_a_test_stays_until_it_is_acknowledged_or_was_abandoned(store: Store) -> None:
    conclude(store, UID)

    store.agent.forget_tests(LONG_AGO)
    assert [row.uid for row in store.queries.worklist(9)] == [UID]

    store.agent.forget_tests(MIDNIGHT + timedelta(days=9))
    assert store.queries.worklist(9) == []


def test_a_test_on_its_way_in_the_agent_is_not_forgotten(store: Store) -> None:
    receive(store, SetClock(), UID)
    store.agent.forget_tests(MIDNIGHT + timedelta(days=9))
    store.agent.commit([ShowAnalysis(UID)])
    store.agent.forget_tests(MIDNIGHT + timedelta(days=9))

    add_result(store, not_suspected(UID))
    assert len(store.queries.history(UID)) == 1


def test_the_days_count_is_of_patients(store: Store) -> None:
    conclude(store, UID)
    conclude(store, "1.2.3.4")

    assert store.queries.counts_since(LONG_AGO).examinations == 1


def test_the_latest_tests_are_kept(store: Store) -> None:
    tests = [
        Selftest(
            Instant(MIDNIGHT, 1.0), recorded(str(n)), ENGINE, 1.4, 31.0, 30.0, shown=n % 2 == 0
        )
        for n in range(MOST_SELFTESTS + 3)
    ]
    for test in tests:
        store.console.note_selftest(test)

    assert store.queries.selftests(1000) == tests[3:][::-1]


@pytest.mark.parametrize(
    ("last", "daily", "problem"),
    [
        (None, False, None),
        (None, True, Reason("selftest_missing")),
        (ended(25), True, None),
        (ended(31), True, Reason("selftest_overdue", age_h=31.0)),
        (ended(31), False, None),
        (ended(2, "slow: …"), True, Reason("selftest_failed", why=recorded("slow: …"))),
        (ended(31, "slow: …"), False, Reason("selftest_failed", why=recorded("slow: …"))),
    ],
    ids=["none", "missing", "passed", "overdue", "by hand", "failed", "failed by hand"],
)
def test_what_the_console_says(last: Selftest | None, daily: bool, problem: Reason | None) -> None:
    assert selftest_problem(last, NOW, daily=daily) == problem


def test_a_computer_that_was_switched_off_has_an_hour_to_make_up_for_it() -> None:
    assert selftest_problem(ended(72), Instant(MIDNIGHT, 600.0), daily=True) is None
    assert selftest_problem(ended(72), Instant(MIDNIGHT, 4000.0), daily=True) is not None
