"""What the watching thread does: events and periodic scans in, arrivals out."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from queue import Empty, Queue
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
from agent.watch.tracker import FileTracker

CHECK_S: Final = 0.5
"""Between two checks that the folder is still the one being watched [s]. Ours."""

POLL_S: Final = 1.0
"""Between scans where there are no events [s]. Ours: a load that a file server bears."""

SCAN_SHARE: Final = 0.1
"""Largest share of the time spent scanning: a folder of a year's studies on a slow file server is
scanned less often. Ours."""

SCAN_STEP: Final = 200
"""Files scanned before waiting events are handled. Ours: a few ms on a local disk."""

TURN_S: Final = 0.01
"""Between two turns in which events are handled [s]: where hundreds of files come a second, several
are handled together. Ours: a scanner's hundred slices a second still come one by one."""

NEW_FOLDER_S: Final = 0.0, 0.1, 0.3, 1.0
"""Delays after which a new folder is scanned [s]: files written before inotify watches it raise no
event. Ours."""

_EVENTS: Final[list[type[FileSystemEvent]]] = [
    DirCreatedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileMovedEvent,
]


class FileEvent(NamedTuple):
    """A file system event that named this path."""

    path: str
    is_folder: bool
    closed: bool


class Retry(NamedTuple):
    """The reader found this file incomplete; ``as_it_is``: it is emitted even if unchanged."""

    path: str
    as_it_is: bool


class Stop(NamedTuple):
    """The thread is to end."""


Message: TypeAlias = FileEvent | Retry | Stop


class _EventForwarder(FileSystemEventHandler):
    """Puts watchdog's events into the watching thread's inbox."""

    def __init__(self, inbox: Queue[Message]) -> None:
        self._inbox = inbox

    def on_any_event(self, event: FileSystemEvent) -> None:
        moved = isinstance(event, (DirMovedEvent, FileMovedEvent))
        path = os.fsdecode(event.dest_path if moved else event.src_path)
        closed = moved or isinstance(event, FileClosedEvent)
        self._inbox.put(FileEvent(path, event.is_directory, closed))


class FolderScanner:
    """Follows one folder in a thread of its own.

    Other threads use only the two queues and three attributes: ``unreachable`` (why the folder
    cannot be watched), ``denied`` (why a folder below it cannot be listed) and ``alive_s`` (when
    the thread was last not waiting for the file system).
    """

    def __init__(
        self,
        folder: Path,
        tracker: FileTracker,
        *,
        rescan_s: float,
        polling: bool,
        monotonic: Callable[[], float],
    ) -> None:
        """Prepare to watch ``folder``."""
        # No SimpleQueue: where a signal is handled beyond a wait's end, it waits without one.
        self.inbox: Queue[Message] = Queue()
        self.outbox: Queue[list[Arrival]] = Queue()
        self.unreachable: Reason | None = None
        self.denied: Reason | None = None
        self.alive_s = monotonic()
        self._folder = folder
        self._tracker = tracker
        self._polling = polling
        self._rescan_s = self._pause_s = rescan_s
        self._monotonic = monotonic
        self._stop = Event()
        self._was_mount = False
        self._scan: Iterator[tuple[str, Version]] | None = None
        self._scan_began_s = 0.0
        self._next_scan_s = 0.0
        self._unseen: set[str] = set()
        self._denials: list[Reason] = []
        self._new_folders: list[tuple[float, str]] = []
        self._turned_s = float("-inf")

    def run(self) -> None:
        """Watch until ``Stop``; begin anew whenever the folder was gone or replaced."""
        while not self._stop.is_set():
            identity = self._identity()
            if identity is None:
                self._receive(CHECK_S)
                continue
            with self._events():
                self._scan, self._next_scan_s = None, self._monotonic()
                while not self._stop.is_set() and self._identity() == identity:
                    self._watch_for(CHECK_S)

    def _identity(self) -> tuple[int, int] | None:
        """Return the folder's identity; where there is none, set ``unreachable``."""
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
        """Have file system events put into the inbox, where there are any."""
        self._pause_s = min(self._rescan_s, POLL_S)
        if self._polling:
            yield
            return
        observer = Observer()
        observer.schedule(
            _EventForwarder(self.inbox), str(self._folder), recursive=True, event_filter=_EVENTS
        )
        try:
            observer.start()
        except OSError:
            # The folder vanished, or the limit on inotify watches is reached: scans still find all.
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
            if arrivals := self._tracker.take_due(now_s):
                self.outbox.put(arrivals)
            self._receive(max(0.0, min(end_s, self._next_s()) - self._monotonic()))

    def _next_s(self) -> float:
        """Return when something is next due without a message [s]."""
        times = [self._next_scan_s, *(due_s for due_s, _ in self._new_folders)]
        due_s = self._tracker.next_due_s
        return min(times if due_s is None else [*times, due_s])

    def _receive(self, timeout_s: float) -> None:
        """Handle the messages that are there, waiting for the first; ``TURN_S`` apart."""
        self.alive_s = self._monotonic()
        try:
            first = self.inbox.get(timeout=timeout_s)
            # Not time.sleep: under libfaketime, by which clocks that jump are tried, it never ends.
            self._stop.wait(max(0.0, self._turned_s + TURN_S - self._monotonic()))
            self._turned_s = self._monotonic()
            self._handle(first)
            while not self._stop.is_set():
                self._handle(self.inbox.get_nowait())
        except Empty:
            self.alive_s = self._monotonic()

    def _handle(self, message: Message) -> None:
        now_s = self._monotonic()
        if isinstance(message, Stop):
            self._stop.set()
        elif isinstance(message, Retry):
            self._tracker.not_whole(message.path, now_s, as_it_is=message.as_it_is)
        elif message.is_folder:
            self._new_folders += [(now_s + delay_s, message.path) for delay_s in NEW_FOLDER_S]
        else:
            self._tracker.noticed(message.path, now_s, closed=message.closed)

    def _scan_some(self, now_s: float) -> None:
        """Continue the scan, or begin one if it is due."""
        if now_s < self._next_scan_s:
            return
        if self._scan is None:
            self._scan = files_in(str(self._folder), self._deny)
            self._scan_began_s, self._unseen = now_s, self._tracker.paths
            self._denials = []
        step = list(islice(self._scan, SCAN_STEP))
        for path, version in step:
            self._tracker.found(path, version, now_s)
            self._unseen.discard(path)
        if len(step) < SCAN_STEP:
            self._end_scan()

    def _end_scan(self) -> None:
        for path in self._unseen:
            if version_of(path) is None:
                self._tracker.forget(path)
        self.denied = self._denials[0] if self._denials else None
        now_s = self._monotonic()
        pause_s = max(self._pause_s, (now_s - self._scan_began_s) / SCAN_SHARE)
        self._scan, self._next_scan_s = None, now_s + pause_s

    def _scan_new_folders(self, now_s: float) -> None:
        due = {path for due_s, path in self._new_folders if due_s <= now_s}
        self._new_folders = [entry for entry in self._new_folders if entry[0] > now_s]
        for folder in due:
            for path, version in files_in(folder, self._deny):
                self._tracker.found(path, version, now_s)

    def _deny(self, folder: str, error: OSError) -> None:
        self._denials.append(
            Reason("folder_unlistable", folder=legible(folder), why=str(error.strerror))
        )
