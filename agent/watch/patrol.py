"""What the watching thread does: events and scans in, arrivals out."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Event
from typing import Final, NamedTuple, TypeAlias

from watchdog.events import (
    DirCreatedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer

from agent.errors import FolderUnreachable, legible
from agent.reasons import Reason
from agent.records import Arrival
from agent.watch.filesystem import Version, files_in, folder_identity, is_mount, version_of
from agent.watch.ledger import Ledger

CHECK_S: Final = 0.5
"""How often it is checked that the folder is still the one being watched [s]. Ours."""

POLL_S: Final = 1.0
"""Longest pause between scans where no events come [s]. Ours: what a share's server bears."""

SCAN_SHARE: Final = 0.1
"""Largest share of the time that is spent scanning: a folder of a year's studies on a slow share
is scanned less often, not all the time. Ours."""

SCAN_STEP: Final = 200
"""Files scanned before waiting events are looked at. Ours: a few ms on a local disk."""

NEW_FOLDER_S: Final = 0.0, 0.1, 0.3, 1.0
"""When a new folder is scanned after its event [s]: what is written into it before the kernel
watches it raises no event. Ours."""

_EVENTS: Final[list[type[FileSystemEvent]]] = [
    DirCreatedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileMovedEvent,
]


class Noticed(NamedTuple):
    """An event named this path."""

    path: str
    is_folder: bool
    closed: bool


class NotWhole(NamedTuple):
    """The reader found this file not whole."""

    path: str


class Stop(NamedTuple):
    """Watching is over."""


Message: TypeAlias = Noticed | NotWhole | Stop


class _Hints(FileSystemEventHandler):
    """Passes watchdog's events on to the watching thread."""

    def __init__(self, inbox: SimpleQueue[Message]) -> None:
        self._inbox = inbox

    def on_any_event(self, event: FileSystemEvent) -> None:
        moved = isinstance(event, (DirMovedEvent, FileMovedEvent))
        path = os.fsdecode(event.dest_path if moved else event.src_path)
        closed = moved or isinstance(event, FileClosedEvent)
        self._inbox.put(Noticed(path, event.is_directory, closed))


class Patrol:
    """Keeps the ledger of one folder; all but the queues and the three notes is its thread's own.

    ``unreachable`` and ``denied`` say what is wrong with the folder and with a folder in it, and
    ``alive_s`` when the thread last was not waiting for the file system.
    """

    def __init__(
        self,
        folder: Path,
        ledger: Ledger,
        *,
        rescan_s: float,
        polling: bool,
        monotonic: Callable[[], float],
    ) -> None:
        """Prepare to watch ``folder``."""
        self.inbox: SimpleQueue[Message] = SimpleQueue()
        self.outbox: SimpleQueue[Arrival] = SimpleQueue()
        self.unreachable: Reason | None = None
        self.denied: Reason | None = None
        self.alive_s = monotonic()
        self._folder = folder
        self._ledger = ledger
        self._polling = polling
        self._rescan_s = self._pause_s = rescan_s
        self._monotonic = monotonic
        self._stop = Event()
        self._was_mount = False
        self._scan: Iterator[tuple[str, Version]] | None = None
        self._scan_began_s = 0.0
        self._next_scan_s = 0.0
        self._not_met: set[str] = set()
        self._denials: list[Reason] = []
        self._new_folders: list[tuple[float, str]] = []

    def run(self) -> None:
        """Watch until told to stop, beginning anew whenever the folder was gone or replaced."""
        while not self._stop.is_set():
            identity = self._identity()
            if identity is None:
                self._take_in(CHECK_S)
                continue
            with self._events():
                self._scan, self._next_scan_s = None, self._monotonic()
                while not self._stop.is_set() and self._identity() == identity:
                    self._watch_for(CHECK_S)

    def _identity(self) -> tuple[int, int] | None:
        """Which folder is there now; notes why there is none."""
        try:
            identity = folder_identity(self._folder)
        except FolderUnreachable as error:
            self.unreachable = error.reason
            return None
        mounted = is_mount(self._folder)
        if self._was_mount and not mounted:
            self.unreachable = Reason("folder_not_mounted", folder=str(self._folder))
            return None
        self._was_mount, self.unreachable = mounted, None
        return identity

    @contextmanager
    def _events(self) -> Iterator[None]:
        """Have the kernel's events sent to the inbox, if it has any to send."""
        self._pause_s = min(self._rescan_s, POLL_S)
        if self._polling:
            yield
            return
        observer = Observer()
        observer.schedule(
            _Hints(self.inbox), str(self._folder), recursive=True, event_filter=_EVENTS
        )
        try:
            observer.start()
        except OSError:
            # Gone again, or the kernel's limit on watches is reached: the scans see all there is.
            yield
            return
        self._pause_s = self._rescan_s
        try:
            yield
        finally:
            observer.stop()
            observer.join()

    def _watch_for(self, span_s: float) -> None:
        end_s = self._monotonic() + span_s
        while not self._stop.is_set() and (now_s := self._monotonic()) < end_s:
            self._scan_some(now_s)
            self._scan_new_folders(now_s)
            for arrival in self._ledger.take_due(now_s):
                self.outbox.put(arrival)
            self._take_in(max(0.0, min(end_s, self._next_s()) - self._monotonic()))

    def _next_s(self) -> float:
        """When there is next something to do without a message."""
        times = [self._next_scan_s, *(due_s for due_s, _ in self._new_folders)]
        due_s = self._ledger.next_due_s
        return min(times if due_s is None else [*times, due_s])

    def _take_in(self, timeout_s: float) -> None:
        """Take in the messages there are, waiting for the first."""
        self.alive_s = self._monotonic()
        try:
            self._take(self.inbox.get(timeout=timeout_s))
            while not self._stop.is_set():
                self._take(self.inbox.get_nowait())
        except Empty:
            self.alive_s = self._monotonic()

    def _take(self, message: Message) -> None:
        now_s = self._monotonic()
        if isinstance(message, Stop):
            self._stop.set()
        elif isinstance(message, NotWhole):
            self._ledger.not_whole(message.path, now_s)
        elif message.is_folder:
            self._new_folders += [(now_s + delay_s, message.path) for delay_s in NEW_FOLDER_S]
        else:
            self._ledger.noticed(message.path, now_s, closed=message.closed)

    def _scan_some(self, now_s: float) -> None:
        """Go on with the scan under way, or begin one if it is time."""
        if now_s < self._next_scan_s:
            return
        if self._scan is None:
            self._scan = files_in(str(self._folder), self._deny)
            self._scan_began_s, self._not_met = now_s, self._ledger.paths
            self._denials = []
        step = list(islice(self._scan, SCAN_STEP))
        for path, version in step:
            self._ledger.found(path, version, now_s)
            self._not_met.discard(path)
        if len(step) < SCAN_STEP:
            self._end_scan()

    def _end_scan(self) -> None:
        for path in self._not_met:
            if version_of(path) is None:
                self._ledger.forget(path)
        self.denied = self._denials[0] if self._denials else None
        now_s = self._monotonic()
        pause_s = max(self._pause_s, (now_s - self._scan_began_s) / SCAN_SHARE)
        self._scan, self._next_scan_s = None, now_s + pause_s

    def _scan_new_folders(self, now_s: float) -> None:
        due = {path for due_s, path in self._new_folders if due_s <= now_s}
        self._new_folders = [entry for entry in self._new_folders if entry[0] > now_s]
        for folder in due:
            for path, version in files_in(folder, self._deny):
                self._ledger.found(path, version, now_s)

    def _deny(self, folder: str, error: OSError) -> None:
        self._denials.append(
            Reason("folder_unlistable", folder=legible(folder), why=str(error.strerror))
        )
