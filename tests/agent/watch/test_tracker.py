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


def test_a_file_not_whole_comes_again_at_growing_intervals(tracker):
    tracker.noticed("a", 0.0, closed=True)
    assert handed(tracker, 0.0) == ["a"]
    now_s, pauses_s = 0.0, []

    for _ in range(9):
        tracker.not_whole("a", now_s)
        due_s = tracker.next_due_s
        assert due_s is not None
        assert handed(tracker, due_s - 0.01) == []
        assert handed(tracker, due_s) == ["a"]
        pauses_s.append(round(due_s - now_s, 6))
        now_s = due_s

    assert pauses_s == [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]


def test_a_file_not_whole_comes_at_once_when_it_is_closed_and_begins_anew(disk, tracker):
    tracker.noticed("a", 0.0, closed=True)
    assert handed(tracker, 0.0) == ["a"]
    for now_s in (0.0, 1.0, 2.0):
        tracker.not_whole("a", now_s)
        assert handed(tracker, now_s + 1) == ["a"]
    tracker.not_whole("a", 3.0)

    disk["a"] = NEW
    tracker.noticed("a", 3.01, closed=True)
    assert handed(tracker, 3.01) == ["a"]

    tracker.not_whole("a", 4.0)
    assert tracker.next_due_s == pytest.approx(4.05)


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
