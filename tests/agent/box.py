"""The box beside the scanner, in a test's hands: real files, a real store, a clock that is set."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path

import structlog

from agent.assemble.bounds import Bounds
from agent.assemble.completeness import Completion
from agent.assemble.limits import ReadLimits
from agent.assemble.protocol import ProtocolProfile, load_profiles
from agent.config import PACKAGED_ENGINES
from agent.deliver.settings import SendingChannel
from agent.infer.backend import Backend
from agent.infer.bundle import Bundle
from agent.infer.gpu_side import GpuSettings, GpuSide
from agent.infer.networks import Networks
from agent.infer.tensorrt_api import TensorRt
from agent.pipeline import Resources
from agent.records import Arrival, Instant
from agent.report import SeriesReport
from agent.series.archive import Archive
from agent.series.reader import Reader
from agent.series.shell import Shell
from agent.wiring.agent import joined
from tests.agent.stored import Store

PROFILES = load_profiles(PACKAGED_ENGINES / "protocols")
MIDNIGHT = datetime(2026, 1, 1, tzinfo=timezone.utc)


@dataclass
class SetClock:
    """A clock that stands still until it is moved."""

    now_s: float = 1000.0

    def __call__(self) -> Instant:
        return Instant(MIDNIGHT + timedelta(seconds=self.now_s), self.now_s)


@dataclass
class Box:
    """One agent over a store that outlives it."""

    store_path: Path
    bundle: Bundle
    backend: Backend
    clock: SetClock = field(default_factory=SetClock)
    marks: dict[Path, str] = field(default_factory=dict)
    profiles: tuple[ProtocolProfile, ...] = PROFILES
    limits: ReadLimits = field(default_factory=ReadLimits)
    bounds: Bounds = field(default_factory=Bounds)
    channels: tuple[SendingChannel, ...] = ()
    drawings: bool = False

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Begin as a new process would: nothing in memory, everything from the store."""
        self.store = self.open_store()
        log = structlog.wrap_logger(structlog.ReturnLogger(), processors=[lambda *_: ""])
        networks = Networks(self.backend, self.gpu(), lambda: self.clock.now_s, log)
        resources = Resources(self.bundle, networks, self.profiles, self.channels, self.drawings)
        archive = Archive(self.store.agent, log, keeps_slices=True)
        reader = Reader(self.store.agent, self.limits, log, self.marks)
        shell = Shell(self.store.agent, self.bounds)
        self.agent = joined(resources, shell, reader, archive, self.clock, log)
        self.agent.intake.adopt(
            row
            for uid in self.store.queries.unfinished()
            if (row := self.store.queries.series(uid))
        )

    def open_store(self) -> Store:
        """Open the store that outlives this."""
        return Store(self.store_path, self.clock)

    def gpu(self) -> GpuSide:
        """No plan lies there, so it is never loaded."""
        plans = self.store_path.with_name("plans")
        settings = GpuSettings(plans, None, 0.5, allowed=True, expected=False)
        return GpuSide(settings, self.bundle, self.backend, self.no_gpu)

    def no_gpu(self) -> TensorRt:
        raise AssertionError("no plan is active")

    def export(self, paths: Iterable[Path], rate_per_s: float = 20.0) -> list[Path]:
        """Let files arrive one after another; returns those that were not whole."""
        not_whole = []
        for path in paths:
            self.clock.now_s += 1 / rate_per_s
            not_whole += self.hand_in([path])
            self.work()
        return not_whole

    def hand_in(self, paths: Iterable[Path]) -> list[Path]:
        """Have files read, and nothing worked on; returns those that were not whole."""
        arrivals = map(self.arrival, paths)
        return [path for turn in self.agent.intake.read(arrivals) for path in turn]

    def arrival(self, path: Path) -> Arrival:
        """Say of a file what the watcher would, now."""
        file = path.lstat()
        return Arrival(path, file.st_size, file.st_mtime_ns, self.clock.now_s)

    def end_all(self) -> None:
        """Find every series complete, whatever the rules say."""
        with self.agent.shell.held() as board:
            board.end_all(Completion("quiet", "always"), self.clock())

    def work(self) -> None:
        """Have the networks' thread do all that there is to do."""
        while self.agent.analyst.work_once():
            pass

    def wait(self, seconds: float = 20.0) -> None:
        """Let time pass with nothing new."""
        for _ in range(10):
            self.clock.now_s += seconds / 10
            self.hand_in([])
            self.work()

    def reports(self) -> list[SeriesReport]:
        """Return the latest report of every series."""
        return [row.report for row in self.store.queries.worklist(100) if row.report]

    def report(self) -> SeriesReport:
        """Return the latest report of the only series."""
        (report,) = self.reports()
        return report
