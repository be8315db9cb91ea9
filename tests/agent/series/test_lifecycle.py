"""agent.series.lifecycle: its table, written again by itself, and what holds on every way."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.assemble.completeness import Completion
from agent.reasons import Reason
from agent.records import Instant
from agent.series import lifecycle as life
from agent.series.lifecycle import IllegalMove, moved
from agent.store.effects import Conclude, NoteFile, Settle
from agent.store.rows import FileNote, SeriesProgress
from tests.agent.box import MIDNIGHT
from tests.agent.reports import identity, report

UID = "1.2.3.4"
NOW = Instant(MIDNIGHT, 1000.0)

REFERENCE = """
Absent     FileCame       Receiving  ShowProgress NoteFile
Absent     CopyCame       Receiving  NoteFile
Absent     Adopted        Receiving
Absent     AskedAgain     Receiving  ShowProgress
Absent     AskedInVain    Receiving
Absent     Unreadable     Absent     Decline

Receiving  FileCame       Receiving  ShowProgress NoteFile
Receiving  CopyCame       Receiving  NoteFile
Receiving  SlabsBegun     Receiving  BeginAttempt
Receiving  SlabsDone      Receiving  EndAttempt
Receiving  FoundComplete  Complete

Complete   FileCame       Complete   ShowProgress NoteFile
Complete   CopyCame       Complete   NoteFile
Complete   SlabsBegun     Complete   BeginAttempt
Complete   SlabsDone      Complete   EndAttempt
Complete   NothingNew     Concluded  Settle Restore
Complete   Taken          Analysing  ShowAnalysis BeginAttempt

Analysing  FileCame       Reopened   NoteFile
Analysing  CopyCame       Analysing  NoteFile
Analysing  Answered       Concluded  Conclude Settle

Reopened   FileCame       Reopened   NoteFile
Reopened   CopyCame       Reopened   NoteFile
Reopened   Answered       Receiving  Conclude Settle ShowProgress

Concluded  FileCame       Receiving  ShowProgress NoteFile
Concluded  CopyCame       Concluded  NoteFile
Concluded  FurtherCame    Concluded  NoteFile CountImage
Concluded  AskedAgain     Receiving  ShowProgress
Concluded  AskedInVain    Receiving
Concluded  Unreadable     Concluded  Decline
Concluded  LetGo          Absent
"""
"""State, event, next state, effects. ``AskedInVain`` is an ``AskedAgain`` without progress."""

LEGAL = {
    (row.split()[0], row.split()[1]): (row.split()[2], row.split()[3:])
    for row in REFERENCE.splitlines()
    if row
}


def note(number: int) -> FileNote:
    return FileNote(f"/in/{number}", 10, number, UID, f"{UID}.{number}", None, settled=False)


def progress(slices: int = 1) -> SeriesProgress:
    return SeriesProgress(UID, identity(), "HEAD", None, slices, 0, NOW, NOW)


STATES: dict[str, life.State] = {
    "Absent": life.Absent(UID),
    "Receiving": life.Receiving(UID, (note(1), note(2))),
    "Complete": life.Complete(UID, (note(1), note(2)), Completion("quiet", ""), NOW),
    "Analysing": life.Analysing(UID, (note(1), note(2))),
    "Reopened": life.Reopened(UID, (note(1), note(2)), (note(3),), progress(3)),
    "Concluded": life.Concluded(UID),
}
EVENTS: dict[str, life.Event] = {
    "FileCame": life.FileCame(note(9), progress(9)),
    "CopyCame": life.CopyCame(note(9)),
    "FurtherCame": life.FurtherCame(note(9)),
    "Adopted": life.Adopted(),
    "AskedAgain": life.AskedAgain(progress(9)),
    "AskedInVain": life.AskedAgain(None),
    "Unreadable": life.Unreadable(Reason("files_unreadable", n_files=1)),
    "SlabsBegun": life.SlabsBegun(),
    "SlabsDone": life.SlabsDone(),
    "FoundComplete": life.FoundComplete(Completion("quiet", ""), NOW),
    "NothingNew": life.NothingNew(1),
    "Taken": life.Taken(),
    "Answered": life.Answered(report(UID), {}, ("console",)),
    "LetGo": life.LetGo(),
}


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("state", STATES)
def test_the_table_is_the_one_that_is_written_here(state: str, event: str) -> None:
    if (state, event) not in LEGAL:
        with pytest.raises(IllegalMove, match=f"while {state}"):
            moved(STATES[state], EVENTS[event])
        return

    following, effects = moved(STATES[state], EVENTS[event])

    assert (type(following).__name__, [type(e).__name__ for e in effects]) == LEGAL[state, event]
    assert following.uid == UID


def test_every_state_and_event_stands_in_the_table() -> None:
    assert {type(state) for state in STATES.values()} == set(get_args(life.State))
    assert {type(event) for event in EVENTS.values()} == set(get_args(life.Event))


def frozen(value: Any) -> bool:
    return is_dataclass(value) and value.__dataclass_params__.frozen  # type: ignore[attr-defined]


def test_states_and_events_are_values() -> None:
    assert all(frozen(kind) for kind in (*get_args(life.State), *get_args(life.Event)))
    assert all(frozen(kind) and fields(kind) for kind in get_args(life.Effect))


def test_what_changes_no_result_is_settled_at_once_and_no_other_file_is() -> None:
    for state, event in LEGAL:
        _, effects = moved(STATES[state], EVENTS[event])
        noted = [effect.note for effect in effects if isinstance(effect, NoteFile)]
        at_once = state == "Concluded" and event in ("CopyCame", "FurtherCame")
        assert all(each.settled is at_once for each in noted)


def events_of(state: life.State) -> list[str]:
    return [event for name, event in LEGAL if name == type(state).__name__]


@pytest.mark.slow
@given(st.data())
def test_each_file_is_settled_once_it_is_in_a_result_and_never_before(data: st.DataObject) -> None:
    state: life.State = life.Absent(UID)
    noted: list[FileNote] = []
    in_hand: set[str] = set()
    settled: set[str] = set()

    for number in range(data.draw(st.integers(0, 30))):
        name = data.draw(st.sampled_from(events_of(state)))
        event = EVENTS[name]
        if isinstance(event, life.FileCame | life.CopyCame | life.FurtherCame):
            event = type(event)(note(number), *([progress()] if name == "FileCame" else []))
        if name == "Taken":
            in_hand = {each.path for each in noted} - settled
        before, (state, effects) = state, moved(state, event)
        for effect in effects:
            if isinstance(effect, NoteFile):
                noted.append(effect.note)
                settled |= {effect.note.path} if effect.note.settled else set()
                if isinstance(before, life.Analysing) and name == "CopyCame":
                    in_hand.add(effect.note.path)  # what it holds is in that result
            if isinstance(effect, Settle):
                paths = {each.path for each in effect.notes}
                assert set(effect.notes) <= set(noted)
                assert not paths & settled
                if name == "Answered":
                    assert isinstance(effects[0], Conclude)
                    assert paths == in_hand
                settled |= paths

    open_ones = {each.path for each in noted} - settled
    assert open_ones == {
        each.path for name in ("notes", "late") for each in getattr(state, name, ())
    }
