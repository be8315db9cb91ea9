"""What the thread that reads files does: arrivals into their series, and which is complete."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Final

from structlog.typing import FilteringBoundLogger

from agent.assemble.completeness import Completion
from agent.assemble.dicom_file import ReadSlice
from agent.assemble.header import SliceRefused
from agent.errors import FileRefused, NotWholeYet
from agent.infer.slice_stage import SliceStage
from agent.pipeline import Engine
from agent.reasons import Reason
from agent.records import Arrival, Clock, Identity, Instant
from agent.series.contents import FAULT, Contents
from agent.series.lifecycle import (
    Absent,
    Adopted,
    AskedAgain,
    Concluded,
    CopyCame,
    FoundComplete,
    Receiving,
    Unreadable,
)
from agent.series.reader import Reader, note_of
from agent.series.shell import Shell
from agent.store.queries import Queries
from agent.store.rows import FileNote, SeriesRow

FILES_PER_TURN: Final = 16
"""Files that are read before what came of them is written, and others have their turn. Ours: one
write to a disk takes as long as reading several."""


class Intake:
    """Reads what arrives into its series. All of it is one thread's."""

    def __init__(
        self,
        engine: Engine,
        queries: Queries,
        shell: Shell,
        reader: Reader,
        clock: Clock,
        log: FilteringBoundLogger,
    ) -> None:
        """Work with these."""
        self._engine = engine
        self._queries = queries
        self._shell = shell
        self._reader = reader
        self._clock = clock
        self._log = log

    def adopt(self, rows: Iterable[SeriesRow]) -> None:
        """Take up the series that an earlier process left unfinished.

        Files that are in no result are read as they arrive; if none does, it still ends by name.
        """
        for row in rows:
            contents = self._opened(row.uid, row.identity)
            with self._shell.held() as board:
                board.begin(contents, Adopted())

    def read(self, arrivals: Iterable[Arrival]) -> Iterator[dict[Path, Reason]]:
        """Read files into their series, some at each step, then find which series are complete.

        Each step gives the files that are not whole yet, and why. That nothing more has come of a
        series is judged only here, after all that had arrived is read: a slice that is still unread
        is no missing slice.
        """
        yield from self._turns(arrivals)
        now = self._clock()
        with self._shell.held() as board:
            for one in board.in_state(Receiving):
                completion = self._judged(one.contents, now) if one.contents else None
                if completion:
                    board.move(one, FoundComplete(completion, now))

    def read_once(self, arrivals: Iterable[Arrival]) -> dict[Path, Reason]:
        """Read a folder to which nothing more comes, as ``read``: then every series is complete."""
        not_whole = dict(chain.from_iterable(turn.items() for turn in self._turns(arrivals)))
        with self._shell.held() as board:
            board.end_all(Completion("end_of_folder", "the folder was read once"), self._clock())
        return not_whole

    def open_requested(self) -> None:
        """Take up each concluded series that was asked for again; all of it is read."""
        for uid in self._queries.requested():
            row = self._queries.series(uid)
            with self._shell.held() as board:
                under_way = not isinstance(board.of(uid).state, Absent | Concluded)
            if row is None or under_way:
                continue
            self._reader.forgive(uid)
            contents = self._opened(uid, row.identity)
            with self._shell.held() as board:
                if contents.n_unread:
                    reason = Reason("files_unreadable", n_files=contents.n_unread)
                    board.move(board.of(uid), Unreadable(reason))
                else:
                    is_known = contents.known_revision is not None
                    board.begin(contents, AskedAgain(None if is_known else contents.progress()))
                board.commit()

    def _turns(self, arrivals: Iterable[Arrival]) -> Iterator[dict[Path, Reason]]:
        waiting = iter(arrivals)
        for first in waiting:
            not_whole: dict[Path, Reason] = {}
            for arrival in chain([first], islice(waiting, FILES_PER_TURN - 1)):
                try:
                    self._read(arrival)
                except NotWholeYet as error:
                    not_whole[arrival.path] = error.reason
            with self._shell.held() as board:
                board.commit()
            yield not_whole

    def _read(self, arrival: Arrival) -> None:
        """Read a file into its series, or note why it is in none; NotWholeYet while it grows."""
        try:
            slices = self._reader.read(arrival)
        except NotWholeYet:
            raise
        except SliceRefused as refusal:
            note = note_of(arrival, refusal.series_uid)
            self._take_in(refusal.series_uid, refusal.identity, note, self._refused(refusal))
        except FileRefused as refusal:
            with self._shell.held() as board:
                board.note(note_of(arrival, refusal=refusal.reason))
        else:
            self._put(arrival, slices)

    def _put(self, arrival: Arrival, slices: tuple[ReadSlice, ...]) -> None:
        """Put one file's slices into their series, unless they are copies of what is there."""
        header = slices[0].header
        note = note_of(arrival, header.series_uid, header.sop_uid)
        with self._shell.held() as board:
            if board.is_copy(
                header.series_uid, {s.header.sop_uid: s.header.digest for s in slices}
            ):
                board.move(board.of(header.series_uid), CopyCame(note))
                return

        def put(contents: Contents) -> None:
            for each in slices:
                self._put_slice(contents, each)

        self._take_in(header.series_uid, header.identity, note, put)

    def _refused(self, refusal: SliceRefused) -> Callable[[Contents], None]:
        return lambda contents: contents.refuse(refusal, self._clock())

    def _take_in(
        self, uid: str, identity: Identity, note: FileNote, put: Callable[[Contents], None]
    ) -> None:
        """Put a file into its series; one of which nothing is in hand is opened first, unlocked."""
        with self._shell.held() as board:
            if board.take_in(uid, note, put, self._clock()):
                return
        opened = self._opened(uid, identity)  # no other thread opens one meanwhile
        with self._shell.held() as board:
            board.take_in(uid, note, put, self._clock(), opened)

    def _put_slice(self, contents: Contents, read: ReadSlice) -> None:
        """Put a slice into its series; one on which our own code fails refuses it."""
        try:
            contents.put(read, self._engine.profiles, self._clock())
        except Exception:  # noqa: BLE001 - a bug of ours must disturb no other series
            self._log.exception("taking_in_failed", series_uid=contents.uid)
            contents.fail(self._clock())

    def _judged(self, contents: Contents, now: Instant) -> Completion | None:
        """Judge a series; one on which our own rules fail ends by name, when it is silent."""
        try:
            return contents.judged(now)
        except Exception:  # noqa: BLE001 - a bug of ours must disturb no other series
            if contents.refusal is not FAULT:
                self._log.exception("judging_failed", series_uid=contents.uid)
            contents.refusal = FAULT
            return contents.judged_by_silence(now)

    def _opened(self, uid: str, identity: Identity) -> Contents:
        """Begin a series that is not in memory; one that has a result is read again whole."""
        now = self._clock()
        bundle = self._engine.bundle
        contents = Contents(uid, identity, bundle.digest, now, now, SliceStage(bundle.contract))
        before = self._queries.series(uid)
        if before is None:
            return contents
        contents.n_attempts, contents.repeats = before.attempts, before.repeats
        results = self._queries.history(uid)
        if results:
            contents.answered = {result.result_id: result.revision for result in results}
            with self._shell.held() as board:
                board.commit()  # or files of this turn would be left out
            for path in self._queries.files_of(uid):
                self._read_again(contents, Path(path))
        return contents

    def _read_again(self, contents: Contents, path: Path) -> None:
        try:
            slices = self._reader.read_again(path)
        except SliceRefused as error:
            contents.refuse(error, self._clock())
        except FileRefused as error:
            contents.n_unread += 1
            self._log.info("file_gone_since", series_uid=contents.uid, code=error.reason.code)
        else:
            for each in slices:
                if each.header.series_uid == contents.uid:
                    self._put_slice(contents, each)
