"""``bleedwatch`` as processes on a folder of their own, in a test's hands."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from agent.reasons import english
from agent.records import State
from agent.store.liveness import agent_problem
from agent.store.rows import SeriesRow
from agent.wiring import boot_id, system_clock
from tests.agent.stored import Store

PATIENCE_S = 60.0


@dataclass
class Program:
    """``bleedwatch`` on one configuration."""

    folder: Path

    def __post_init__(self) -> None:
        self.export.mkdir(parents=True)
        self.config.write_text(
            f'export_folder = "{self.export}"\nstate_folder = "{self.folder / "state"}"\n'
            "[infer]\nthreads = 2\n"
        )

    @property
    def export(self) -> Path:
        return self.folder / "export"

    @property
    def config(self) -> Path:
        return self.folder / "agent.toml"

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "agent", *words, "--config", str(self.config)]

    def start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(self.command("run"), stderr=subprocess.PIPE, text=True)

    def call(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*words), capture_output=True, text=True, check=False, timeout=PATIENCE_S
        )

    def store(self) -> Store:
        return Store(self.folder / "state" / "bleedwatch.sqlite", system_clock)

    def rows(self) -> dict[str, SeriesRow]:
        if not (self.folder / "state" / "bleedwatch.sqlite").exists():
            return {}
        with self.store() as store:
            return {row.uid: row for row in store.queries.worklist(100)}

    def concluded(self) -> list[str]:
        unfinished = State.RECEIVING, State.ANALYSING
        return [row.uid for row in self.rows().values() if row.state not in unfinished]

    def problem(self) -> str | None:
        if not (self.folder / "state" / "bleedwatch.sqlite").exists():
            return "not started"
        with self.store() as store:
            status, free_bytes = store.queries.agent_status(), store.queries.free_bytes()
            problem = agent_problem(status, system_clock(), boot_id(), free_bytes)
            return english(problem) if problem else None


def until(condition: Callable[[], object]) -> None:
    """Wait for a condition, as long as a very busy machine may need."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline_s, "waited in vain"
        time.sleep(0.05)
