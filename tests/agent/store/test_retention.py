"""What the store forgets: old and much, and never what somebody still has to see."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.reasons import Reason
from agent.records import State
from agent.store.effects import NoteFile, ShowAnalysis
from agent.store.rows import FileNote, Keep
from tests.agent.box import SetClock
from tests.agent.reports import add_result, not_suspected, receive, report
from tests.agent.stored import Store

DAY_S = 86_400.0
DAYS_30 = Keep(days=30, bytes=10**9)
NOTHING_GONE, ALL_GONE = (lambda _: False), (lambda _: True)


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def store(tmp_path: Path, clock: SetClock) -> Iterator[Store]:
    with Store(tmp_path / "store.sqlite", clock) as opened:
        yield opened


def conclude(
    store: Store, clock: SetClock, uid: str, *, suspected: bool = False, shown: bool = True
) -> None:
    """Receive and conclude a series."""
    receive(store, clock, uid)
    add_result(store, report(uid) if suspected else not_suspected(uid), {"axial": b"x" * 9000})
    if shown:
        store.console.receipt(uid, 1, "console")


def known(store: Store, *uids: str) -> list[str]:
    return [uid for uid in uids if store.queries.series(uid)]


def test_what_is_older_than_its_days_is_forgotten_with_all_that_belongs_to_it(
    store: Store, clock: SetClock
) -> None:
    conclude(store, clock, "1.1")
    clock.now_s += 20 * DAY_S
    conclude(store, clock, "1.2")
    clock.now_s += 11 * DAY_S

    n_pruned = store.agent.prune(DAYS_30, NOTHING_GONE)

    assert n_pruned == 1
    assert known(store, "1.1", "1.2") == ["1.2"]
    for table in ("results", "transitions", "outbox", "acknowledgements"):
        assert not store.sql(f"SELECT * FROM {table} WHERE series_uid = '1.1'")
    assert store.agent.prune(DAYS_30, NOTHING_GONE) == 0


def test_what_is_undelivered_unacknowledged_or_unfinished_is_never_forgotten(
    store: Store, clock: SetClock
) -> None:
    conclude(store, clock, "1.1", shown=False)
    conclude(store, clock, "1.2", suspected=True)
    receive(store, clock, "1.3")
    receive(store, clock, "1.4")
    store.agent.commit([ShowAnalysis("1.4")])
    clock.now_s += 1000 * DAY_S

    for keep in (DAYS_30, Keep(days=30, bytes=0)):
        assert store.agent.prune(keep, ALL_GONE) == 0
    assert known(store, "1.1", "1.2", "1.3", "1.4") == ["1.1", "1.2", "1.3", "1.4"]

    store.console.receipt("1.1", 1, "console")
    store.console.acknowledge("1.2", 1, "Ann", "")
    assert store.agent.prune(DAYS_30, NOTHING_GONE) == 2
    assert known(store, "1.1", "1.2", "1.3", "1.4") == ["1.3", "1.4"]


def test_a_suspicion_that_a_later_result_took_back_is_kept_until_it_is_acknowledged(
    store: Store, clock: SetClock
) -> None:
    conclude(store, clock, "1.1", suspected=True)
    later = not_suspected("1.1").model_copy(update={"revision": 2, "result_id": "later"})
    add_result(store, later)
    store.console.receipt("1.1", 2, "console")
    clock.now_s += 1000 * DAY_S

    assert store.agent.prune(DAYS_30, NOTHING_GONE) == 0
    store.console.acknowledge("1.1", 2, "Ann", "")
    assert store.agent.prune(DAYS_30, NOTHING_GONE) == 1


@pytest.mark.slow
def test_above_its_size_the_oldest_are_forgotten_first(store: Store, clock: SetClock) -> None:
    uids = [f"1.{n}" for n in range(300)]
    for uid in uids:
        clock.now_s += 1
        conclude(store, clock, uid)
    keep = Keep(days=400, bytes=store.queries.used_bytes() // 2)

    while store.agent.prune(keep, NOTHING_GONE):
        pass

    left = known(store, *uids)
    assert left == uids[-len(left) :]
    assert 0 < len(left) < 200
    assert store.queries.used_bytes() <= keep.bytes


def note(store: Store, path: str, uid: str | None, *, mtime_s: float = 0.0) -> None:
    refusal = None if uid else Reason("not_dicom")
    noted = FileNote(path, 1, int(mtime_s * 1e9), uid, None, refusal, settled=True)
    store.agent.commit([NoteFile(noted)])


def test_files_that_are_still_there_are_remembered_or_they_would_be_analysed_again(
    store: Store, clock: SetClock
) -> None:
    conclude(store, clock, "1.1")
    note(store, "/there", "1.1")
    note(store, "/gone", "1.1")
    note(store, "/text", None)
    note(store, "/new", None, mtime_s=4e9)
    clock.now_s += 1000 * DAY_S

    store.agent.prune(DAYS_30, lambda path: path != "/there")

    assert set(store.queries.settled_files()) == {"/there", "/new"}


def test_files_of_series_that_are_kept_are_remembered_even_if_they_are_gone(
    store: Store, clock: SetClock
) -> None:
    conclude(store, clock, "1.1", shown=False)
    note(store, "/gone", "1.1")
    clock.now_s += 1000 * DAY_S

    store.agent.prune(DAYS_30, ALL_GONE)

    assert set(store.queries.settled_files()) == {"/gone"}


@pytest.mark.slow
def test_all_files_are_looked_at_in_turn(store: Store, clock: SetClock) -> None:
    store.agent.commit(
        NoteFile(FileNote(f"/{n}", 1, 0, None, None, Reason("not_dicom"), settled=True))
        for n in range(4500)
    )
    clock.now_s += 1000 * DAY_S

    left = []
    for _ in range(4):
        store.agent.prune(DAYS_30, ALL_GONE)
        left.append(len(store.queries.settled_files()))

    assert left == [2500, 500, 0, 0]


def test_a_series_that_was_forgotten_can_come_again(store: Store, clock: SetClock) -> None:
    conclude(store, clock, "1.1")
    clock.now_s += 31 * DAY_S
    store.agent.prune(DAYS_30, NOTHING_GONE)

    conclude(store, clock, "1.1")

    found = store.queries.series("1.1")
    assert found is not None
    assert found.state is State.NOT_SUSPECTED


@pytest.mark.slow
@pytest.mark.parametrize("keep_bytes", [10**9, 2_000_000, 0], ids=["room", "some", "none"])
def test_what_would_be_forgotten_is_told_before(
    store: Store, clock: SetClock, keep_bytes: int
) -> None:
    for number in range(250):
        conclude(store, clock, f"1.{number}")
    conclude(store, clock, "2.1", suspected=True)
    keep = Keep(days=30, bytes=keep_bytes)

    told = store.queries.forgettable(keep, clock().utc)

    n_forgotten = 0
    while some := store.agent.forget(keep):
        n_forgotten += some
    assert told.n_series == 251
    assert told.n_forgettable == n_forgotten
    assert bool(n_forgotten) == (keep_bytes < told.used_bytes)
    assert 0 <= told.forgettable_bytes <= told.used_bytes
