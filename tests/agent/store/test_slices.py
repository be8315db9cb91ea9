"""Slices of suspicions: shown when whole, forgotten before results, and never in their way."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.errors import StoreUnwritable
from agent.records import EncodedSlice
from agent.report import SliceStack
from agent.store.rows import Keep
from tests.agent.box import SetClock
from tests.agent.reports import add_result, not_suspected, receive, report
from tests.agent.stored import Store

DAY_S = 86_400.0
N = 40
SLICE_BYTES = 3000
WEEK = Keep(days=7, bytes=10**9)
STACK = SliceStack(
    rows=8,
    columns=9,
    spacing_mm=(0.5, 0.4),
    heights_mm=tuple(5.0 * k for k in range(N)),
    outlined=(3,),
)


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def store(tmp_path: Path, clock: SetClock) -> Iterator[Store]:
    with Store(tmp_path / "store.sqlite", clock) as opened:
        yield opened


def slices(n: int = N) -> Iterator[EncodedSlice]:
    for k in range(n):
        yield EncodedSlice(k, bytes([k]) * SLICE_BYTES, b"outline" if k == 3 else None)


def suspect(
    store: Store, clock: SetClock, uid: str, revision: int = 1, *, seen: bool = True
) -> None:
    """Conclude a suspicion with all its slices, acknowledged where it was ``seen``."""
    receive(store, clock, uid)
    add_result(store, report(uid, revision=revision), {"axial": b"png"})
    for _ in store.agent.keep_slices(uid, revision, STACK, slices()):
        pass
    if seen:
        store.console.receipt(uid, revision, "console")
        store.console.acknowledge(uid, revision, "Ann", "")


def kept(store: Store, *uids: str) -> list[str]:
    return [uid for uid in uids if store.queries.stack(uid, 1)]


def n_rows(store: Store, uid: str) -> int:
    return store.sql("SELECT count(*) AS n FROM slices WHERE series_uid = ?", uid)[0]["n"]


def test_slices_are_given_back_as_they_were(store: Store, clock: SetClock) -> None:
    suspect(store, clock, "1.1")

    assert store.queries.stack("1.1", 1) == STACK
    assert [store.queries.encoded_slice("1.1", 1, k) for k in range(N)] == list(slices())
    assert store.queries.encoded_slice("1.1", 1, N) is None
    assert store.queries.encoded_slice("1.1", 2, 0) is None


def test_none_is_shown_before_all_are_kept(store: Store, clock: SetClock) -> None:
    receive(store, clock, "1.1")
    add_result(store, report("1.1"))
    steps = store.agent.keep_slices("1.1", 1, STACK, slices())

    n_steps = 0
    for _ in steps:
        n_steps += 1
        assert store.queries.stack("1.1", 1) is None
        assert store.queries.encoded_slice("1.1", 1, 0) is None

    assert n_steps > 1
    assert store.queries.stack("1.1", 1) == STACK


def test_what_a_crash_left_half_kept_goes_with_the_next(store: Store, clock: SetClock) -> None:
    receive(store, clock, "1.1")
    add_result(store, report("1.1"))
    next(store.agent.keep_slices("1.1", 1, STACK, slices()))
    assert 0 < n_rows(store, "1.1") < N

    suspect(store, clock, "1.2")

    assert n_rows(store, "1.1") == 0
    assert kept(store, "1.1", "1.2") == ["1.2"]


def test_a_disk_without_room_to_spare_keeps_results_and_no_slices(
    store: Store, clock: SetClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    receive(store, clock, "1.1")
    monkeypatch.setattr("agent.store.slices.ROOM_BYTES", 10**18)

    add_result(store, report("1.1"), {"axial": b"png"})
    with pytest.raises(StoreUnwritable, match="which results need"):
        next(store.agent.keep_slices("1.1", 1, STACK, slices()))

    assert store.queries.history("1.1") == [report("1.1")]
    assert kept(store, "1.1") == []


def test_slices_are_forgotten_after_their_days_and_the_result_is_not(
    store: Store, clock: SetClock
) -> None:
    suspect(store, clock, "1.1")
    clock.now_s += 5 * DAY_S
    suspect(store, clock, "1.2")
    clock.now_s += 3 * DAY_S

    assert store.agent.prune_slices(WEEK) == 1

    assert kept(store, "1.1", "1.2") == ["1.2"]
    assert n_rows(store, "1.1") == 0
    assert store.queries.picture("1.1", 1, "axial") == b"png"
    assert store.queries.history("1.1") == [report("1.1")]
    assert store.agent.prune_slices(WEEK) == 0


def test_above_their_size_the_oldest_slices_are_forgotten_first(
    store: Store, clock: SetClock
) -> None:
    uids = [f"1.{n}" for n in range(5)]
    for uid in uids:
        clock.now_s += 1
        suspect(store, clock, uid)

    assert store.agent.prune_slices(Keep(days=7, bytes=int(3.5 * N * SLICE_BYTES))) == 2

    assert kept(store, *uids) == uids[2:]


def test_slices_of_an_unacknowledged_suspicion_are_never_forgotten(
    store: Store, clock: SetClock
) -> None:
    suspect(store, clock, "1.1", seen=False)
    later = not_suspected("1.1").model_copy(update={"revision": 2, "result_id": "later"})
    add_result(store, later)
    clock.now_s += 1000 * DAY_S

    assert store.agent.prune_slices(Keep(days=7, bytes=0)) == 0
    assert kept(store, "1.1") == ["1.1"]

    store.console.acknowledge("1.1", 2, "Ann", "")
    assert store.agent.prune_slices(WEEK) == 1


def test_a_newer_revision_takes_the_place_of_an_older_ones_slices(
    store: Store, clock: SetClock
) -> None:
    suspect(store, clock, "1.1", seen=False)
    receive(store, clock, "1.1")
    add_result(store, report("1.1", revision=2))
    for _ in store.agent.keep_slices("1.1", 2, STACK, slices()):
        assert store.queries.stack("1.1", 1), "gone before there are newer ones"

    assert store.queries.stack("1.1", 1) is None
    assert store.queries.stack("1.1", 2) == STACK
    assert n_rows(store, "1.1") == N


def test_slices_of_what_is_not_suspected_go_first_and_take_no_suspicions_place(
    store: Store, clock: SetClock
) -> None:
    suspect(store, clock, "1.1")
    clock.now_s += 1
    receive(store, clock, "1.2")
    add_result(store, not_suspected("1.2"))
    later = not_suspected("1.1").model_copy(update={"revision": 2, "result_id": "later"})
    add_result(store, later)
    for uid, revision in (("1.2", 1), ("1.1", 2)):
        for _ in store.agent.keep_slices(uid, revision, STACK, slices()):
            pass
    assert kept(store, "1.1", "1.2") == ["1.1", "1.2"]

    assert store.agent.prune_slices(Keep(days=7, bytes=int(1.5 * N * SLICE_BYTES))) == 2

    assert kept(store, "1.1", "1.2") == ["1.1"]
    assert store.queries.stack("1.1", 2) is None


def test_slices_push_no_result_out_and_go_with_their_series(store: Store, clock: SetClock) -> None:
    suspect(store, clock, "1.1")
    sized = Keep(days=400, bytes=store.queries.used_bytes() - N * SLICE_BYTES // 2)

    assert store.agent.prune(sized, lambda _: False) == 0
    clock.now_s += 500 * DAY_S
    assert store.agent.prune(sized, lambda _: False) == 1

    assert store.queries.stack("1.1", 1) is None
    assert n_rows(store, "1.1") == 0
    assert store.queries.picture("1.1", 1, "axial") is None
