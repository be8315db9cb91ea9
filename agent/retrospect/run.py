"""Reading an archive to the end, or on from where it was."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from agent.config import Config
from agent.infer.bundle import load_bundle
from agent.infer.signature import load_public_key
from agent.retrospect.index import ArchiveIndex
from agent.retrospect.rows import Row, Rows
from agent.retrospect.workers import LOCAL, Crew, OnRay, Processes, read_alone, read_by

PART_ROWS: Final = 50
PART_S: Final = 60.0
"""A part is written after so many rows, or so long [s]: that much is read again after a kill."""


@dataclass
class Progress:
    """How far the reading is. ``n_known`` series had a row before; times are in seconds."""

    n_known: int = 0
    n_waiting: int = 0
    n_other_files: int = 0
    n_workers: int = 0
    n_read: int = 0
    wall_s: float = 0.0
    busy_s: float = 0.0
    states: Counter[str] = field(default_factory=Counter)
    read_by: Counter[str] = field(default_factory=Counter)

    def add(self, row: Row, wall_s: float) -> None:
        """Count a row, ``wall_s`` after the first was begun."""
        self.n_read += 1
        self.wall_s = wall_s
        self.busy_s += row.taken_s
        self.states[row.state] += 1
        self.read_by[row.read_by] += 1

    @property
    def share_busy(self) -> float | None:
        """How much of the workers' time went into series, 0…1: what more workers would add."""
        whole_s = self.n_workers * self.wall_s
        return min(1.0, self.busy_s / whole_s) if whole_s else None


def rows_of(to: Path, config: Config, bundle: str) -> Rows:
    """Open the rows that a bundle (name/version) gave."""
    key = load_public_key(config.infer.public_key)
    loaded = load_bundle(config.engines_folder / bundle, key)
    contract = loaded.contract
    return Rows(to / "rows" / f"{contract.name}-{contract.version}-{loaded.digest[:12]}")


def read_archive(archive: Path, to: Path, config: Config, on: str | None) -> Iterator[Progress]:
    """Read every series that has no row yet; yields as it goes.

    Raises
    ------
    FolderUnreachable
        If a folder in the archive cannot be listed.
    RequestRefused
        If an extra is missing.
    BundleError, ConfigError
        If the bundle or the configuration cannot be used.
    """
    to.mkdir(parents=True, exist_ok=True, mode=0o700)
    rows = rows_of(to, config, config.infer.bundle)
    with ExitStack() as stack:
        index = ArchiveIndex(to / "index.sqlite", config.read.limits)
        stack.callback(index.close)
        for _ in index.take_in(archive):
            yield Progress()
        known = rows.known()
        waiting = [uid for uid in index.series() if uid not in known]
        told = Progress(len(known), len(waiting), index.n_others)
        yield told
        if not waiting:
            return
        tasks = ((uid, index.files(uid)) for uid in waiting)
        crew = _crew(config, on)
        told.n_workers = crew.count if crew else 1
        read = read_by(crew, tasks) if crew else read_alone(config, tasks)
        if crew:
            stack.callback(crew.close)
        began_s = time.monotonic()
        for row in _kept(read, rows):
            told.add(row, time.monotonic() - began_s)
            yield told


def _crew(config: Config, on: str | None) -> Crew | None:
    """Find who reads; None for this process alone."""
    if on is None:
        return None
    return Processes(config) if on == LOCAL else OnRay(config, on)


def _kept(read: Iterable[Row], rows: Rows) -> Iterator[Row]:
    """Write rows in parts; what is in hand is written at the end, also where that is an error."""
    part: list[Row] = []
    written_s = time.monotonic()
    try:
        for row in read:
            part.append(row)
            if len(part) >= PART_ROWS or time.monotonic() - written_s > PART_S:
                rows.write(part)
                part, written_s = [], time.monotonic()
            yield row
    finally:
        rows.write(part)
