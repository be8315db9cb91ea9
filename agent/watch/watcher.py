"""The watched export folder: events make it quick, a periodic scan makes it complete."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from queue import Empty
from threading import Thread
from types import TracebackType
from typing import Final

from agent.reasons import Reason
from agent.records import Arrival
from agent.watch.filesystem import sends_events, version_of
from agent.watch.scanner import FolderScanner, Retry, Stop
from agent.watch.tracker import FileTracker

UNRESPONSIVE_S: Final = 5.0
"""A thread that waits this long in one file system call is on an unresponsive share [s]. Ours."""

MOUNTS: Final = Path("/proc/mounts")


class Watcher:
    """The files below one folder, each version once.

    A thread of its own lists the folder and receives the events, so that a share that hangs does
    not block the caller. Nothing is ever written to the folder.

    Parameters
    ----------
    folder
        Watched with all folders below it. It may be missing at first.
    rescan_s
        Pause between scans where events come [s].
    polling
        True: scans only. None: scans only where the file system raises no events.
    monotonic
        Seconds since boot.
    known
        Path → (size, mtime_ns) of files that are not to be emitted.
    """

    def __init__(
        self,
        folder: Path,
        *,
        rescan_s: float,
        polling: bool | None,
        monotonic: Callable[[], float],
        known: Mapping[str, tuple[int, int]] | None = None,
    ) -> None:
        """Prepare; watching begins with the ``with`` block."""
        self._folder = folder.absolute()
        if polling is None:
            polling = not (MOUNTS.exists() and sends_events(self._folder, MOUNTS.read_text()))
        self._monotonic = monotonic
        self._scanner = FolderScanner(
            self._folder,
            FileTracker(known or {}, version_of),
            rescan_s=rescan_s,
            polling=polling,
            monotonic=monotonic,
        )
        self._thread = Thread(target=self._scanner.run, name="watch", daemon=True)

    def __enter__(self) -> Watcher:  # noqa: PYI034 - Self is not in Python 3.10
        """Begin to watch."""
        # watchdog warns at length when it adds a new, quickly filled folder twice: harmless.
        warnings.filterwarnings("ignore", "Callback with id", RuntimeWarning, "watchdog")
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop watching; does not wait for a share that hangs."""
        self._scanner.inbox.put(Stop())
        self._thread.join(timeout=UNRESPONSIVE_S)

    @property
    def problem(self) -> Reason | None:
        """Why the folder, or a folder in it, is unreachable now; None when all is well."""
        if self._scanner.unreachable:
            return self._scanner.unreachable
        silent_s = self._monotonic() - self._scanner.alive_s
        if self._thread.is_alive() and silent_s > UNRESPONSIVE_S:
            return Reason("folder_silent", folder=str(self._folder), silent_s=silent_s)
        return self._scanner.denied

    def wait(self, timeout_s: float) -> list[Arrival]:
        """Return files that are new or changed as soon as there are any; [] after ``timeout_s``.

        Raises
        ------
        RuntimeError
            The watching thread has died, which is a bug.
        """
        if not self._thread.is_alive():
            raise RuntimeError("the watching thread is not running")
        arrivals: list[Arrival] = []
        try:
            arrivals += self._scanner.outbox.get(timeout=timeout_s)
            while True:
                arrivals += self._scanner.outbox.get_nowait()
        except Empty:
            return arrivals

    def retry(self, path: Path, *, as_it_is: bool) -> None:
        """Have a file that was incomplete emitted again when it changes, or a while later as is."""
        self._scanner.inbox.put(Retry(str(path), as_it_is))
