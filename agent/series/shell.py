"""All series in memory, moved through the table of their life behind one lock.

The thread that reads files and the one that owns the networks meet here, and nowhere else. The lock
is never held while a file is read or a network runs; what it guards is out of reach without it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from agent.assemble.bounds import Bounds
from agent.assemble.completeness import Completion
from agent.reasons import Reason
from agent.records import Instant, is_prior
from agent.series.contents import Contents
from agent.series.lifecycle import (
    Absent,
    Analysing,
    Complete,
    Concluded,
    CopyCame,
    Event,
    FileCame,
    FoundComplete,
    FurtherCame,
    LetGo,
    Receiving,
    Reopened,
    State,
    moved,
)
from agent.store.agent_store import AgentStore
from agent.store.effects import Effect, NoteFile
from agent.store.rows import FileNote

REMEMBERED_SERIES: Final = 200
"""Concluded series whose digests are kept, so that a copy costs a look-up and no reading. Ours."""


@dataclass(slots=True)
class InMemory:
    """One series: where it stands, and what has come of it.

    ``contents`` are None once it is concluded; its ``digests`` (SOP UID → digest) remain, and the
    code that its headers were ``refused_for``, if all of them were: ``further`` are the SOP UIDs of
    images that came since and are refused for it too. ``later`` are the contents of the next
    revision, while the networks have the others.
    """

    state: State
    contents: Contents | None = None
    later: Contents | None = None
    digests: Mapping[str, str] = field(default_factory=dict)
    refused_for: str | None = None
    further: set[str] = field(default_factory=set)


class Board:
    """The series in memory, and the effects that are still to be written."""

    def __init__(self, store: AgentStore, bounds: Bounds) -> None:
        """Begin with no series."""
        self._store = store
        self._bounds = bounds
        self._series: dict[str, InMemory] = {}
        self._effects: list[Effect] = []

    def of(self, uid: str) -> InMemory:
        """Return a series; one of which nothing is in memory is ``Absent``."""
        return self._series.get(uid) or InMemory(Absent(uid))

    def in_state(self, *kinds: type[State]) -> list[InMemory]:
        """Return the series in any of these states, first the one that has been in it longest."""
        return [one for one in self._series.values() if isinstance(one.state, kinds)]

    def growing(self) -> list[Contents]:
        """Return what has come of each series that the networks may run ahead on."""
        return [one.contents for one in self.in_state(Receiving, Complete) if one.contents]

    def move(self, one: InMemory, event: Event) -> None:
        """Move a series on. Its effects are written by the next ``commit``, in one transaction."""
        before, (one.state, effects) = one.state, moved(one.state, event)
        self._effects += effects
        if type(one.state) is not type(before):
            self._series[before.uid] = self._series.pop(before.uid, one)
        match one.state:
            case Receiving() if one.later:
                one.contents, one.later = one.later, None
            case Concluded() if one.contents:
                one.digests, one.refused_for = one.contents.digests, one.contents.refused_for
                one.contents, one.further = None, set()
                self._let_go()
            case Absent():
                self._series.pop(before.uid, None)

    def _let_go(self) -> None:
        for one in self.in_state(Concluded)[:-REMEMBERED_SERIES]:
            self.move(one, LetGo())

    def begin(self, contents: Contents, event: Event) -> None:
        """Move a series of which nothing was in hand on, with these contents."""
        one = self.of(contents.uid)
        one.contents = contents
        self.move(one, event)

    def end_all(self, completion: Completion, now: Instant) -> None:
        """Find every series complete that is being received."""
        for one in self.in_state(Receiving):
            self.move(one, FoundComplete(completion, now))

    def note(self, note: FileNote) -> None:
        """Have a file that belongs to no series noted."""
        self._effects.append(NoteFile(note))

    def commit(self) -> None:
        """Write all effects so far; StoreUnwritable if they cannot be."""
        self._store.commit(self._effects)
        self._effects = []

    def is_copy(self, uid: str, digests: Mapping[str, str]) -> bool:
        """Say whether images (SOP UID → digest) are in the latest result, or the one being made."""
        one = self.of(uid)
        match one.state:
            case Concluded():
                known = one.digests
            case Analysing() if one.contents:
                known = one.contents.digests
            case _:
                return False
        return digests.items() <= known.items()

    def is_refused_for(self, uid: str, code: str) -> bool:
        """Say whether a series was concluded because of all its headers, for the reason ``code``.

        A further image that is refused for it as well changes nothing, and the others need not be
        read again to know that.
        """
        one = self.of(uid)
        return isinstance(one.state, Concluded) and one.refused_for == code

    def move_by_further(self, uid: str, note: FileNote) -> None:
        """Take note of an image as of ``is_refused_for``; each counts once."""
        one, sop_uid = self.of(uid), note.sop_uid or ""
        self.move(one, CopyCame(note) if sop_uid in one.further else FurtherCame(note))
        one.further.add(sop_uid)

    def take_in(
        self,
        uid: str,
        note: FileNote,
        put: Callable[[Contents], None],
        now: Instant,
        opened: Contents | None = None,
    ) -> bool:
        """Put a file into what is in hand of its series, else into ``opened``; False without both.

        What comes while the networks have the series goes on in contents of their own.
        """
        one = self.of(uid)
        contents = one.later or one.contents or opened
        if contents is None:
            return False
        if isinstance(one.state, Analysing):
            contents = contents.taken_up(now)
        put(contents)
        event = came(note, contents)
        if isinstance(one.state, Analysing | Reopened):
            one.later = contents if isinstance(event, FileCame) else one.later
        else:
            one.contents = contents
        self.move(one, event)
        self._make_room()
        return True

    def refusal_for_size(self, uid: str) -> Reason | None:
        """Say why no more pixels of a series are to be read, None where they are."""
        one = self.of(uid)
        contents = one.later or one.contents
        return contents.too_large if contents else None

    @property
    def pixels_bytes(self) -> int:
        """How much the pixels of all series take."""
        held = [each for one in self._series.values() for each in (one.contents, one.later) if each]
        return sum(each.slices.pixels_bytes for each in held)

    def _make_room(self) -> None:
        """Where all pixels take too much memory, let go of the largest growing series' own.

        Of what was fetched first.
        """
        objection = self._bounds.objection_to_all(self.pixels_bytes)
        if objection is not None:
            growing = [one.later or one.contents for one in self.in_state(Receiving, Reopened)]
            largest = max(
                filter(None, growing),
                key=lambda each: (is_prior(each.uid), each.slices.pixels_bytes),
            )
            largest.give_up(objection)


def came(note: FileNote, contents: Contents) -> FileCame | CopyCame:
    """Say what a file that is now in the contents has brought."""
    if contents.known_revision is not None and contents.stored_identity == contents.identity:
        return CopyCame(note)
    contents.stored_identity = contents.identity
    return FileCame(note, contents.progress())


class Shell:
    """Guards the board: whoever holds it, holds it alone."""

    def __init__(self, store: AgentStore, bounds: Bounds) -> None:
        """Begin with no series."""
        self.bounds = bounds
        self.queries = store.queries
        self._lock = threading.Lock()
        self._board = Board(store, bounds)

    @contextmanager
    def held(self) -> Iterator[Board]:
        """Hold the board while the block runs."""
        with self._lock:
            yield self._board

    @property
    def counts(self) -> tuple[int, int]:
        """Series that are receiving, and those that wait for the networks."""
        with self.held() as board:
            return len(board.in_state(Receiving, Reopened)), len(board.in_state(Complete))

    @property
    def at_rest(self) -> bool:
        """Whether no series is under way."""
        with self.held() as board:
            return not board.in_state(Receiving, Complete, Analysing, Reopened)
