"""``bleedwatch`` in processes of its own, on folders and a store that outlive them.

Each process is forked from one that has imported the program already, and then does what the
command does: it can be started and killed by the hundred. ``Program.command`` is for tests that ask
for the interpreter's own start, a terminal or a preloaded library.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import pwd
import shutil
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import TracebackType

from typing_extensions import Self

from agent.reasons import english
from agent.records import State
from agent.store.liveness import agent_problem
from agent.store.rows import SeriesRow
from agent.wiring import boot_id, system_clock
from tests.agent.stored import Store
from tests.tiny import BUNDLE

PATIENCE_S = 60.0

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["agent.cli.serve"])


@dataclass(frozen=True)
class Said:
    """What a command said, and how it ended."""

    returncode: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class Order:
    """What a process is to do, and as whom. ``bugs`` is a folder whose ``bug`` it imports first."""

    words: tuple[str, ...]
    output: Path
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    bugs: Path | None = None
    uid: int = field(default_factory=os.getuid)

    def begin(self) -> BaseProcess:
        """Start the process."""
        process = FORKS.Process(target=_be_the_program, args=(self,), daemon=True)
        process.start()
        return process


def _be_the_program(order: Order) -> None:
    threading.Thread(target=_end_with_the_tests, daemon=True).start()
    os.environ.update(order.environment)
    if order.bugs:
        # Its own processes find it by their search path.
        path = [str(order.bugs), *filter(None, sys.path)]
        os.environ["PYTHONPATH"] = os.pathsep.join(path)
        sys.path.insert(0, str(order.bugs))
        importlib.import_module("bug")
    for descriptor, file in ((1, order.output), (2, order.log)):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND), descriptor)
    os.setuid(order.uid)
    sys.argv = ["bleedwatch", *order.words]
    from agent.cli import main  # noqa: PLC0415 - imported before the fork already

    main()


def _end_with_the_tests() -> None:
    """End this process when the one that runs the tests has ended."""
    multiprocessing.parent_process().join()
    os._exit(1)


class Program:
    """The program on one box: a configuration, folders, a store, and the process that runs."""

    def __init__(self, folder: Path, engines: Path, more: str = "") -> None:
        """Lay out ``folder``; ``more`` goes into the configuration."""
        self.folder, self.export, self.state = folder, folder / "export", folder / "state"
        self.log, self.output = folder / "log", folder / "output"
        self.config, self.engines = folder / "agent.toml", engines
        for made in (self.export, self.state):
            made.mkdir(parents=True, exist_ok=True)
        self.environment: dict[str, str] = {}
        self.bugs: Path | None = None
        self.uid = os.getuid()
        self.process: BaseProcess | None = None
        self.config.write_text(
            f'export_folder = "{self.export}"\nstate_folder = "{self.state}"\n'
            f'engines_folder = "{engines}"\n{more}\n[infer]\nbundle = "{BUNDLE}"\nthreads = 1\n'
        )

    def __enter__(self) -> Self:
        """Use as a context manager: kills the process at the end."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.kill()

    @property
    def store_path(self) -> Path:
        return self.state / "bleedwatch.sqlite"

    def as_nobody(self) -> None:
        """Run as an account for which rights count; root's needs none."""
        self.uid = pwd.getpwnam("nobody").pw_uid if os.getuid() == 0 else os.getuid()
        with self.store():
            for path in (self.state, self.export, *self.state.iterdir()):
                shutil.chown(path, self.uid)
        for folder in (*self.folder.parents, self.engines, *self.engines.parents):
            if folder.stat().st_uid == os.getuid() and not folder.stat().st_mode & 0o1:
                folder.chmod(folder.stat().st_mode | 0o111)

    def start(self, *words: str) -> None:
        """Start a process that runs, the agent unless told; it may not be ready yet."""
        self.process = self._order((*words,) or ("run",), self.output, self.log).begin()

    def started(self) -> Self:
        """Start the agent and wait until it is well."""
        self.start()
        self.until_well()
        return self

    def until_well(self) -> None:
        """Wait until this very process has given a sign of life, and nothing is wrong."""
        until(lambda: self.problem() is None and self._beats())

    def _beats(self) -> bool:
        with self.store() as store:
            status = store.queries.agent_status()
        return status is not None and self.process is not None and status.pid == self.process.pid

    def kill(self) -> None:
        """End the process by SIGKILL."""
        if self.process is not None:
            self.process.kill()
            self.process.join()
            self.process = None

    def end(self, number: int) -> int:
        """Send the process a signal; returns how it ended."""
        assert self.process is not None
        assert self.process.pid is not None
        os.kill(self.process.pid, number)
        return exit_code(self.process)

    def call(self, *words: str) -> Said:
        """Call a command on this configuration, beside what runs."""
        output, log = self.folder / "called.out", self.folder / "called.err"
        for path in (output, log):
            path.unlink(missing_ok=True)
        code = exit_code(self._order(words, output, log).begin())
        return Said(code, output.read_text(), log.read_text())

    def command(self, *words: str) -> list[str]:
        """Say the command line as a unit file has it, for a process of the caller's own."""
        return [sys.executable, "-m", "agent", *words, "--config", str(self.config)]

    def _order(self, words: tuple[str, ...], output: Path, log: Path) -> Order:
        words = (*words, "--config", str(self.config))
        return Order(words, output, log, self.environment, self.bugs, self.uid)

    def store(self) -> Store:
        """Open the store, as the console does."""
        return Store(self.store_path, system_clock)

    def problem(self) -> str | None:
        """Say what the console shows in the place of an alert."""
        if not self.store_path.exists():
            return "not started"
        with self.store() as store:
            return problem_in(store)

    def rows(self) -> dict[str, SeriesRow]:
        """Return the work list, by series."""
        if not self.store_path.exists():
            return {}
        with self.store() as store:
            return {row.uid: row for row in store.queries.worklist(100)}

    def concluded(self) -> list[str]:
        """Return the series that have their answer."""
        return [row.uid for row in self.rows().values() if ended(row)]

    def files(self) -> dict[str, str | None]:
        """Path → refusal of every file that the agent has accounted for."""
        with self.store() as store:
            rows = store.sql("SELECT path, refusal FROM files")
        return {row["path"]: row["refusal"] for row in rows}

    def integrity(self) -> str:
        """Have SQLite check its file."""
        with closing(sqlite3.connect(self.store_path)) as database:
            (found,) = database.execute("PRAGMA integrity_check").fetchone()
        return str(found)


def problem_in(store: Store) -> str | None:
    """Say what the console shows of an open store; a full disk may not let it be opened anew."""
    status, free_bytes = store.queries.agent_status(), store.queries.free_bytes()
    found = agent_problem(status, system_clock(), boot_id(), free_bytes)
    return english(found) if found else None


def ended(row: SeriesRow | None) -> bool:
    """Tell whether a series has its answer."""
    return row is not None and row.state not in (State.RECEIVING, State.ANALYSING)


def exit_code(process: BaseProcess) -> int:
    """Wait for a process to end, as long as a very busy machine may need."""
    process.join(PATIENCE_S)
    assert process.exitcode is not None, "it did not end"
    return process.exitcode


def until(condition: Callable[[], object], patience_s: float = PATIENCE_S) -> float:
    """Wait for a condition, as long as a very busy machine may need; returns how long it took."""
    began_s = time.monotonic()
    while not condition():
        waited_s = time.monotonic() - began_s
        assert waited_s < patience_s, "waited in vain"
        time.sleep(min(0.05, 0.02 + waited_s / 30))  # each look takes processor time from others
    return time.monotonic() - began_s
