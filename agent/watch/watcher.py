"""The export folder, watched: events are hints, a periodic scan is the truth."""

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
from agent.watch.ledger import Ledger
from agent.watch.patrol import NotWhole, Patrol, Stop

SILENT_S: Final = 5.0
"""A watching thread stuck this long in one call has an unresponsive share under it [s]. Ours."""

MOUNTS: Final = Path("/proc/mounts")


class Watcher:
    """Files worth reading below one folder, each version once.

    A thread of its own lists the folder and takes in events, so that a share that hangs holds up
    nobody who asks. Nothing is ever written to the folder.

    Parameters
    ----------
    folder
        With all folders below it, however deep. It may be missing at first.
    rescan_s
        Pause between reconciling scans [s].
    polling
        Do without events; None: wherever the file system sends none.
    monotonic
        Seconds since boot.
    known
        Path → (size, mtime_ns) of files that need not be handed out.
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
        """Describe what to watch; watching begins with the ``with`` block."""
        self._folder = folder.absolute()
        if polling is None:
            polling = not (MOUNTS.exists() and sends_events(self._folder, MOUNTS.read_text()))
        self._monotonic = monotonic
        self._patrol = Patrol(
            self._folder,
            Ledger(known or {}, version_of),
            rescan_s=rescan_s,
            polling=polling,
            monotonic=monotonic,
        )
        self._thread = Thread(target=self._patrol.run, name="watch", daemon=True)

    def __enter__(self) -> Watcher:  # noqa: PYI034 - Self is not in Python 3.10
        """Begin to watch."""
        # watchdog meets a new folder twice when it is filled at once, and says so at great length.
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
        self._patrol.inbox.put(Stop())
        self._thread.join(timeout=SILENT_S)

    @property
    def problem(self) -> Reason | None:
        """Why the folder, or a folder in it, is unreachable now; None when all is well."""
        if self._patrol.unreachable:
            return self._patrol.unreachable
        silent_s = self._monotonic() - self._patrol.alive_s
        if self._thread.is_alive() and silent_s > SILENT_S:
            return Reason("folder_silent", folder=str(self._folder), silent_s=silent_s)
        return self._patrol.denied

    def wait(self, timeout_s: float) -> list[Arrival]:
        """Return files that are new or changed as soon as there are any; [] after ``timeout_s``.

        Raises
        ------
        RuntimeError
            The watching thread has died: a bug, and nothing would be seen any more.
        """
        if not self._thread.is_alive():
            raise RuntimeError("the watching thread is not running")
        arrivals: list[Arrival] = []
        try:
            arrivals.append(self._patrol.outbox.get(timeout=timeout_s))
            while True:
                arrivals.append(self._patrol.outbox.get_nowait())
        except Empty:
            return arrivals

    def retry(self, path: Path) -> None:
        """Say that a file was not whole: it comes again when it changes, or a while later."""
        self._patrol.inbox.put(NotWhole(str(path)))
