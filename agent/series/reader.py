"""Files to slices: each read once it is whole, or named with the reason why not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from structlog.typing import FilteringBoundLogger

from agent.assemble.decoder import DecoderProcess
from agent.assemble.dicom_file import ReadSlice, Unneeded, read_slices
from agent.assemble.header import SliceRefused, SliceUnneeded
from agent.assemble.limits import ReadLimits
from agent.assemble.pixels import DecoderEnded
from agent.errors import AgentError, DirectoryLeftOut, FileRefused, NotWholeYet, legible
from agent.reasons import Reason, english
from agent.records import Arrival
from agent.store.agent_store import AgentStore
from agent.store.rows import FileNote

NAMED_AFTER_S = 10.0
"""A file half-written and unchanged for this long is named; it is still waited for [s]."""


class HalfWritten(NamedTuple):
    """A file that was not whole when it was last handed in, and since when [s]."""

    since_s: float
    why: NotWholeYet


class Reader:
    """Reads files, and remembers those that are not whole yet."""

    def __init__(
        self,
        store: AgentStore,
        limits: ReadLimits,
        log: FilteringBoundLogger,
        marks: Mapping[Path, str] = MappingProxyType({}),
    ) -> None:
        """Start with no file half-written.

        The UIDs of what lies in one of the folders of ``marks`` begin with that folder's mark.
        """
        self._store = store
        self._log = log
        self._limits = limits
        self._marks = marks
        self._decoder = DecoderProcess()
        self._set_aside: dict[str, tuple[Path, Reason]] = {}
        """Series of which a file ended the decoder, that file, and why it is refused: the others
        would hold up all reading."""
        self._half_written: dict[Path, HalfWritten] = {}

    def read(self, arrival: Arrival, unneeded: Unneeded) -> tuple[ReadSlice, ...]:
        """Read an arrival's slices, but for pixels that are ``unneeded``.

        Raises
        ------
        SliceNotWhole, NotWholeYet
            The file is to be handed in again when it changes; the former says of which series it
            is. ``name_overdue`` names it if it does not.
        SliceUnneeded
            It belongs to a series, and its pixels are not needed.
        SliceRefused
            It belongs to a series and cannot be a slice of it. Named.
        FileRefused
            It is no slice. Named, but for an index of the files beside it.
        """
        self._half_written.pop(arrival.path, None)
        try:
            return self._read(arrival.path, unneeded)
        except NotWholeYet as error:
            self._half_written[arrival.path] = HalfWritten(arrival.seen_monotonic_s, error)
            raise
        except (DirectoryLeftOut, SliceUnneeded):
            raise
        except FileRefused as error:
            self._name(error)
            raise

    def read_again(self, path: Path, unneeded: Unneeded) -> tuple[ReadSlice, ...]:
        """Read a file that was read before; raises as ``read``, and names nothing."""
        return self._read(path, unneeded)

    def mark_of(self, path: Path) -> str:
        """Return what the UIDs of the series in a file begin with, "" for a scanner's."""
        marks = (mark for folder, mark in self._marks.items() if path.is_relative_to(folder))
        return next(marks, "")

    def name_overdue(self, now_s: float) -> None:
        """Name the files that have stayed half-written, once for each version of them."""
        overdue = [
            path
            for path, half in self._half_written.items()
            if now_s - half.since_s > NAMED_AFTER_S
        ]
        for path in overdue:
            self._name(self._half_written.pop(path).why)

    def forgive(self, series_uid: str) -> None:
        """Decode a series' files again although one of them ended the decoder."""
        self._set_aside.pop(series_uid, None)

    def close(self) -> None:
        """End the process that decodes pixels, if there is one."""
        self._decoder.close()

    def _read(self, path: Path, unneeded: Unneeded) -> tuple[ReadSlice, ...]:
        """Read a file; the folder that it lies in says how its series is marked."""
        mark = self.mark_of(path)
        try:
            return tuple(_marked(one, mark) for one in self._read_unmarked(path, unneeded))
        except SliceRefused as error:
            error.owner = error.owner._replace(series_uid=mark + error.owner.series_uid)
            raise

    def _read_unmarked(self, path: Path, unneeded: Unneeded) -> tuple[ReadSlice, ...]:
        try:
            return read_slices(
                path,
                self._limits,
                decode=self._decoder.decode,
                set_aside=self._set_aside,
                unneeded=unneeded,
            )
        except SliceRefused as error:
            if isinstance(error.__cause__, DecoderEnded):
                self._set_aside[error.owner.series_uid] = path, error.reason
            elif error.reason.code == "series_set_aside":
                ended_by, reason = self._set_aside[error.owner.series_uid]
                if path == ended_by:  # looked at again, it is not decoded and says what it said
                    raise SliceRefused(reason, error.owner) from error
            raise
        except AgentError:
            raise
        except Exception as error:  # a bug of ours must keep no other file from being read
            self._log.exception("reading_failed")
            raise FileRefused("internal", file=legible(path.name)) from error

    def _name(self, error: FileRefused) -> None:
        """Name a file on the console; not in the log, since scanners name files for patients."""
        self._store.notice(error.kind, error.reason)
        self._log.warning(
            error.kind,
            reason=english(error.reason.without_file()),
            series_uid=error.owner.series_uid if isinstance(error, SliceRefused) else None,
        )


def note_of(
    arrival: Arrival,
    series_uid: str | None = None,
    sop_uid: str | None = None,
    *,
    refusal: Reason | None = None,
) -> FileNote:
    """Say for the journal what became of a file; what belongs to no series is settled."""
    return FileNote(
        path=str(arrival.path),
        size_bytes=arrival.size_bytes,
        mtime_ns=arrival.mtime_ns,
        series_uid=series_uid,
        sop_uid=sop_uid,
        refusal=refusal,
        settled=series_uid is None,
    )


def _marked(read: ReadSlice, mark: str) -> ReadSlice:
    if not mark:
        return read
    return read._replace(header=replace(read.header, series_uid=mark + read.header.series_uid))
