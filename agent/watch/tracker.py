"""Which version of each file has been emitted, and when each file is examined next. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from agent.records import Arrival
from agent.watch.filesystem import Version

SETTLE_S: Final = 0.05
"""A file without a close event is emitted once its size and time have not changed for this long
[s]. Ours: the longest pause within one write to a local disk."""

FIRST_RETRY_S: Final = 0.05
LONGEST_RETRY_S: Final = 60.0
"""A file that was not whole is examined again after the first interval [s], then after twice that,
and so on up to the longest. Ours: the first is a tenth of what a completeness decision may take; a
file that has not changed for a minute is found by events and scans alone soon enough."""

COARSE_S: Final = 2.0
"""Where a file system tells time in whole seconds, a change within one is seen this much later only
[s]. Source: FAT keeps two seconds, and some shares pass it on."""


@dataclass(slots=True)
class _Pending:
    """A file that is to be examined, and perhaps emitted."""

    due_s: float
    closed: bool = False
    """Whether an event said that it was closed after writing."""
    incomplete: bool = False
    """Whether the reader found it incomplete, so that it is examined until it has changed."""
    retry: bool = False
    """Whether it is emitted even if it has not changed."""
    last: Version | None = None
    """Its version when it was last examined."""


@dataclass(slots=True)
class _Emitted:
    """A file as it was last emitted."""

    version: Version
    at_s: float
    next_retry_s: float = FIRST_RETRY_S
    closed: bool = False
    """Whether an event said since that it was closed, though it looks the same."""
    twice: bool = False
    """Whether this version was emitted a second time, as its time is too coarse to tell."""


class FileTracker:
    """Emits each version of each file once.

    A file that the reader finds incomplete is examined again, at growing intervals, and emitted
    when it has changed; only one that could not be opened is emitted as it is.

    ``known`` (path → size, mtime_ns) was read before a restart. ``look`` returns a file's version,
    None where there is no regular file.
    """

    def __init__(
        self, known: Mapping[str, tuple[int, int]], look: Callable[[str], Version | None]
    ) -> None:
        """Begin with nothing emitted."""
        self._known = dict(known)
        self._look = look
        self._pending: dict[str, _Pending] = {}
        self._emitted: dict[str, _Emitted] = {}

    @property
    def next_due_s(self) -> float | None:
        """When the next file is to be examined [s]; None if none is."""
        return min((pending.due_s for pending in self._pending.values()), default=None)

    @property
    def paths(self) -> set[str]:
        """The files that were emitted."""
        return set(self._emitted)

    def forget(self, path: str) -> None:
        """Forget a file that is gone: should it come back, it is a new one."""
        self._emitted.pop(path, None)

    def found(self, path: str, version: Version, now_s: float) -> None:
        """Note a file that a scan has found."""
        if path not in self._pending and not self._is_done(path, version):
            self._pending[path] = _Pending(now_s)

    def noticed(self, path: str, now_s: float, *, closed: bool) -> None:
        """Note a file that an event has named."""
        pending = self._pending.setdefault(path, _Pending(now_s))
        pending.due_s = min(pending.due_s, now_s)
        pending.closed |= closed

    def not_whole(self, path: str, now_s: float, *, as_it_is: bool = False) -> None:
        """Examine a file again after a growing interval: emit it if it has changed, or as it is."""
        emitted = self._emitted.get(path)
        if emitted is None:
            self.noticed(path, now_s, closed=False)
            return
        due_s = now_s + emitted.next_retry_s
        emitted.next_retry_s = min(2 * emitted.next_retry_s, LONGEST_RETRY_S)
        pending = self._pending.setdefault(path, _Pending(now_s if emitted.closed else due_s))
        pending.incomplete, pending.closed = True, pending.closed or emitted.closed
        pending.retry |= as_it_is
        emitted.closed = False

    def take_due(self, now_s: float) -> list[Arrival]:
        """Emit the files that are due, in the order of their modification times.

        A scan lists files in no order, and slices that arrive in order are analysed as they arrive.
        Modification times are by the file system's clock, so the order is not guaranteed.
        """
        due = [path for path, pending in self._pending.items() if pending.due_s <= now_s]
        taken = [arrival for path in due if (arrival := self._take(path, now_s))]
        return sorted(taken, key=lambda arrival: arrival.mtime_ns)

    def _take(self, path: str, now_s: float) -> Arrival | None:
        pending, version = self._pending.pop(path), self._look(path)
        if version is None:
            self.forget(path)
            return None
        emitted = self._emitted.get(path)
        unchanged = emitted is not None and emitted.version == version
        if not unchanged and self._is_done(path, version):
            return None
        if (
            emitted is not None
            and unchanged
            and not self._may_have_changed(pending, emitted, now_s)
        ):
            emitted.closed |= pending.closed
            if pending.incomplete:
                self.not_whole(path, now_s)
            return None
        if not (unchanged or pending.closed or pending.last == version):
            self._pending[path] = replace(
                pending, due_s=now_s + SETTLE_S, closed=False, last=version
            )
            return None
        if not unchanged:
            self._emitted[path] = _Emitted(version, now_s)
        return Arrival(Path(path), version.size_bytes, version.mtime_ns, now_s)

    def _may_have_changed(self, pending: _Pending, emitted: _Emitted, now_s: float) -> bool:
        """Say whether a file of the same version is to be emitted again."""
        if pending.retry or (pending.closed and pending.incomplete):
            return True
        is_coarse = emitted.version.mtime_ns % 10**9 == 0
        if pending.incomplete and is_coarse and now_s - emitted.at_s >= COARSE_S:
            emitted.twice, once = True, not emitted.twice
            return once
        return False

    def _is_done(self, path: str, version: Version) -> bool:
        emitted = self._emitted.get(path)
        if emitted is not None:
            return emitted.version == version
        return self._known.get(path) == (version.size_bytes, version.mtime_ns)
