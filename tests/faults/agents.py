"""A real agent process that starts quickly, so that it can be killed by the hundred."""

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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
"""Each agent is a process of its own, forked from one that has imported the program already."""
FORKS.set_forkserver_preload(["agent.cli.serve"])


def end_with_the_tests() -> None:
    """End this process when the one that runs the tests has ended."""
    multiprocessing.parent_process().join()
    os._exit(1)


def run_agent(config: str, log: str, bugs: Path | None, uid: int) -> None:
    """Be ``bleedwatch run``, with the ``bug`` module of a folder imported before."""
    threading.Thread(target=end_with_the_tests, daemon=True).start()
    if bugs:
        # Its own processes find it by their search path.
        os.environ["PYTHONPATH"] = os.pathsep.join([str(bugs), *map(str, filter(None, sys.path))])
        sys.path.insert(0, str(bugs))
        importlib.import_module("bug")
    stderr = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(stderr, 2)
    os.setuid(uid)
    from agent.cli.serve import run  # noqa: PLC0415 - imported before the fork already

    run(Path(config))


class Agent:
    """One box: folders and a store that outlive the agent's processes."""

    def __init__(self, folder: Path, engines: Path, more: str = "") -> None:
        """Lay out ``folder``; ``more`` goes into the configuration."""
        self.folder, self.export, self.state = folder, folder / "export", folder / "state"
        self.log, self.config = folder / "log", folder / "agent.toml"
        for made in (self.export, self.state):
            made.mkdir(parents=True, exist_ok=True)
        self.engines = engines
        self.bugs: Path | None = None
        self.uid = os.getuid()
        self.process: multiprocessing.process.BaseProcess | None = None
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

    def as_nobody(self) -> None:
        """Run as an account for which rights count; root's needs none."""
        self.uid = pwd.getpwnam("nobody").pw_uid if os.getuid() == 0 else os.getuid()
        with self.store():
            for path in (self.state, self.export, *self.state.iterdir()):
                shutil.chown(path, self.uid)
        for folder in (*self.folder.parents, self.engines, *self.engines.parents):
            if folder.stat().st_uid == os.getuid() and not folder.stat().st_mode & 0o1:
                folder.chmod(folder.stat().st_mode | 0o111)

    def start(self) -> None:
        """Start the process; it may not be ready yet."""
        arguments = str(self.config), str(self.log), self.bugs, self.uid
        self.process = FORKS.Process(target=run_agent, args=arguments, daemon=True)
        self.process.start()

    def kill(self) -> None:
        """End the process by SIGKILL."""
        if self.process is not None:
            self.process.kill()
            self.process.join()
            self.process = None

    def started(self) -> Self:
        """Start the process and wait until it is well."""
        self.start()
        with self.store() as store:
            until(lambda: self.problem(store) is None)
        return self

    @contextmanager
    def store(self) -> Iterator[Store]:
        """Open the store, as the console does."""
        with Store(self.state / "bleedwatch.sqlite", system_clock) as store:
            yield store

    def problem(self, store: Store) -> str | None:
        """Say what the console shows in the place of an alert."""
        problem = agent_problem(
            store.queries.agent_status(), system_clock(), boot_id(), store.queries.free_bytes()
        )
        return english(problem) if problem else None

    def files(self) -> dict[str, str | None]:
        """Path → refusal of every file that the agent has accounted for."""
        with self.store() as store:
            rows = store.sql("SELECT path, refusal FROM files")
        return {row["path"]: row["refusal"] for row in rows}

    def integrity(self) -> str:
        """Have SQLite check its file."""
        database = sqlite3.connect(self.state / "bleedwatch.sqlite")
        (found,) = database.execute("PRAGMA integrity_check").fetchone()
        database.close()
        return str(found)


def ended(row: SeriesRow | None) -> bool:
    """Tell whether a series has its answer."""
    return row is not None and row.state not in (State.RECEIVING, State.ANALYSING)


def until(condition: Callable[[], object], patience_s: float = PATIENCE_S) -> float:
    """Wait for a condition, as long as a very busy machine may need; returns how long it took."""
    began_s = time.monotonic()
    while not condition():
        assert time.monotonic() < began_s + patience_s, "waited in vain"
        time.sleep(0.02)
    return time.monotonic() - began_s
