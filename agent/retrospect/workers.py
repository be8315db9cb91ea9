"""Who reads an archive: this process, processes of this computer, or a Ray cluster's workers.

A worker that ends takes one series with it, which is read again by another; one on which workers
end twice has a row that says so. Ray needs the ``ray`` extra, on every node the same Bleedwatch,
and archive and bundles at the same paths.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Final, Protocol

from agent.config import Config
from agent.errors import AgentError, RequestRefused
from agent.reasons import Reason, english
from agent.retrospect.reading import SeriesReader
from agent.retrospect.rows import Effort, Row, unanswered

EXTRA: Final = "pip install '.[ray]'"

LOCAL: Final = "local"
"""Processes of this computer."""

LOOK_S: Final = 10.0
"""How long a wait for a series' answer lasts before it is looked whether the cluster is there [s].
Ours."""

RAY_HERE: Final = "ray"
"""In place of a cluster's address: a Ray that is started on this computer."""

MOST_ENDS: Final = 2
"""A series on which workers ended this often is not tried again."""

Task = tuple[str, tuple[Path, ...]]
"""A series' UID and its files."""


class WorkerEnded(Exception):
    """A worker's process ended before it answered."""


class Crew(Protocol):
    """Workers, each with its networks loaded; a worker and an answer under way are its own."""

    @property
    def count(self) -> int:
        """How many series are read at once."""
        ...

    def started(self) -> Any:  # noqa: ANN401
        """Start a worker."""
        ...

    def begun(self, worker: Any, task: Task) -> Any:  # noqa: ANN401
        """Let a worker read a series; returns what to ask for its answer."""
        ...

    def first_done(self, answers: Sequence[Any]) -> Any:  # noqa: ANN401
        """Wait for one of them."""
        ...

    def row(self, answer: Any) -> Row:  # noqa: ANN401
        """Take an answer; WorkerEnded if there is none, AgentError if no worker can start."""
        ...

    def close(self) -> None:
        """Let the workers go."""
        ...


def read_by(crew: Crew, tasks: Iterable[Task]) -> Iterator[Row]:
    """Give one row for each series, in the order in which they are done."""
    waiting, again, ends = iter(tasks), list[Task](), Counter[str]()
    working: dict[Any, tuple[Any, Task]] = {}
    idle = [crew.started() for _ in range(crew.count)]
    while True:
        while idle and (task := again.pop() if again else next(waiting, None)):
            worker = idle.pop()
            working[crew.begun(worker, task)] = worker, task
        if not working:
            return
        answer = crew.first_done(list(working))
        worker, task = working.pop(answer)
        try:
            row = crew.row(answer)
        except WorkerEnded:
            idle.append(crew.started())
            uid, paths = task
            ends[uid] += 1
            if ends[uid] < MOST_ENDS:
                again.append(task)
            else:
                yield _given_up(uid, len(paths), ends[uid])
        else:
            idle.append(worker)
            yield row


def read_alone(config: Config, tasks: Iterable[Task]) -> Iterator[Row]:
    """Read one series after another, in this process."""
    reader = SeriesReader(config, f"process {os.getpid()}")
    for task in tasks:
        yield reader.read(*task)


@dataclass(frozen=True, eq=False)
class _Process:
    """A process, and our end of the pipe to it."""

    process: Any
    end: Connection


class Processes:
    """Processes of this computer: as many as it has cores for their threads."""

    def __init__(self, config: Config) -> None:
        """Begin with none."""
        self.count = max(1, (os.cpu_count() or 1) // config.infer.threads)
        self._config = config
        self._context = multiprocessing.get_context("spawn")
        self._all: list[_Process] = []

    def started(self) -> _Process:
        """See ``Crew``."""
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_work, args=(self._config, theirs), daemon=True)
        process.start()
        theirs.close()
        self._all.append(_Process(process, ours))
        return self._all[-1]

    def begun(self, worker: _Process, task: Task) -> Connection:
        """See ``Crew``."""
        with suppress(OSError):  # it has ended, as its answer will show
            worker.end.send(task)
        return worker.end

    def first_done(self, answers: Sequence[Connection]) -> Connection:
        """See ``Crew``."""
        done = wait(answers)[0]
        return next(answer for answer in answers if answer is done)

    def row(self, answer: Connection) -> Row:
        """See ``Crew``."""
        try:
            row = answer.recv()
        except (EOFError, OSError) as error:
            raise WorkerEnded from error
        if isinstance(row, AgentError):
            raise row
        if not isinstance(row, Row):
            raise WorkerEnded
        return row

    def close(self) -> None:
        """See ``Crew``."""
        for one in self._all:
            one.end.close()
            one.process.kill()
            one.process.join()


def _work(config: Config, end: Connection) -> None:
    """Read what is asked for, until nobody asks any more."""
    try:
        reader = SeriesReader(config, f"process {os.getpid()}")
    except AgentError as error:
        end.send(error)
        return
    with suppress(EOFError):
        while True:
            end.send(reader.read(*end.recv()))


class OnRay:
    """Actors on a Ray cluster, each with as many cores as its threads."""

    def __init__(self, config: Config, address: str) -> None:
        """Join the cluster, or start Ray on this computer; RequestRefused if that fails."""
        try:
            import ray  # noqa: PLC0415 - of the ray extra
        except ImportError as error:
            raise RequestRefused("archive_package_missing", package="ray", command=EXTRA) from error
        options: dict[str, Any] = {"log_to_driver": False, "configure_logging": False}
        if address == RAY_HERE:
            options["include_dashboard"] = False
        else:
            options["address"] = address
        with ExitStack() as stack:
            # It prints remarks, also later and from a thread, that are no answer of ours.
            stack.enter_context(redirect_stdout(sys.stderr))
            try:
                ray.init(**options)
            except Exception as error:  # Ray raises bare Exceptions of its own
                why = str(error).strip().rpartition("\n")[2]  # a server's traceback ends with it
                raise RequestRefused("ray_unreachable", address=address, why=why) from error
            stack.callback(ray.shutdown)
            self._stack = stack.pop_all()
        self._ray, self._config, self._address = ray, config, address
        threads = config.infer.threads
        resources: dict[str, float] = ray.cluster_resources()
        self.count = max(1, int(resources.get("CPU", 1) // threads))
        self._remote = ray.remote(num_cpus=threads)(_RayReader)

    def started(self) -> Any:  # noqa: ANN401 - Ray's, as all below
        """See ``Crew``."""
        with self._reached():
            return self._remote.remote(self._config)

    def begun(self, worker: Any, task: Task) -> Any:  # noqa: ANN401
        """See ``Crew``."""
        with self._reached():
            return worker.read.remote(*task)

    def first_done(self, answers: Sequence[Any]) -> Any:  # noqa: ANN401
        """See ``Crew``."""
        done: list[Any] = []
        while not done:  # without an end to each wait, Ray's client waits for ever for a lost head
            with self._reached():
                done, _ = self._ray.wait(list(answers), timeout=LOOK_S)
            if not self._ray.is_initialized():
                raise RequestRefused("ray_lost", address=self._address)
        return done[0]

    def row(self, answer: Any) -> Row:  # noqa: ANN401
        """See ``Crew``."""
        try:
            with self._reached():
                row: Row = self._ray.get(answer)
        except self._ray.exceptions.RayError as error:
            raise WorkerEnded from error
        return row

    @contextmanager
    def _reached(self) -> Iterator[None]:
        """RequestRefused where the cluster is gone; what a worker ended with is left as it is."""
        try:
            yield
        except self._ray.exceptions.RayError:
            raise
        except Exception as error:  # its client raises ConnectionError, gRPC's errors and others
            raise RequestRefused("ray_lost", address=self._address) from error

    def close(self) -> None:
        """See ``Crew``."""
        self._stack.close()


class _RayReader:
    """A reader in a worker's process; Ray makes an actor of it."""

    def __init__(self, config: Config) -> None:
        self._reader = SeriesReader(config, f"{os.uname().nodename}, process {os.getpid()}")

    def read(self, series_uid: str, paths: tuple[Path, ...]) -> Row:
        return self._reader.read(series_uid, paths)


def _given_up(uid: str, n_files: int, n_times: int) -> Row:
    reason = Reason("set_aside", n_times=n_times)
    return unanswered(uid, reason.code, english(reason), Effort(n_files, 0.0, ""))
