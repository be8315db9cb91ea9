"""One series of an archive, read as the agent reads it: by the very agent, over an empty store."""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.config import Config
from agent.log import LogStream, open_log
from agent.records import Arrival
from agent.report import SeriesReport
from agent.retrospect.rows import Effort, Row, row_of, unanswered
from agent.series.archive import Archive
from agent.series.reader import Reader
from agent.series.shell import Shell
from agent.store.agent_store import AgentStore
from agent.wiring import open_database, system_clock
from agent.wiring.agent import Agent, build_agent, joined


class SeriesReader:
    """Reads series after series in one process; the networks are loaded once."""

    def __init__(self, config: Config, name: str) -> None:
        """Load bundle, profiles and networks; ``name`` is told in each row."""
        self._config = config
        self._name = name
        self._log = open_log(LogStream(), json=False, level=logging.ERROR)
        with _empty_store(config) as store:
            self._resources = build_agent(config, store, self._log).resources
        self._resources.networks.refresh()

    @property
    def digest(self) -> str:
        """The bundle's."""
        return self._resources.bundle.digest

    def read(self, series_uid: str, paths: tuple[Path, ...]) -> Row:
        """Read one series; whatever is wrong with it is in its row."""
        began_s = time.monotonic()
        with _empty_store(self._config) as store:
            reader = Reader(store, self._config.read.limits, self._log)
            try:
                report = self._report(self._agent(store, reader), series_uid, paths)
            finally:
                reader.close()
        effort = Effort(len(paths), round(time.monotonic() - began_s, 3), self._name)
        if report is None:
            return unanswered(series_uid, "files_gone", "its files are gone", effort)
        return row_of(report, effort)

    def _agent(self, store: AgentStore, reader: Reader) -> Agent:
        shell = Shell(store, self._config.read.bounds)
        archive = Archive(store, self._log, keeps_slices=False)
        return joined(self._resources, shell, reader, archive, system_clock, self._log)

    def _report(
        self, agent: Agent, series_uid: str, paths: tuple[Path, ...]
    ) -> SeriesReport | None:
        agent.intake.read_once(_arrivals(paths))
        while agent.analyst.work_once():
            pass
        row = agent.shell.queries.series(series_uid)
        return row.report if row else None


def _arrivals(paths: tuple[Path, ...]) -> Iterator[Arrival]:
    for path in paths:
        try:
            found = path.stat()
        except OSError:
            continue  # the row tells how many files there were
        yield Arrival(path, found.st_size, found.st_mtime_ns, time.monotonic())


@contextmanager
def _empty_store(config: Config) -> Iterator[AgentStore]:
    with tempfile.TemporaryDirectory(prefix="bleedwatch-read-") as folder:
        here = config.model_copy(update={"state_folder": Path(folder)})
        with open_database(here) as database:
            yield AgentStore(database, system_clock)
