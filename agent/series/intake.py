"""The thread that reads files: puts arrivals into their series and finds which are complete."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import Final, TypeAlias

from structlog.typing import FilteringBoundLogger

from agent.assemble.completeness import Completion
from agent.assemble.dicom_file import ReadSlice
from agent.assemble.header import Owner, SliceRefused, SliceUnneeded, SliceUnplaced
from agent.assemble.protocol import choose
from agent.assemble.series import digest_of
from agent.errors import FileRefused, NotEligible, NotWholeYet
from agent.infer.slice_stage import SliceStage
from agent.pipeline import Resources
from agent.reasons import Reason
from agent.records import (
    PRIOR_MARK,
    Arrival,
    Clock,
    Identity,
    Instant,
    SliceHeader,
    is_new,
    is_prior,
)
from agent.series.contents import FAULT, Contents
from agent.series.lifecycle import (
    Absent,
    Adopted,
    Analysing,
    AskedAgain,
    Complete,
    Concluded,
    CopyCame,
    FoundComplete,
    Receiving,
    Reopened,
    Unreadable,
)
from agent.series.reader import Reader, note_of
from agent.series.shell import Shell
from agent.store.rows import FileNote, SeriesRow

FILES_PER_TURN: Final = 16
"""Files that are read before what came of them is written, and others have their turn. Ours: one
write to a disk takes as long as reading several."""


UNHURRIED_FILES: Final = 8 * FILES_PER_TURN
"""Files read in one go of a folder in which headers rule everything out. Others come in between."""

UNHURRIED_SHARE: Final = 0.02
"""Share of the thread's time for such files while a head is under way. Ours: a perfusion of
400 images a second would else take a third of a core from the networks; this looks at some thirty
files a second, the newest, so that another head in the same folder is noticed."""

KNOWN_FOLDERS: Final = 1000
"""Folders for which it is remembered whether headers ruled out all that came. Ours."""

BY_SILENCE: Final = frozenset({"geometry", "quiet"})
"""Rules that a scanner's procedure step may hold back, where it lists more images than came."""


NotWhole: TypeAlias = dict[Path, NotWholeYet]
"""Files that are to be handed in again, and why."""


class Intake:
    """Reads what arrives into its series. All of it is one thread's."""

    def __init__(
        self,
        resources: Resources,
        shell: Shell,
        reader: Reader,
        clock: Clock,
        log: FilteringBoundLogger,
    ) -> None:
        """Work with these."""
        self._resources = resources
        self._queries = shell.queries
        self._shell = shell
        self._reader = reader
        self._clock = clock
        self._log = log
        self._unhurried: list[Arrival] = []
        self._taken_back: list[Arrival] = []
        self._fetched: list[Arrival] = []
        self._unhurried_from_s = float("-inf")
        self._only_ruled_out: dict[Path, bool] = {}
        """By folder: whether all images that came in it were ruled out by their headers."""

    def adopt(self, rows: Iterable[SeriesRow]) -> None:
        """Take up the series that an earlier process left unfinished.

        Files that are in no result are read as they arrive; if none does, it still ends by name.
        """
        for row in rows:
            contents = self._opened(row.uid, row.identity)
            self._note_gone(contents)
            with self._shell.held() as board:
                board.begin(contents, Adopted())

    def _note_gone(self, contents: Contents) -> None:
        """Take note of the files that an unfinished series came in and that are there no more."""
        notes = [note for note in self._queries.notes_of(contents.uid) if not note.settled]
        gone = [note for note in notes if not Path(note.path).exists()]
        if len(gone) < len(notes):
            for note in gone:
                owner = Owner(contents.uid, note.sop_uid or "", contents.identity)
                contents.leave_out(SliceRefused(Reason("file_gone"), owner), self._clock())

    def read(self, arrivals: Iterable[Arrival]) -> Iterator[NotWhole]:
        """Read files into their series, some at each step, then find which series are complete.

        Each step gives the files that are not whole yet, and why. That nothing more has come of a
        series is judged only here, after all that had arrived is read: a slice that is still unread
        is no missing slice. Only files of a folder in which headers ruled everything out may have
        to wait, so that they delay no head's answer, until one of them is not ruled out; and those
        of earlier examinations, which are judged once all of them are read.
        """
        yield from self._turns(self._hurried(arrivals))
        yield from self._read_unhurried()
        yield from self._read_fetched()
        taken_back, self._taken_back = self._taken_back, []
        yield from self._turns(taken_back)
        now = self._clock()
        self._reader.name_overdue(now.monotonic_s)
        with self._shell.held() as board:
            for one in board.in_state(Receiving):
                if self._fetched and is_prior(one.state.uid):
                    continue
                completion = self._judged(one.contents, now) if one.contents else None
                if completion:
                    board.move(one, FoundComplete(completion, now))

    def _hurried(self, arrivals: Iterable[Arrival]) -> Iterator[Arrival]:
        """Give the files that are to be read at once; the others are put aside."""
        for arrival in arrivals:
            if self._reader.mark_of(arrival.path) == PRIOR_MARK:
                self._fetched.append(arrival)
            elif self._only_ruled_out.get(arrival.path.parent):
                self._unhurried.append(arrival)
            else:
                yield arrival

    def _read_unhurried(self) -> Iterator[NotWhole]:
        """Read the newest of the files that may wait; few while a head is under way."""
        began_s = self._clock().monotonic_s
        is_busy = self._is_head_under_way()
        if not self._unhurried or (is_busy and began_s < self._unhurried_from_s):
            return
        n_most = FILES_PER_TURN if is_busy else UNHURRIED_FILES
        newest = self._unhurried[-n_most:]
        del self._unhurried[-n_most:]
        yield from self._turns(newest)
        ended_s = self._clock().monotonic_s
        self._unhurried_from_s = ended_s + (ended_s - began_s) * (1 / UNHURRIED_SHARE - 1)

    def _read_fetched(self) -> Iterator[NotWhole]:
        """Read some files of an earlier examination, none while a head is under way."""
        if self._fetched and not self._is_head_under_way():
            some, self._fetched = self._fetched[:FILES_PER_TURN], self._fetched[FILES_PER_TURN:]
            yield from self._turns(some)

    def _is_head_under_way(self) -> bool:
        with self._shell.held() as board:
            under_way = board.in_state(Receiving, Complete, Analysing, Reopened)
            heads = (one.contents for one in under_way if is_new(one.state.uid))
            return any(contents and contents.profile for contents in heads)

    def read_once(self, arrivals: Iterable[Arrival]) -> NotWhole:
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
                    again = replace(  # it is read now, and came when it came
                        contents.progress(), first_slice=row.first_slice, last_slice=row.last_slice
                    )
                    board.begin(contents, AskedAgain(None if is_known else again))
                board.commit()

    def _turns(self, arrivals: Iterable[Arrival]) -> Iterator[NotWhole]:
        waiting = iter(arrivals)
        for first in waiting:
            not_whole: NotWhole = {}
            for arrival in chain([first], islice(waiting, FILES_PER_TURN - 1)):
                try:
                    self._read(arrival)
                except NotWholeYet as error:
                    not_whole[arrival.path] = error
            with self._shell.held() as board:
                board.commit()
            yield not_whole

    def _read(self, arrival: Arrival) -> None:
        """Read a file into its series, or note why it is in none; NotWholeYet while it grows."""
        try:
            slices = self._reader.read(arrival, self._unneeded)
        except SliceUnneeded as image:
            self._came_in(arrival.path.parent, ruled_out=True)
            self._rule_out(arrival, image)
        except SliceRefused as refusal:
            self._came_in(arrival.path.parent, ruled_out=False)
            self._leave_out(arrival, refusal)
            if isinstance(refusal, NotWholeYet):
                raise
        except NotWholeYet:
            raise
        except FileRefused as refusal:
            with self._shell.held() as board:
                board.note(note_of(arrival, refusal=refusal.reason))
        else:
            self._came_in(arrival.path.parent, ruled_out=False)
            self._put(arrival, slices)

    def _came_in(self, folder: Path, *, ruled_out: bool) -> None:
        """Take note of what came in a folder; the oldest notes are forgotten.

        Where the first image comes that is not ruled out, the folder's others wait no more.
        """
        only_ruled_out = self._only_ruled_out.pop(folder, True)
        self._only_ruled_out[folder] = only_ruled_out and ruled_out
        if only_ruled_out and not ruled_out:
            self._taken_back += [one for one in self._unhurried if one.path.parent == folder]
            self._unhurried = [one for one in self._unhurried if one.path.parent != folder]
        if len(self._only_ruled_out) > KNOWN_FOLDERS:
            del self._only_ruled_out[next(iter(self._only_ruled_out))]

    def _put(self, arrival: Arrival, slices: tuple[ReadSlice, ...]) -> None:
        """Put one file's slices into their series, unless they are copies of what is there."""
        header = slices[0].header
        note = note_of(arrival, header.series_uid, header.sop_uid)
        headers = [each.header for each in slices]
        digests = {each.sop_uid: digest_of(each.digest, each.identity) for each in headers}
        with self._shell.held() as board:
            if board.is_copy(header.series_uid, digests):
                board.move(board.of(header.series_uid), CopyCame(note))
                return

        def put(contents: Contents) -> None:
            for each in slices:
                self._put_slice(contents, each, arrival.path)

        self._take_in(header.series_uid, header.identity, note, put)

    def _unneeded(self, uid: str, header: SliceHeader) -> Reason | None:
        """Say why no more of an image is to be read: its series is too large, or it is no head."""
        with self._shell.held() as board:
            refused = board.refusal_for_size(uid)
        if refused is not None:
            return refused
        try:
            choose([header], self._resources.profiles)
        except NotEligible as error:
            return error.reason
        except Exception:  # noqa: BLE001 - the same fails, and is logged, when the slice is put in
            return None
        return None

    def _rule_out(self, arrival: Arrival, image: SliceUnneeded) -> None:
        """Take note of an image whose pixels nobody needs."""
        uid, sop_uid, identity = image.owner
        note = note_of(arrival, uid, sop_uid)
        with self._shell.held() as board:
            if board.is_copy(uid, {sop_uid: digest_of(image.header.digest, identity)}):
                board.move(board.of(uid), CopyCame(note))
                return
            if board.is_refused_for(uid, image.reason.code):
                board.move_by_further(uid, note)
                return
        self._take_in(uid, identity, note, lambda all_: all_.rule_out(image, self._clock()))

    def _leave_out(self, arrival: Arrival, refusal: SliceRefused) -> None:
        """Take note of a file that belongs to a series and is no slice of it."""
        uid, sop_uid, identity = refusal.owner
        why = None if isinstance(refusal, SliceUnplaced) else refusal.reason
        note = note_of(arrival, uid, sop_uid, refusal=why)
        self._take_in(uid, identity, note, lambda all_: all_.leave_out(refusal, self._clock()))

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

    def _put_slice(self, contents: Contents, read: ReadSlice, path: Path) -> None:
        """Put a slice into its series; one on which our own code fails refuses it."""
        try:
            contents.put(read, path, self._resources.profiles, self._clock())
        except Exception:  # noqa: BLE001 - a bug of ours must disturb no other series
            self._log.exception("taking_in_failed", series_uid=contents.uid)
            contents.fail(self._clock())

    def _judged(self, contents: Contents, now: Instant) -> Completion | None:
        """Judge a series; one on which our own rules fail ends by name, when it is silent."""
        try:
            completion = contents.judged(now)
            if completion and completion.rule in BY_SILENCE:
                return contents.judged(now, self._queries.performed_images(contents.uid))
        except Exception:  # noqa: BLE001 - a bug of ours must disturb no other series
            if contents.refusal is not FAULT:
                self._log.exception("judging_failed", series_uid=contents.uid)
            contents.refusal = FAULT
            return contents.judged_by_silence(now)
        return completion

    def _opened(self, uid: str, identity: Identity) -> Contents:
        """Begin a series that is not in memory; one that has a result is read again whole."""
        now = self._clock()
        bundle = self._resources.bundle
        stage = SliceStage(bundle.contract)
        contents = Contents(
            uid, identity, bundle.digest, now, now, stage, self._shell.bounds, identity
        )
        before = self._queries.series(uid)
        if before is None:
            return contents
        contents.n_attempts, contents.repeats = before.attempts, before.repeats
        contents.identity = contents.stored_identity = before.identity
        results = self._queries.history(uid)
        if results:
            contents.answered = {result.result_id: result.revision for result in results}
            with self._shell.held() as board:
                board.commit()  # or files of this turn would be left out
            self._read_all_again(contents)
        return contents

    def _read_all_again(self, contents: Contents) -> None:
        """Read again all files that a series came in; one that is gone is an image unread."""
        gone: list[SliceRefused] = []
        for note in self._queries.notes_of(contents.uid):
            try:
                self._read_again(contents, Path(note.path))
            except FileRefused as error:
                owner = Owner(contents.uid, note.sop_uid or "", contents.identity)
                gone.append(SliceRefused(error.reason, owner))
        for each in gone:
            if not contents.slices.has(each.owner.sop_uid):
                contents.n_unread += 1
                contents.leave_out(each, self._clock())
                self._log.info("file_gone_since", series_uid=contents.uid, code=each.reason.code)

    def _read_again(self, contents: Contents, path: Path) -> None:
        """Read a file again into its series; FileRefused where it does not name one."""
        try:
            slices = self._reader.read_again(path, self._unneeded)
        except SliceUnneeded as image:
            contents.rule_out(image, self._clock())
        except SliceRefused as error:
            contents.leave_out(error, self._clock())
        else:
            for each in slices:
                if each.header.series_uid == contents.uid:
                    self._put_slice(contents, each, path)
