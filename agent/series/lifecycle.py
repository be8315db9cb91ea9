"""The life of one series, as a table: (state, event) → (state, effects). Values, nothing else.

A scanner never says which file is the last. A series is therefore *found* complete, by evidence,
and whatever comes later makes a new revision. Three rules follow, and the states are these rules:

1. A result answers for a fixed set of images. It is closed when the networks take the series on
   (``Analysing``); a file that comes meanwhile belongs to the next revision (``Reopened``).
2. A file is settled, so that no restarted agent reads it again, by the result that holds its images
   and in the same transaction. Only a file that was noted can be: states hold notes, not paths.
3. Memory may be lost at any instant. All that must survive is an effect; whoever is killed between
   two events finds unfinished series in the store (``Adopted``), unsettled files in the folder.

Whether a file brings anything new is for its reader to say (``FileCame`` or ``CopyCame``), whether
what is in hand has a result already, for the store (``NothingNew``). A pair that is not in the
table is a bug of ours: ``IllegalMove``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

from agent.assemble.completeness import Completion
from agent.reasons import Reason
from agent.records import Instant
from agent.report import SeriesReport
from agent.sources import Sources
from agent.store.effects import (
    BeginAttempt,
    Conclude,
    CountImage,
    Decline,
    Effect,
    EndAttempt,
    NoteFile,
    Restore,
    Settle,
    ShowAnalysis,
    ShowProgress,
)
from agent.store.rows import FileNote, SeriesProgress

Notes: TypeAlias = tuple[FileNote, ...]


@dataclass(frozen=True, slots=True)
class Absent:
    """Nothing of it is in memory: it is new, or was concluded long ago or by another process."""

    uid: str


@dataclass(frozen=True, slots=True)
class Receiving:
    """Files come; ``notes`` are those that are in no result yet."""

    uid: str
    notes: Notes


@dataclass(frozen=True, slots=True)
class Complete:
    """Found complete, it waits for the networks; what comes until they take it is still in time."""

    uid: str
    notes: Notes
    completion: Completion
    at: Instant


@dataclass(frozen=True, slots=True)
class Analysing:
    """Its images are fixed, and the networks are at work; ``notes`` are what these came in."""

    uid: str
    notes: Notes


@dataclass(frozen=True, slots=True)
class Reopened:
    """As ``Analysing``; but the files ``late`` came too late, and need a result of their own.

    ``progress`` is how far the series is with them.
    """

    uid: str
    notes: Notes
    late: Notes
    progress: SeriesProgress


@dataclass(frozen=True, slots=True)
class Concluded:
    """It has its result, and what is in that is still known: a copy costs no reading."""

    uid: str


State: TypeAlias = Absent | Receiving | Complete | Analysing | Reopened | Concluded


@dataclass(frozen=True, slots=True)
class FileCame:
    """A file with something new for the next result: an image, a correction or a refusal."""

    note: FileNote
    progress: SeriesProgress


@dataclass(frozen=True, slots=True)
class CopyCame:
    """A file with nothing that is not in a result, or in the one that is being made."""

    note: FileNote


@dataclass(frozen=True, slots=True)
class FurtherCame:
    """A file with a further image of a series whose headers refuse whatever comes of it."""

    note: FileNote


@dataclass(frozen=True, slots=True)
class Adopted:
    """An earlier process left it unfinished."""


@dataclass(frozen=True, slots=True)
class AskedAgain:
    """A service engineer wants it analysed again, and all its files have been read again.

    ``progress`` is None where these give the result that it has.
    """

    progress: SeriesProgress | None


@dataclass(frozen=True, slots=True)
class Unreadable:
    """It was asked for again, and not all its files can still be read."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class SlabsBegun:
    """The networks are about to run on what has come so far."""


@dataclass(frozen=True, slots=True)
class SlabsDone:
    """They did, and the process lives."""


@dataclass(frozen=True, slots=True)
class FoundComplete:
    """A rule of completeness holds, since ``at``."""

    completion: Completion
    at: Instant


@dataclass(frozen=True, slots=True)
class NothingNew:
    """What is in hand is what the result ``revision`` was made from."""

    revision: int


@dataclass(frozen=True, slots=True)
class Taken:
    """The networks take it on."""


@dataclass(frozen=True, slots=True)
class Answered:
    """There is a result; ``pictures`` are PNG by view."""

    report: SeriesReport
    pictures: Mapping[str, bytes]
    channels: tuple[str, ...]
    sources: Sources | None = None


@dataclass(frozen=True, slots=True)
class LetGo:
    """Its room in memory is given to others."""


Event: TypeAlias = (
    FileCame
    | CopyCame
    | FurtherCame
    | Adopted
    | AskedAgain
    | Unreadable
    | SlabsBegun
    | SlabsDone
    | FoundComplete
    | NothingNew
    | Taken
    | Answered
    | LetGo
)

Move: TypeAlias = tuple[State, tuple[Effect, ...]]


class IllegalMove(Exception):
    """An event that cannot come in this state did."""

    def __init__(self, state: State, event: Event) -> None:
        """Name both, without what they carry."""
        super().__init__(f"{type(event).__name__} while {type(state).__name__}")


def moved(state: State, event: Event) -> Move:  # noqa: C901, PLR0911, PLR0912 - a table
    """Return what becomes of a series, and what is to be written of it; IllegalMove if nothing."""
    uid = state.uid
    match state, event:
        case (Absent() | Concluded(), FileCame(note, progress)):
            return Receiving(uid, (note,)), (ShowProgress(progress), NoteFile(note))
        case (Absent(), CopyCame(note)):
            return Receiving(uid, (note,)), (NoteFile(note),)
        case (Absent(), Adopted()):
            return Receiving(uid, ()), ()
        case (Absent() | Concluded(), AskedAgain(None)):
            return Receiving(uid, ()), ()
        case (Absent() | Concluded(), AskedAgain(SeriesProgress() as progress)):
            return Receiving(uid, ()), (ShowProgress(progress),)
        case (Absent() | Concluded(), Unreadable(reason)):
            return state, (Decline(uid, reason),)
        case (Concluded(), CopyCame(note)):
            return state, (NoteFile(replace(note, settled=True)),)
        case (Concluded(), FurtherCame(note)):
            return state, (NoteFile(replace(note, settled=True)), CountImage(uid))
        case (Concluded(), LetGo()):
            return Absent(uid), ()

        case (Receiving(_, notes) | Complete(_, notes), FileCame(note, progress)):
            return replace(state, notes=(*notes, note)), (ShowProgress(progress), NoteFile(note))
        case (Receiving(_, notes) | Complete(_, notes), CopyCame(note)):
            return replace(state, notes=(*notes, note)), (NoteFile(note),)
        case (Receiving() | Complete(), SlabsBegun()):
            return state, (BeginAttempt(uid),)
        case (Receiving() | Complete(), SlabsDone()):
            return state, (EndAttempt(uid),)
        case (Receiving(_, notes), FoundComplete(completion, at)):
            return Complete(uid, notes, completion, at), ()
        case (Complete(_, notes), NothingNew(revision)):
            return Concluded(uid), (Settle(notes), Restore(uid, revision))
        case (Complete(_, notes), Taken()):
            return Analysing(uid, notes), (ShowAnalysis(uid), BeginAttempt(uid))

        case (Analysing(_, notes), CopyCame(note)):
            return Analysing(uid, (*notes, note)), (NoteFile(note),)
        case (Analysing(_, notes), FileCame(note, progress)):
            return Reopened(uid, notes, (note,), progress), (NoteFile(note),)
        case (Reopened(_, notes, late, _), FileCame(note, progress)):
            return Reopened(uid, notes, (*late, note), progress), (NoteFile(note),)
        case (Reopened(_, notes, late, progress), CopyCame(note)):
            return Reopened(uid, notes, (*late, note), progress), (NoteFile(note),)
        case (Analysing(_, notes), Answered() as answer):
            return Concluded(uid), (concluded_by(answer), Settle(notes))
        case (Reopened(_, notes, late, progress), Answered() as answer):
            concluded = concluded_by(answer), Settle(notes)
            return Receiving(uid, late), (*concluded, ShowProgress(progress))
    raise IllegalMove(state, event)


def concluded_by(answer: Answered) -> Conclude:
    """Return what is written of an answer."""
    return Conclude(answer.report, answer.pictures, answer.channels, answer.sources)
