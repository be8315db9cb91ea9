"""The folder of received images: every file in it is whole and synced, and old ones make room.

A file is written under a name that the watcher passes over, synced, then renamed. Syncing waits for
the disk, so that several files are synced at once, while the next ones are written; the name says
how long the file is to be, so that one is told from half of one whenever the inlet was killed.
Each day's files lie in a folder of their own, so that a day is deleted as one.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import date, timedelta
from pathlib import Path
from typing import Final
from uuid import uuid4

from agent.errors import ConfigError
from agent.inlet.limits import InletLimits
from agent.reasons import Reason
from agent.records import Clock
from agent.watch.filesystem import PART_SUFFIX

KEPT_IN_ANY_CASE: Final = timedelta(days=1)
"""What came today and the day before is never deleted: it may not be analysed yet. Ours."""

SYNCED_AT_ONCE: Final = 8
"""Files that are synced at once. Ours: 300 slices take 0.3 s so, and 2.4 s one after another."""

PART: Final = re.compile(
    rf"(?P<name>[0-9.]+\.dcm)\.(?P<n_bytes>\d+)\.[0-9a-f]+{re.escape(PART_SUFFIX)}"
)


class ReceivedFolder:
    """The folder, for one process at a time; for several threads at once."""

    def __init__(self, folder: Path, limits: InletLimits, clock: Clock) -> None:
        """Prepare; nothing is touched before the ``with`` block of ``opened``."""
        self._folder = folder
        self._limits = limits
        self._clock = clock
        self._lock = threading.Lock()
        self._bytes_by_day: dict[date, int] = {}
        self._pool = ThreadPoolExecutor(SYNCED_AT_ONCE, "sync")
        self._turns = threading.BoundedSemaphore(4 * SYNCED_AT_ONCE)
        self._unsynced: Reason | None = None

    @contextmanager
    def opened(self) -> Iterator[ReceivedFolder]:
        """Take hold of the folder, and give their names to files that a killed inlet has written.

        Raises
        ------
        ConfigError
            If it cannot be made or written, or another inlet has it.
        """
        own = self._taken()
        try:
            with self._pool:
                yield self
        finally:
            os.close(own)

    def add(self, sop_uid: str, content: bytes) -> Reason | None:
        """Write an image; returns why that cannot be done, None where it will be there, whole.

        One that is there already with the same content is left as it is; with another, it is
        replaced, as by a scanner that exports a corrected image under the same name. Where the
        former one lies in a day that may be deleted, the new one is written into today's folder.
        """
        name = f"{sop_uid}.dcm"
        try:
            no_room = self._make_room(len(content))
            former = self._find(name)
            if former and former.read_bytes() == content:
                return None
            if why := no_room or self._failure():
                return why
            if former and self._deletable(date.fromisoformat(former.parent.name)):
                former.unlink(missing_ok=True)
                former = None
            self._write((former or self._today() / name), content)
        except OSError as error:
            return self._unwritable(error)
        return None

    def _taken(self) -> int:
        """Lock the folder, finish what was left in it, and count it; returns its descriptor."""
        try:
            self._folder.mkdir(exist_ok=True)
            own = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise ConfigError(self._unwritable(error)) from error
        try:
            fcntl.flock(own, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for day in self._days():
                _finish(day)
                self._bytes_by_day[date.fromisoformat(day.name)] = _size_bytes(day)
            self._today()
        except OSError as error:
            os.close(own)
            if isinstance(error, BlockingIOError):
                raise ConfigError("inlet_running", folder=str(self._folder)) from error
            raise ConfigError(self._unwritable(error)) from error
        return own

    def _write(self, path: Path, content: bytes) -> None:
        """Write a file, and have it synced and named by another thread."""
        part = path.with_name(f"{path.name}.{len(content)}.{uuid4().hex}{PART_SUFFIX}")
        self._turns.acquire()
        try:
            part.write_bytes(content)
            self._pool.submit(self._sync, part, path)
        except BaseException:
            part.unlink(missing_ok=True)
            self._turns.release()
            raise
        with self._lock:
            day = date.fromisoformat(path.parent.name)
            self._bytes_by_day[day] = self._bytes_by_day.get(day, 0) + len(content)

    def _sync(self, part: Path, path: Path) -> None:
        """Sync a file, then give it its name; a failure is told to whoever sends next."""
        try:
            _synced(part).rename(path)
        except OSError as error:
            with self._lock:
                self._unsynced = self._unwritable(error)
        finally:
            self._turns.release()

    def _failure(self) -> Reason | None:
        """Take why a file could not be synced."""
        with self._lock:
            failure, self._unsynced = self._unsynced, None
        return failure

    def _make_room(self, n_bytes: int) -> Reason | None:
        """Delete days that are too old, or too much; returns why there is no room all the same."""
        limits, today = self._limits, self._clock().utc.date()
        with self._lock:
            kept = self._bytes_by_day
            for day in sorted(kept):
                too_old = today - day > timedelta(days=limits.kept_days)
                too_much = sum(kept.values()) + n_bytes > limits.kept_bytes
                if self._deletable(day) and (too_old or too_much):
                    shutil.rmtree(self._folder / day.isoformat())
                    del kept[day]
            if sum(kept.values()) + n_bytes > limits.kept_bytes:
                return Reason(
                    "inlet_quota_taken", folder=str(self._folder), gb=limits.kept_bytes / 1e9
                )
        free_bytes = shutil.disk_usage(self._folder).free
        if free_bytes - n_bytes < limits.free_bytes:
            return Reason("inlet_disk_low", folder=str(self._folder), gb=free_bytes / 1e9)
        return None

    def _deletable(self, day: date) -> bool:
        return self._clock().utc.date() - day > KEPT_IN_ANY_CASE

    def _find(self, name: str) -> Path | None:
        """Return where an image was received before, None where it was not."""
        with self._lock:
            days = sorted(self._bytes_by_day, reverse=True)
        paths = (self._folder / day.isoformat() / name for day in days)
        return next((path for path in paths if path.is_file()), None)

    def _today(self) -> Path:
        """Return today's folder, made if it is not there."""
        today = self._clock().utc.date()
        folder = self._folder / today.isoformat()
        folder.mkdir(exist_ok=True)
        with self._lock:
            self._bytes_by_day.setdefault(today, 0)
        return folder

    def _days(self) -> list[Path]:
        """Return the folders that are days; what else lies there is not ours."""
        days = []
        for path in self._folder.iterdir():
            with suppress(ValueError):
                if path.is_dir() and date.fromisoformat(path.name).isoformat() == path.name:
                    days.append(path)
        return days

    def _unwritable(self, error: OSError) -> Reason:
        why = str(error.strerror)
        return Reason("inlet_folder_unwritable", folder=str(self._folder), why=why)


def _finish(day: Path) -> None:
    """Give files that were written whole their names; delete those that were not."""
    for part in day.glob(f"*{PART_SUFFIX}"):
        match = PART.fullmatch(part.name)
        if match and part.stat().st_size == int(match["n_bytes"]):
            _synced(part).rename(day / match["name"])
        else:
            part.unlink()


def _synced(part: Path) -> Path:
    """Return once a file's content is on the disk."""
    with part.open("rb") as file:
        os.fdatasync(file.fileno())
    return part


def _size_bytes(day: Path) -> int:
    return sum(path.stat().st_size for path in day.iterdir())
