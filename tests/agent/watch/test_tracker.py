"""Each version of each file once, and unfinished ones again."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.watch.filesystem import Version
from agent.watch.tracker import SETTLE_S, FileTracker

OLD, NEW = Version(100, 1, 7), Version(200, 2, 7)


class Disk(dict[str, Version]):
    """A folder that holds what the test says."""


@pytest.fixture
def disk() -> Disk:
    return Disk({"a": OLD})


@pytest.fixture
def tracker(disk: Disk) -> FileTracker:
    return FileTracker({}, disk.get)


def handed(tracker: FileTracker, now_s: float) -> list[str]:
    return [str(arrival.path) for arrival in tracker.take_due(now_s)]


def test_a_closed_file_is_handed_out_at_once_and_once(tracker):
    tracker.noticed("a", 1.0, closed=True)
    assert handed(tracker, 1.0) == ["a"]

    tracker.noticed("a", 2.0, closed=True)
    tracker.found("a", OLD, 2.0)
    assert handed(tracker, 3.0) == []


def test_an_arrival_says_what_was_seen_and_when(tracker):
    tracker.noticed("a", 1.0, closed=True)

    (arrival,) = tracker.take_due(1.5)

    assert (arrival.path, arrival.size_bytes, arrival.mtime_ns) == (Path("a"), 100, 1)
    assert arrival.seen_monotonic_s == 1.5


def test_a_file_nobody_closed_is_handed_out_when_it_stops_changing(disk, tracker):
    tracker.noticed("a", 1.0, closed=False)
    assert handed(tracker, 1.0) == []
    disk["a"] = NEW
    assert handed(tracker, 1.0 + SETTLE_S) == []
    assert tracker.next_due_s == pytest.approx(1.0 + 2 * SETTLE_S)

    assert handed(tracker, 1.0 + 2 * SETTLE_S) == ["a"]
    assert tracker.next_due_s is None


def test_a_close_ends_the_waiting(disk, tracker):
    tracker.found("a", OLD, 1.0)
    assert handed(tracker, 1.0) == []
    disk["a"] = NEW
    tracker.noticed("a", 1.01, closed=True)

    assert handed(tracker, 1.01) == ["a"]


def test_a_changed_file_is_handed_out_again(disk, tracker):
    tracker.noticed("a", 1.0, closed=True)
    assert handed(tracker, 1.0) == ["a"]

    disk["a"] = Version(100, 1, 8)
    tracker.noticed("a", 2.0, closed=True)

    assert handed(tracker, 2.0) == ["a"]


def looked_at(tracker: FileTracker, n: int, **how: bool) -> tuple[list[float], list[str]]:
    """Pauses between ``n`` looks at a file that is never whole, and what they emit."""
    now_s, pauses_s, emitted = 0.0, [], []
    tracker.not_whole("a", now_s, **how)
    for _ in range(n):
        due_s = tracker.next_due_s
        assert handed(tracker, due_s - 0.01) == []
        found = handed(tracker, due_s)
        if found:
            tracker.not_whole("a", due_s, **how)
        emitted += found
        pauses_s.append(round(due_s - now_s, 6))
        now_s = due_s
    return pauses_s, emitted


GROWING_S = [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2, 60.0, 60.0]


def test_a_file_not_whole_is_looked_at_ever_less_often_and_not_emitted_unchanged(disk, tracker):
    tracker.noticed("a", 0.0, closed=True)
    assert handed(tracker, 0.0) == ["a"]

    assert looked_at(tracker, len(GROWING_S)) == (GROWING_S, [])

    disk["a"] = NEW
    due_s = tracker.next_due_s
    assert handed(tracker, due_s) == []
    assert handed(tracker, due_s + SETTLE_S) == ["a"]


def test_a_file_that_could_not_be_opened_comes_again_as_it_is_at_growing_intervals(tracker):
    tracker.noticed("a", 0.0, closed=True)
    assert handed(tracker, 0.0) == ["a"]

    pauses_s, emitted = looked_at(tracker, len(GROWING_S), as_it_is=True)

    assert (pauses_s, emitted) == (GROWING_S, ["a"] * len(GROWING_S))


def test_a_file_not_whole_comes_at_once_when_it_is_closed_and_begins_anew(disk, tracker):
    tracker.noticed("a", 0.0, closed=True)
    assert handed(tracker, 0.0) == ["a"]
    tracker.not_whole("a", 0.0)
    for now_s in (1.0, 2.0, 3.0):
        assert handed(tracker, now_s) == []

    disk["a"] = NEW
    tracker.noticed("a", 3.01, closed=True)
    assert handed(tracker, 3.01) == ["a"]

    tracker.not_whole("a", 4.0)
    assert tracker.next_due_s == pytest.approx(4.05)


@pytest.mark.parametrize("order", ["closed first", "found incomplete first"])
def test_a_close_within_one_tick_of_the_clock_is_a_change(tracker, order):
    tracker.noticed("a", 0.0, closed=True)
    assert handed(tracker, 0.0) == ["a"]

    if order == "closed first":
        tracker.noticed("a", 0.001, closed=True)
        assert handed(tracker, 0.001) == []
        tracker.not_whole("a", 0.002)
    else:
        tracker.not_whole("a", 0.001)
        tracker.noticed("a", 0.002, closed=True)

    assert handed(tracker, 0.002) == ["a"]


def test_where_time_is_told_in_whole_seconds_a_file_not_whole_comes_once_more(disk):
    disk["a"] = Version(100, 5 * 10**9, 7)
    tracker = FileTracker({}, disk.get)
    tracker.noticed("a", 0.0, closed=True)
    assert handed(tracker, 0.0) == ["a"]

    pauses_s, emitted = looked_at(tracker, 12)

    assert emitted == ["a"]
    assert sum(pauses_s[:6]) >= 2.0


def test_what_was_known_before_a_restart_comes_only_if_it_changed(disk):
    tracker = FileTracker({"a": (100, 1)}, disk.get)
    tracker.found("a", OLD, 1.0)
    tracker.noticed("a", 1.0, closed=True)
    assert handed(tracker, 2.0) == []

    disk["a"] = NEW
    tracker.noticed("a", 3.0, closed=True)
    assert handed(tracker, 3.0) == ["a"]


def test_a_file_that_is_gone_is_forgotten(disk, tracker):
    tracker.noticed("a", 1.0, closed=True)
    assert handed(tracker, 1.0) == ["a"]
    tracker.not_whole("a", 1.0)
    del disk["a"]
    assert handed(tracker, 9.0) == []
    assert tracker.paths == set()

    disk["a"] = OLD
    tracker.noticed("a", 10.0, closed=True)
    assert handed(tracker, 10.0) == ["a"]


def test_files_found_together_come_in_the_order_they_were_written(disk, tracker):
    for name, mtime_ns in (("c", 3), ("a", 2), ("b", 1)):
        disk[name] = Version(100, mtime_ns, 7)
        tracker.found(name, disk[name], 0.0)
    tracker.take_due(0.0)

    assert handed(tracker, SETTLE_S) == ["b", "a", "c"]


def test_a_file_that_was_never_handed_out_can_be_asked_for(tracker):
    tracker.not_whole("a", 1.0)

    assert handed(tracker, 1.0) == []
    assert handed(tracker, 1.0 + SETTLE_S) == ["a"]
