"""Which version of which file has been handed out, and which file is looked at when. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agent.records import Arrival
from agent.watch.filesystem import Version

SETTLE_S: Final = 0.05
"""A file that nobody said was closed is handed out when it has kept its size and time this long
[s]. Ours: the longest pause within one write to a local disk."""

FIRST_RETRY_S: Final = 0.05
LONGEST_RETRY_S: Final = 5.0
"""A file that was not whole is handed out again after the first [s], then twice that, … up to the
longest. Ours: the first is a tenth of the time a completeness decision may take."""


@dataclass(slots=True)
class _Watched:
    """One file between being noticed and being handed out."""

    due_s: float
    closed: bool = False
    """The file system said that writing is over."""
    retry: bool = False
    """It is handed out even if it has not changed."""
    last: Version | None = None
    """As it was at the last look."""


@dataclass(slots=True)
class _Handed:
    """One file as it was handed out."""

    version: Version
    next_retry_s: float = FIRST_RETRY_S


class Ledger:
    """Hands each version of each file out once, and again while the reader finds it not whole.

    ``known`` (path → size, mtime_ns) is what was read before a restart. ``look`` gives a file's
    version, None where there is no regular file.
    """

    def __init__(
        self, known: Mapping[str, tuple[int, int]], look: Callable[[str], Version | None]
    ) -> None:
        """Begin with nothing handed out."""
        self._known = dict(known)
        self._look = look
        self._watched: dict[str, _Watched] = {}
        self._handed: dict[str, _Handed] = {}

    @property
    def next_due_s(self) -> float | None:
        """When the next look is due, None if nothing is watched."""
        return min((watched.due_s for watched in self._watched.values()), default=None)

    @property
    def paths(self) -> set[str]:
        """Files that were handed out."""
        return set(self._handed)

    def forget(self, path: str) -> None:
        """Drop a file that is gone: should it come back, it is a new one."""
        self._handed.pop(path, None)

    def found(self, path: str, version: Version, now_s: float) -> None:
        """Take note of a file that a scan found."""
        if path not in self._watched and not self._is_done(path, version):
            self._watched[path] = _Watched(now_s)

    def noticed(self, path: str, now_s: float, *, closed: bool) -> None:
        """Take note of a file that an event named."""
        watched = self._watched.setdefault(path, _Watched(now_s))
        watched.due_s = min(watched.due_s, now_s)
        watched.closed |= closed

    def not_whole(self, path: str, now_s: float) -> None:
        """Hand a file out again when it changes, or after a growing interval."""
        handed = self._handed.get(path)
        if handed is None:
            self.noticed(path, now_s, closed=False)
            return
        due_s = now_s + handed.next_retry_s
        handed.next_retry_s = min(2 * handed.next_retry_s, LONGEST_RETRY_S)
        watched = self._watched.setdefault(path, _Watched(due_s))
        watched.retry = True

    def take_due(self, now_s: float) -> list[Arrival]:
        """Hand out the files whose time has come, in the order in which they were written.

        A scan lists them in none, and slices that come in order are analysed as they come. It is by
        their file system's clock, and so a help and no promise.
        """
        due = [path for path, watched in self._watched.items() if watched.due_s <= now_s]
        taken = [arrival for path in due if (arrival := self._take(path, now_s))]
        return sorted(taken, key=lambda arrival: arrival.mtime_ns)

    def _take(self, path: str, now_s: float) -> Arrival | None:
        watched, version = self._watched.pop(path), self._look(path)
        if version is None:
            self.forget(path)
            return None
        handed = self._handed.get(path)
        unchanged = handed is not None and handed.version == version
        if not unchanged and self._is_done(path, version):
            return None
        if unchanged and not watched.retry:
            return None
        if not (unchanged or watched.closed or watched.last == version):
            self._watched[path] = _Watched(now_s + SETTLE_S, retry=watched.retry, last=version)
            return None
        if not unchanged:
            self._handed[path] = _Handed(version)
        return Arrival(Path(path), version.size_bytes, version.mtime_ns, now_s)

    def _is_done(self, path: str, version: Version) -> bool:
        handed = self._handed.get(path)
        if handed is not None:
            return handed.version == version
        return self._known.get(path) == (version.size_bytes, version.mtime_ns)
