"""The agent's life: lock, loop, threads, signals. Crash-only: nothing here tidies up for safety."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from operator import itemgetter
from pathlib import Path

from structlog.typing import FilteringBoundLogger
from typing_extensions import Self

from agent.config import Config
from agent.errors import ConfigError, GpuError, NotReadableNow, StoreUnwritable
from agent.log import LogStream
from agent.notify import Supervisor
from agent.pipeline import engine_report
from agent.reasons import Reason
from agent.records import Instant, OperatingPoint
from agent.store.agent_store import AgentStore
from agent.store.rows import AgentStatus
from agent.watch import Watcher
from agent.wiring import boot_id, open_database, system_clock
from agent.wiring.agent import Agent, build_agent, build_own_watcher, build_watcher

TICK_S = 0.03
"""How long the reading thread waits for a file before it looks at what may be complete."""

IDLE_S = 0.01
"""How long the inference thread rests when there is nothing to do."""

HEARTBEAT_S = 0.5

UNWRITABLE_S = 1.0
"""Between two attempts to begin anew while the store cannot be written."""

PRUNE_S = 60.0
"""Between two looks at whether the store holds what is too old, or too much."""

REQUESTS_S = 1.0
"""Between two looks at whether a series was asked for again."""

ABANDONED = timedelta(minutes=10)
"""A self-test left unfinished this long ago was ended in its middle: its alert is taken away."""


def run(
    config: Config,
    log: FilteringBoundLogger,
    stream: LogStream,
    stop: threading.Event,
    supervisor: Supervisor,
) -> None:
    """Watch the folder and analyse what comes until ``stop`` is set.

    While the store cannot be written, it is begun anew from what the store holds, as after a crash.

    Raises
    ------
    AgentError
        If the agent cannot start, or must be started again to use the GPU.
    RuntimeError
        If the inference thread died: the process must end, so that it is started afresh.
    """
    with _only_one(config.state_folder):
        while not stop.is_set():
            try:
                _serve(config, log, stream, stop, supervisor)
            except StoreUnwritable as error:
                log.warning(error.kind, reason=str(error), what_to_do=error.what_to_do)
                supervisor.networks_turned()  # a start by the supervisor would make no room
                supervisor.feed_watchdog()
                stop.wait(UNWRITABLE_S)
    log.info("stopped")


def _serve(
    config: Config,
    log: FilteringBoundLogger,
    stream: LogStream,
    stop: threading.Event,
    supervisor: Supervisor,
) -> None:
    with ExitStack() as stack:
        store = AgentStore(stack.enter_context(open_database(config)), system_clock)
        queries = store.queries
        agent = build_agent(config, store, log)
        unfinished = [row for uid in queries.unfinished() if (row := queries.series(uid))]
        agent.intake.adopt(unfinished)
        watcher = stack.enter_context(build_watcher(config, queries))
        own = {
            folder: stack.enter_context(build_own_watcher(config, folder, queries))
            for folder in config.marks
        }
        log.info("watching", folder=str(config.export_folder), unfinished=len(unfinished))
        worker = stack.enter_context(_Worker(agent, log, supervisor))
        heart = _Heart(config, store, agent, watcher, worker, supervisor, stream)
        _watch(config, (store, agent, (watcher, own)), heart, stop)
        supervisor.stopping()


class _Worker(threading.Thread):
    """The thread that owns the networks; at the end of its block, it ends its series and stops."""

    def __init__(self, agent: Agent, log: FilteringBoundLogger, supervisor: Supervisor) -> None:
        super().__init__(name="inference", daemon=True)
        self._agent = agent
        self._log = log
        self._supervisor = supervisor
        self._over = threading.Event()
        self.ready = False
        self._error: StoreUnwritable | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join()

    def run(self) -> None:
        """Warm the networks up, then work; meanwhile files are read already."""
        networks = self._agent.resources.networks
        try:
            networks.refresh()
            self._log.info("ready", run_by=str(networks.run_by))
            self.ready = True
            self._supervisor.ready(f"analysing; networks run by {networks.run_by}")
            while not self._over.is_set():
                self._supervisor.networks_turned()
                if not self._agent.analyst.work_once():
                    self._over.wait(IDLE_S)
        except StoreUnwritable as error:
            self._error = error
        finally:
            networks.close()

    def check(self) -> None:
        """Make sure that it runs; StoreUnwritable or RuntimeError says why it does not."""
        if self._error:
            raise self._error
        if not self.is_alive():
            raise RuntimeError("the inference thread died; its traceback is in the log above")


@contextmanager
def _only_one(state_folder: Path) -> Iterator[None]:
    """Hold the folder's lock: two agents on one store would alert twice."""
    state_folder.mkdir(parents=True, exist_ok=True)
    with (state_folder / "agent.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigError("agent_running", folder=str(state_folder)) from error
        yield


@dataclass
class _Heart:
    """Tells, twice a second, that the agent lives and how it is."""

    config: Config
    store: AgentStore
    agent: Agent
    watcher: Watcher
    worker: _Worker
    supervisor: Supervisor
    stream: LogStream
    started: Instant = field(default_factory=system_clock)
    beaten_s: float = float("-inf")
    log_problem: Reason | None = None

    def beat(self) -> None:
        """Give a sign of life, if it is time."""
        now = system_clock()
        if now.monotonic_s - self.beaten_s < HEARTBEAT_S:
            return
        status = _status(self.config, self.agent, self.watcher, (self.started, now))
        self.store.heartbeat(replace(status, networks_ready=self.worker.ready))
        self.store.forget_tests(now.utc - ABANDONED)
        self.supervisor.feed_watchdog()
        self.beaten_s = now.monotonic_s
        problem = self.stream.problem
        if problem and problem != self.log_problem:
            self.store.notice("log_unwritable", problem)
        self.log_problem = problem


def _watch(
    config: Config,
    parts: tuple[AgentStore, Agent, tuple[Watcher, Mapping[Path, Watcher]]],
    heart: _Heart,
    stop: threading.Event,
) -> None:
    store, agent, (watcher, own) = parts
    pruned_s = looked_s = float("-inf")
    while not stop.is_set():
        heart.worker.check()
        networks, degraded = agent.resources.networks, agent.resources.networks.degraded
        if degraded and networks.process_spent and agent.shell.at_rest:
            raise GpuError("gpu_needs_new_process", degraded=degraded)
        arrivals = watcher.wait(TICK_S)
        for each in own.values():
            arrivals += each.wait(0.0)
        for not_whole in agent.intake.read(arrivals):
            for path, why in not_whole.items():
                came_in = (each for folder, each in own.items() if path.is_relative_to(folder))
                next(came_in, watcher).retry(path, as_it_is=isinstance(why, NotReadableNow))
            heart.beat()
        heart.beat()
        now_s = system_clock().monotonic_s
        if now_s - looked_s >= REQUESTS_S and watcher.problem is None:
            agent.intake.open_requested()
            looked_s = now_s
        if now_s - pruned_s >= PRUNE_S and watcher.problem is None:
            store.prune(config.store.keep, lambda path: not os.path.lexists(path))
            store.prune_slices(config.store.keep_slices)
            pruned_s = now_s


def _most_alerts(points: Iterable[OperatingPoint]) -> tuple[float, float] | None:
    """Return the false alerts in 100 scans to expect of the operating point that may give most."""
    rates = (point.alerts_per_100 for point in points)
    return max((one for one in rates if one), key=itemgetter(1), default=None)


def _status(
    config: Config, agent: Agent, watcher: Watcher, times: tuple[Instant, Instant]
) -> AgentStatus:
    started, now = times
    receiving, queued = agent.shell.counts
    bundle, networks = agent.resources.bundle, agent.resources.networks
    gpu_used_bytes, gpu_total_bytes = networks.gpu_bytes or (None, None)
    points = [bundle.contract.operating_point(p.operating_point) for p in agent.resources.profiles]
    return AgentStatus(
        pid=os.getpid(),
        boot_id=boot_id(),
        at=now,
        started=started,
        folder=str(config.export_folder),
        folder_problem=watcher.problem,
        engine=engine_report(bundle, networks.run_by),
        degraded=networks.degraded,
        receiving=receiving,
        queued=queued,
        alerts_per_100=_most_alerts(points),
        gpu_used_bytes=gpu_used_bytes,
        gpu_total_bytes=gpu_total_bytes,
        selftest_daily=config.selftest.daily,
    )
