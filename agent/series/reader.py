"""Files to slices: each read once it is whole, or named with the reason why not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from structlog.typing import FilteringBoundLogger

from agent.assemble.decoder import DecoderProcess
from agent.assemble.dicom_file import ReadSlice, read_slices
from agent.assemble.header import SliceRefused
from agent.assemble.limits import ReadLimits
from agent.assemble.pixels import DecoderEnded
from agent.errors import AgentError, FileRefused, NotWholeYet, legible
from agent.reasons import Reason, english
from agent.records import TEST_MARK, Arrival
from agent.store.agent_store import AgentStore
from agent.store.rows import FileNote

NAMED_AFTER_S = 10.0
"""A file half-written and unchanged for this long is named; it is still waited for [s]."""


class Reader:
    """Reads files, and remembers those that are not whole yet."""

    def __init__(
        self,
        store: AgentStore,
        limits: ReadLimits,
        log: FilteringBoundLogger,
        tests_folder: Path | None = None,
    ) -> None:
        """Start with no file half-written. Whatever lies in ``tests_folder`` is a self-test's."""
        self._store = store
        self._log = log
        self._limits = limits
        self._tests_folder = tests_folder
        self._decoder = DecoderProcess()
        self._set_aside: set[str] = set()
        """Series of which a file ended the decoder: the others would hold up all reading."""
        self._half_written: dict[Path, Arrival] = {}
        self._named: set[Path] = set()

    def read(self, arrival: Arrival) -> tuple[ReadSlice, ...]:
        """Read an arrival's slices.

        Raises
        ------
        NotWholeYet
            The file is to be handed in again when it changes. Named once if it does not.
        SliceRefused
            Its series cannot be analysed.
        FileRefused
            It is no slice. Named.
        """
        settled = self._unchanged_s(arrival) > NAMED_AFTER_S
        try:
            slices = self._read(arrival.path, settled=settled)
        except NotWholeYet as error:
            self._remember(arrival, error)
            raise
        except FileRefused as error:
            self._name(error)
            raise
        self._half_written.pop(arrival.path, None)
        return slices

    def read_again(self, path: Path) -> tuple[ReadSlice, ...]:
        """Read a file that was whole before; raises as ``read``, and names nothing."""
        return self._read(path, settled=True)

    def forgive(self, series_uid: str) -> None:
        """Decode a series' files again although one of them ended the decoder."""
        self._set_aside.discard(series_uid)

    def _read(self, path: Path, *, settled: bool) -> tuple[ReadSlice, ...]:
        """Read a file; the folder that it lies in says whether its series is a test."""
        if self._tests_folder is None or not path.is_relative_to(self._tests_folder):
            return self._read_unmarked(path, settled=settled)
        try:
            return tuple(map(_marked, self._read_unmarked(path, settled=settled)))
        except SliceRefused as error:
            error.series_uid = TEST_MARK + error.series_uid
            raise

    def _read_unmarked(self, path: Path, *, settled: bool) -> tuple[ReadSlice, ...]:
        try:
            return read_slices(
                path,
                self._limits,
                settled=settled,
                decode=self._decoder.decode,
                set_aside=self._set_aside,
            )
        except SliceRefused as error:
            if isinstance(error.__cause__, DecoderEnded):
                self._set_aside.add(error.series_uid)
            raise
        except AgentError:
            raise
        except Exception as error:  # a bug of ours must keep no other file from being read
            self._log.exception("reading_failed")
            raise FileRefused("internal", file=legible(path.name)) from error

    def _unchanged_s(self, arrival: Arrival) -> float:
        """How long a half-written file has stayed as it is [s]; one that grows begins anew."""
        first = self._half_written.get(arrival.path, arrival)
        if (first.size_bytes, first.mtime_ns) != (arrival.size_bytes, arrival.mtime_ns):
            return 0.0
        return arrival.seen_monotonic_s - first.seen_monotonic_s

    def _remember(self, arrival: Arrival, error: NotWholeYet) -> None:
        unchanged_s = self._unchanged_s(arrival)
        if unchanged_s == 0.0:
            self._half_written[arrival.path] = arrival
            self._named.discard(arrival.path)
        elif unchanged_s > NAMED_AFTER_S and arrival.path not in self._named:
            self._named.add(arrival.path)
            self._name(error)

    def _name(self, error: FileRefused) -> None:
        """Name a file on the console; not in the log, since scanners name files for patients."""
        self._store.notice(error.kind, error.reason)
        self._log.warning(
            error.kind,
            reason=english(error.reason.without_file()),
            series_uid=error.series_uid if isinstance(error, SliceRefused) else None,
        )


def note_of(
    arrival: Arrival,
    series_uid: str | None = None,
    sop_uid: str | None = None,
    *,
    settled: bool = False,
    refusal: Reason | None = None,
) -> FileNote:
    """Say for the journal what became of a file; what was refused is settled."""
    return FileNote(
        path=str(arrival.path),
        size_bytes=arrival.size_bytes,
        mtime_ns=arrival.mtime_ns,
        series_uid=series_uid,
        sop_uid=sop_uid,
        refusal=refusal,
        settled=settled or (refusal is not None),
    )


def _marked(read: ReadSlice) -> ReadSlice:
    uid = TEST_MARK + read.header.series_uid
    return read._replace(header=replace(read.header, series_uid=uid))
