"""The folder goes away, is replaced or closed to the agent; disks run full. All of it is told."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from agent.reasons import english
from tests.faults.conftest import Row
from tests.phantoms import uid, write_series
from tests.program import Program, ended, problem_in, until

N = 24
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@contextmanager
def mounted(folder: Path, *options: str) -> Iterator[None]:
    """Have a file system of its own at ``folder``; skips where this account may not mount."""
    folder.mkdir(parents=True, exist_ok=True)
    command = [
        "mount",
        "-t",
        "tmpfs",
        "-o",
        ",".join(["mode=0755", *options]),
        "tmpfs",
        str(folder),
    ]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"this account may not mount a file system: {error}")
    try:
        yield
    finally:
        unmount(folder)


def unmount(folder: Path) -> None:
    """Take it away as a share goes that is lost: at once, whoever uses it."""
    subprocess.run(["umount", "--lazy", str(folder)], check=False, capture_output=True)


def told_s(agent: Program, words: str | None) -> float:
    """How long it takes until the console says these words, or that all is well [s]."""
    with agent.store() as store:
        if words is None:
            return until(lambda: problem_in(store) is None)
        return until(lambda: words in (problem_in(store) or ""))


def finish(agent: Program, seed: int) -> None:
    """Export a series and wait for its result."""
    write_series(agent.export / str(seed), N, seed=seed)
    with agent.store() as store:
        until(lambda: ended(store.queries.series(uid("series", seed))))
        assert len(store.queries.history(uid("series", seed))) == 1


@pytest.fixture(params=[False, True], ids=["events", "polling"])
def watching(
    tmp_path: Path, engines: Path, row: Row, request: pytest.FixtureRequest
) -> Iterator[Program]:
    if request.param and not row.full:
        pytest.skip("polling is tried with --full")
    more = f"[watch]\npolling = {str(request.param).lower()}\n"
    with Program(tmp_path / "box", engines, more) as agent:
        yield agent


def test_a_share_that_is_unmounted_and_comes_back(watching: Program, row: Row) -> None:
    with mounted(watching.export):
        watching.started()
        finish(watching, 0)

        unmount(watching.export)
        gone_s = told_s(watching, "no longer mounted")
    with mounted(watching.export):
        back_s = told_s(watching, None)
        finish(watching, 1)

    row.tell(f"unmounted: told after {gone_s:.1f} s, well again {back_s:.1f} s after its return")


def test_a_folder_that_is_replaced(watching: Program, tmp_path: Path, row: Row) -> None:
    watching.started()
    finish(watching, 0)

    watching.export.rename(tmp_path / "old")
    gone_s = told_s(watching, "No such file")
    watching.export.mkdir()
    back_s = told_s(watching, None)
    finish(watching, 1)

    row.tell(f"replaced: told after {gone_s:.1f} s, well again {back_s:.1f} s after")


@pytest.mark.parametrize("below", ["", "study"], ids=["the folder", "a folder in it"])
def test_a_folder_that_is_made_unreadable(watching: Program, row: Row, below: str) -> None:
    watching.as_nobody()
    closed = watching.export / below
    closed.mkdir(exist_ok=True)
    watching.started()

    closed.chmod(0)
    gone_s = told_s(watching, "Permission denied")
    closed.chmod(0o755)
    back_s = told_s(watching, None)
    finish(watching, 1)

    row.tell(
        f"made unreadable ({below or 'whole'}): told {gone_s:.1f} s, well {back_s:.1f} s after"
    )


def test_the_agent_needs_no_right_to_write_and_never_writes(agent: Program, row: Row) -> None:
    with mounted(agent.export):
        write_series(agent.export / "0", N)
        before = listing(agent.export)
        remounted = ["mount", "-o", "remount,ro", str(agent.export)]
        subprocess.run(remounted, check=True, capture_output=True)

        agent.started()
        with agent.store() as store:
            until(lambda: ended(store.queries.series(uid("series", 0))))
            state = store.queries.series(uid("series", 0)).report.state

        row.tell(f"read-only export folder: {state}, nothing in it changed")
        assert state == "suspected"
        assert listing(agent.export) == before


def listing(folder: Path) -> dict[str, tuple[int, int]]:
    found = {path: path.lstat() for path in sorted(folder.rglob("*"))}
    return {str(path): (each.st_size, each.st_mtime_ns) for path, each in found.items()}


@pytest.fixture
def cramped(tmp_path: Path, engines: Path) -> Iterator[Program]:
    """An agent whose state folder is a disk of its own, of 40 MiB."""
    state = tmp_path / "box" / "state"
    with mounted(state, "size=40m"), Program(tmp_path / "box", engines) as agent:
        yield agent


def fill(folder: Path) -> Path:
    """Leave no byte free."""
    filler = folder / "filler"
    with filler.open("ab", buffering=0) as file, suppress(OSError):
        for size in (2**20, 2**12, 1):
            with suppress(OSError):
                while True:
                    file.write(bytes(size))
    assert shutil.disk_usage(folder).free == 0
    return filler


def test_a_full_disk_for_the_store(cramped: Program, row: Row) -> None:
    cramped.started()
    finish(cramped, 0)
    pid = cramped.process.pid

    with cramped.store() as console:
        filler = fill(cramped.state)
        full_s = until(lambda: "disk that holds the store is full" in problem_in(console))
        for seed in (1, 2):
            write_series(cramped.export / str(seed), N, seed=seed)
        until(lambda: "store_unwritable" in cramped.log.read_text())
        filler.unlink()
        back_s = until(lambda: problem_in(console) is None)
        until(lambda: all(ended(console.queries.series(uid("series", seed))) for seed in (0, 1, 2)))
        histories = [console.queries.history(uid("series", seed)) for seed in (0, 1, 2)]

    row.tell(
        f"disk full for the store: told after {full_s:.1f} s; well {back_s:.1f} s after there was "
        f"space again, {sum(map(len, histories))} results of 3 series, "
        f"integrity {cramped.integrity()}"
    )
    assert [[report.state for report in history] for history in histories] == [["suspected"]] * 3
    assert cramped.integrity() == "ok"
    assert (cramped.process.pid, cramped.process.exitcode) == (pid, None)


def test_a_full_disk_for_the_store_at_the_start(cramped: Program, row: Row) -> None:
    filler = fill(cramped.state)
    cramped.start()
    until(lambda: cramped.log.exists() and "store_unwritable" in cramped.log.read_text())

    filler.unlink()
    with cramped.store() as store:
        back_s = until(lambda: problem_in(store) is None)
    finish(cramped, 0)

    row.tell(f"disk full at the start: well {back_s:.1f} s after there was space again")
    assert cramped.process.exitcode is None


def test_a_full_disk_for_the_log(agent: Program, tmp_path: Path, row: Row) -> None:
    with mounted(tmp_path / "log", "size=1m"):
        agent.log = tmp_path / "log" / "log"
        agent.started()
        finish(agent, 0)
        with agent.log.open("a") as log:  # or the last page would hold some lines more
            log.write("\n" * (PAGE_BYTES - agent.log.stat().st_size % PAGE_BYTES))
        filler = fill(tmp_path / "log")
        before = agent.log.read_text()

        for seed in range(1, 4):
            finish(agent, seed)
        with agent.store() as store:
            told = [english(notice.reason) for notice in store.queries.notices(5)]
        assert agent.log.read_text() == before
        filler.unlink()
        finish(agent, 4)
        until(lambda: agent.log.read_text().count("concluded") > before.count("concluded"))
        exitcode = agent.process.exitcode
        agent.kill()

    row.tell(f"disk full for the log: 3 series analysed meanwhile; the console says {told}")
    assert told == ["the log cannot be written: No space left on device"]
    assert exitcode is None
