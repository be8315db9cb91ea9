"""Real files in real folders: none is lost, none comes twice."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from threading import Event, Thread

import pytest
from watchdog.observers import Observer

from agent.reasons import english
from agent.records import Arrival
from agent.watch import Watcher

PATIENCE_S = 30.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "export"
    folder.mkdir()
    return folder


@pytest.fixture(params=[False, True], ids=["events", "polling"])
def start(folder: Path, request: pytest.FixtureRequest) -> Iterator[Callable[..., Watcher]]:
    with ExitStack() as stack:

        def started(**known: tuple[int, int]) -> Watcher:
            watcher = Watcher(
                folder,
                rescan_s=0.5,
                polling=request.param,
                monotonic=time.monotonic,
                known={str(folder / name): version for name, version in known.items()},
            )
            return stack.enter_context(watcher)

        yield started


def collect(watcher: Watcher, n: int) -> list[Arrival]:
    """Wait for ``n`` arrivals, then a little for one too many."""
    arrivals: list[Arrival] = []
    end_s = time.monotonic() + PATIENCE_S
    while len(arrivals) < n and time.monotonic() < end_s:
        arrivals += watcher.wait(0.2)
    return arrivals + watcher.wait(0.3)


def paths(arrivals: list[Arrival]) -> list[Path]:
    """Files that came; a writer that a busy machine stalls may bring an unfinished version too."""
    return sorted({arrival.path for arrival in arrivals})


def until(condition: Callable[[], object]) -> None:
    end_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end_s
        time.sleep(0.02)


def test_what_is_there_and_what_comes_are_handed_out_once(folder, start):
    (folder / "before").write_bytes(b"1")
    watcher = start()
    assert paths(collect(watcher, 1)) == [folder / "before"]

    (folder / "after").write_bytes(b"22")

    arrival = collect(watcher, 1)[-1]
    assert (arrival.path, arrival.size_bytes) == (folder / "after", 2)
    assert watcher.wait(0.01) == []
    assert watcher.problem is None


@pytest.mark.slow
def test_none_of_500_files_in_new_nested_folders_is_lost(folder, start):
    watcher = start()
    written = []

    def write() -> None:
        for n in range(500):
            below = folder / f"patient {n % 10}" / f"study {n % 50}" / f"series {n // 25}"
            below.mkdir(parents=True, exist_ok=True)
            written.append(below / str(n))
            written[-1].write_bytes(b"x" * 2000)

    writer = Thread(target=write)
    writer.start()
    arrivals: list[Arrival] = []
    end_s = time.monotonic() + PATIENCE_S
    while len({arrival.path for arrival in arrivals}) < 500 and time.monotonic() < end_s:
        arrivals += watcher.wait(0.2)
    writer.join()

    assert {arrival.path for arrival in arrivals} == set(written)
    versions = {(arrival.path, arrival.size_bytes, arrival.mtime_ns) for arrival in arrivals}
    assert len(versions) == len(arrivals)


def test_files_come_by_rename_link_and_moved_folder(tmp_path, folder, start):
    watcher = start()
    outside = tmp_path / "outside" / "deep" / "er"
    outside.mkdir(parents=True)
    for n in range(10):
        (outside / str(n)).write_bytes(b"x")

    (tmp_path / "outside").rename(folder / "moved")
    moved = folder / "moved" / "deep" / "er"
    assert paths(collect(watcher, 10)) == [moved / str(n) for n in range(10)]

    (tmp_path / "image.tmp").write_bytes(b"x")
    (tmp_path / "image.tmp").rename(folder / "image")
    assert paths(collect(watcher, 1)) == [folder / "image"]

    os.link(folder / "image", folder / "again")
    assert paths(collect(watcher, 1)) == [folder / "again"]

    (folder / "image").rename(folder / "renamed")
    assert paths(collect(watcher, 1)) == [folder / "renamed"]


def test_links_out_of_the_folder_are_not_followed(tmp_path, folder, start):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "secret").write_bytes(b"x")
    watcher = start()

    (folder / "link").symlink_to(tmp_path / "elsewhere")
    (folder / "file").symlink_to(tmp_path / "elsewhere" / "secret")
    (folder / "image").write_bytes(b"x")

    assert paths(collect(watcher, 1)) == [folder / "image"]


def test_a_file_that_was_not_whole_comes_again_when_it_changes(folder, start):
    watcher = start()
    (folder / "image").write_bytes(b"half")
    first = collect(watcher, 1)[-1]

    watcher.retry(first.path, as_it_is=False)
    (folder / "image").write_bytes(b"whole file")
    second = collect(watcher, 1)[-1]

    assert (first.size_bytes, second.size_bytes) == (4, 10)


def test_a_file_that_could_not_be_opened_comes_again_as_it_is(folder, start):
    watcher = start()
    (folder / "image").write_bytes(b"closed to us")
    first = collect(watcher, 1)[-1]

    watcher.retry(first.path, as_it_is=True)
    second = collect(watcher, 1)[-1]

    assert (second.size_bytes, second.mtime_ns) == (first.size_bytes, first.mtime_ns)
    assert second.seen_monotonic_s > first.seen_monotonic_s


def test_known_files_are_passed_over_unless_they_changed(folder, start):
    for name in ("same", "changed", "new"):
        (folder / name).write_bytes(b"12")
    same = (folder / "same").stat()

    watcher = start(same=(2, same.st_mtime_ns), changed=(2, 5))

    assert paths(collect(watcher, 2)) == [folder / "changed", folder / "new"]


def test_a_folder_that_vanishes_is_named_and_watched_again_when_it_returns(tmp_path, folder, start):
    watcher = start()
    folder.rename(tmp_path / "unplugged")
    until(lambda: watcher.problem)
    assert "No such file" in english(watcher.problem)
    assert watcher.wait(0.01) == []

    folder.mkdir()
    (folder / "back").write_bytes(b"x")
    assert paths(collect(watcher, 1)) == [folder / "back"]
    assert watcher.problem is None

    (folder / "later").write_bytes(b"x")
    assert paths(collect(watcher, 1)) == [folder / "later"]


def test_a_folder_that_is_replaced_is_watched_in_its_new_place(tmp_path, folder, start):
    watcher = start()
    (folder / "old").write_bytes(b"x")
    assert paths(collect(watcher, 1)) == [folder / "old"]

    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "other").write_bytes(b"x")
    shutil.rmtree(folder)
    (tmp_path / "new").rename(folder)

    assert paths(collect(watcher, 1)) == [folder / "other"]
    (folder / "later").write_bytes(b"x")
    assert paths(collect(watcher, 1)) == [folder / "later"]


def test_a_folder_that_is_missing_at_first_is_waited_for(folder, start):
    folder.rmdir()
    watcher = start()
    until(lambda: watcher.problem)

    folder.mkdir()
    (folder / "image").write_bytes(b"x")

    assert paths(collect(watcher, 1)) == [folder / "image"]


def test_without_room_for_watches_the_scans_see_all(folder, monkeypatch):
    def start(self):
        raise OSError(28, "inotify watch limit reached")

    # The limit is the whole machine's: a test must not exhaust it.
    monkeypatch.setattr(Observer, "start", start)
    with Watcher(folder, rescan_s=60, polling=False, monotonic=time.monotonic) as watcher:
        (folder / "first").write_bytes(b"x")
        assert paths(collect(watcher, 1)) == [folder / "first"]
        (folder / "second").write_bytes(b"x")
        assert paths(collect(watcher, 1)) == [folder / "second"]


SIGNALLED = """
import os, signal, sys, time
from pathlib import Path
from threading import Timer
from agent.watch import Watcher

folder = Path(sys.argv[1])
signal.signal(signal.SIGUSR1, lambda *_: time.sleep(0.3))
with Watcher(folder, rescan_s=1.0, polling=True, monotonic=time.monotonic) as watcher:
    ends_it_all = Timer(5.0, (folder / "late").write_bytes, (b"x",))
    for timer in (Timer(0.1, os.kill, (os.getpid(), signal.SIGUSR1)), ends_it_all):
        timer.start()
    print(watcher.wait(0.2))
    ends_it_all.cancel()
"""


def test_a_signal_that_comes_during_a_wait_does_not_prolong_it(folder):
    """A stop was heard by an agent on a busy machine, which then waited for the next file.

    In a process of its own: the signal ended pytest's, whatever had been loaded into it.
    """
    command = [sys.executable, "-c", SIGNALLED, str(folder)]
    ended = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)

    assert (ended.stdout, ended.stderr) == ("[]\n", "")


def test_a_watcher_that_is_not_running_says_so(folder):
    watcher = Watcher(folder, rescan_s=1.0, polling=None, monotonic=time.monotonic)

    with pytest.raises(RuntimeError, match="not running"):
        watcher.wait(0.0)
    with watcher:
        assert watcher.wait(0.01) == []
    with pytest.raises(RuntimeError, match="not running"):
        watcher.wait(0.0)


def test_a_share_that_hangs_is_a_problem_and_holds_up_nobody(folder, monkeypatch):
    now_s, hanging, answers, listing = [0.0], Event(), Event(), os.scandir

    def scandir(path):
        hanging.set()
        answers.wait()
        return listing(path)

    # No file system hangs on demand.
    monkeypatch.setattr(os, "scandir", scandir)
    with Watcher(folder, rescan_s=1.0, polling=True, monotonic=lambda: now_s[0]) as watcher:
        hanging.wait()
        now_s[0] = 7.0

        assert watcher.wait(0.01) == []
        assert english(watcher.problem) == f"{folder}: no answer for 7 s"

        answers.set()
        until(lambda: watcher.problem is None)
