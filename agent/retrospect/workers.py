"""Who reads an archive: this process, or the workers of a Ray cluster.

A worker that ends takes one series with it, which is read again by another; one on which workers
end twice has a row that says so. Ray needs the ``ray`` extra, on every node the same Bleedwatch,
and archive, bundles and configuration at the same paths.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from agent.config import Config
from agent.errors import RequestRefused
from agent.reasons import Reason, english
from agent.retrospect.reading import SeriesReader
from agent.retrospect.rows import Effort, Row, unanswered

EXTRA: Final = "pip install '.[ray]'"

LOCAL: Final = "local"
"""In place of a cluster's address: Ray on this computer."""

MOST_ENDS: Final = 2
"""A series on which workers ended this often is not tried again."""

Task = tuple[str, tuple[Path, ...]]
"""A series' UID and its files."""


class Workers(Protocol):
    """Reads series, in any order."""

    @property
    def count(self) -> int:
        """How many series are read at once."""
        ...

    def read(self, tasks: Iterable[Task]) -> Iterator[Row]:
        """Give one row for each task."""
        ...

    def close(self) -> None:
        """Let the workers go."""
        ...


class Alone:
    """Reads one series after another, in this process."""

    count = 1

    def __init__(self, config: Config) -> None:
        """Load the networks."""
        self._reader = SeriesReader(config, f"process {os.getpid()}")

    def read(self, tasks: Iterable[Task]) -> Iterator[Row]:
        """See ``Workers``."""
        for task in tasks:
            yield self._reader.read(*task)

    def close(self) -> None:
        """See ``Workers``."""


@dataclass
class _Worker:
    """An actor, and the series that it reads."""

    actor: Any
    task: Task


class OnRay:
    """Actors on a Ray cluster, each with the networks loaded, each with one series at a time."""

    def __init__(self, config: Config, address: str) -> None:
        """Join the cluster, or start Ray on this computer."""
        try:
            import ray  # noqa: PLC0415 - of the ray extra
        except ImportError as error:
            raise RequestRefused("archive_package_missing", package="ray", command=EXTRA) from error
        self._ray = ray
        options: dict[str, Any] = {"log_to_driver": False, "configure_logging": False}
        if address == LOCAL:
            options["include_dashboard"] = False
        else:
            options["address"] = address
        try:
            ray.init(**options)
        except Exception as error:  # Ray raises bare Exceptions of its own
            raise RequestRefused("ray_unreachable", address=address, why=str(error)) from error
        self._config = config
        threads = config.infer.threads
        resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
        self.count = max(1, int(resources.get("CPU", 1) // threads))
        self._remote = ray.remote(num_cpus=threads)(_RayReader)

    def read(self, tasks: Iterable[Task]) -> Iterator[Row]:
        """See ``Workers``."""
        waiting, ends = iter(tasks), Counter[str]()
        again: list[Task] = []
        working: dict[Any, _Worker] = {}
        idle = [self._actor() for _ in range(self.count)]
        while True:
            while idle and (task := again.pop() if again else next(waiting, None)):
                actor = idle.pop()
                working[actor.read.remote(*task)] = _Worker(actor, task)
            if not working:
                return
            (answer, *_), _ = self._ray.wait(list(working))
            worker = working.pop(answer)
            try:
                row: Row = self._ray.get(answer)
            except self._ray.exceptions.RayError:
                idle.append(self._actor())
                uid, paths = worker.task
                ends[uid] += 1
                if ends[uid] < MOST_ENDS:
                    again.append(worker.task)
                    continue
                row = _given_up(uid, len(paths), ends[uid])
            else:
                idle.append(worker.actor)
            yield row

    def close(self) -> None:
        """See ``Workers``."""
        self._ray.shutdown()

    def _actor(self) -> Any:  # noqa: ANN401 - Ray's
        return self._remote.remote(self._config)


class _RayReader:
    """A reader in a worker's process; Ray makes an actor of it."""

    def __init__(self, config: Config) -> None:
        self._reader = SeriesReader(config, f"{os.uname().nodename}, process {os.getpid()}")

    def read(self, series_uid: str, paths: tuple[Path, ...]) -> Row:
        return self._reader.read(series_uid, paths)


def _given_up(uid: str, n_files: int, n_times: int) -> Row:
    reason = Reason("set_aside", n_times=n_times)
    return unanswered(uid, reason.code, english(reason), Effort(n_files, 0.0, ""))
