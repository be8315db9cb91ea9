"""The box beside the scanner, in a test's hands: real files, a real store, a clock that is set."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path

import structlog

from agent.archive import Archive
from agent.assemble.limits import ReadLimits
from agent.assemble.protocol import load_profiles
from agent.config import PACKAGED_ENGINES
from agent.infer.backend import Backend
from agent.infer.bundle import Bundle
from agent.infer.gpu_side import GpuSide
from agent.infer.networks import Networks
from agent.infer.tensorrt_api import TensorRt
from agent.intake import Intake
from agent.journeys import Journeys
from agent.pipeline import Engine
from agent.records import Arrival, Instant
from agent.report import SeriesReport
from tests.agent.stored import Store

MIDNIGHT = datetime(2026, 1, 1, tzinfo=timezone.utc)


@dataclass
class SetClock:
    """A clock that stands still until it is moved."""

    now_s: float = 1000.0

    def __call__(self) -> Instant:
        return Instant(MIDNIGHT + timedelta(seconds=self.now_s), self.now_s)


@dataclass
class Box:
    """One agent's journeys over a store that outlives them."""

    store_path: Path
    bundle: Bundle
    backend: Backend
    clock: SetClock = field(default_factory=SetClock)
    tests_folder: Path | None = None
    limits: ReadLimits = field(default_factory=ReadLimits)

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Begin as a new process would: nothing in memory, everything from the store."""
        self.store = Store(self.store_path, self.clock)
        log = structlog.wrap_logger(structlog.ReturnLogger(), processors=[lambda *_: ""])
        networks = Networks(self.backend, self.gpu(), lambda: self.clock.now_s, log)
        engine = Engine(self.bundle, networks, load_profiles(PACKAGED_ENGINES / "protocols"))
        archive = Archive(self.store.agent, log, keeps_slices=True)
        intake = Intake(self.store.agent, self.limits, log, self.tests_folder)
        self.journeys = Journeys(engine, self.store.agent, archive, intake, self.clock, log)
        self.journeys.adopt(
            row
            for uid in self.store.queries.unfinished()
            if (row := self.store.queries.series(uid))
        )

    def gpu(self) -> GpuSide:
        """No plan lies there, so it is never loaded."""
        return GpuSide(
            self.store_path.with_name("plans"), self.bundle, None, self.no_gpu, memory_share=0.5
        )

    def no_gpu(self) -> TensorRt:
        raise AssertionError("no plan is active")

    def export(self, paths: Iterable[Path], rate_per_s: float = 20.0) -> list[Path]:
        """Let files arrive one after another; returns those that were not whole."""
        not_whole = []
        for path in paths:
            self.clock.now_s += 1 / rate_per_s
            not_whole += self.hand_in([path])
            self.journeys.close_complete()
            while self.journeys.work_once():
                pass
        return not_whole

    def hand_in(self, paths: Iterable[Path]) -> list[Path]:
        """Have files read, and nothing worked on; returns those that were not whole."""
        found = [(path, path.lstat()) for path in paths]
        return list(
            self.journeys.take(
                Arrival(path, file.st_size, file.st_mtime_ns, self.clock.now_s)
                for path, file in found
            )
        )

    def wait(self, seconds: float = 20.0) -> None:
        """Let time pass with nothing new."""
        for _ in range(10):
            self.clock.now_s += seconds / 10
            self.journeys.close_complete()
            while self.journeys.work_once():
                pass

    def reports(self) -> list[SeriesReport]:
        """Return the latest report of every series."""
        return [row.report for row in self.store.queries.worklist(100) if row.report]

    def report(self) -> SeriesReport:
        """Return the latest report of the only series."""
        (report,) = self.reports()
        return report
