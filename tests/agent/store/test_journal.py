"""agent.store: one result per series and set of images, first receipts and names stand."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agent.errors import StoreError, StoreUnwritable
from agent.reasons import Reason, english
from agent.records import Instant, State
from agent.report import SeriesReport
from agent.store.effects import (
    BeginAttempt,
    Conclude,
    Effect,
    EndAttempt,
    NoteFile,
    Restore,
    Settle,
    ShowAnalysis,
)
from agent.store.liveness import agent_problem
from agent.store.rows import AgentStatus, FileNote
from tests.agent.box import SetClock
from tests.agent.reports import (
    ENGINE,
    add_result,
    live,
    not_analysed,
    not_suspected,
    receive,
    recorded,
    report,
)
from tests.agent.stored import Store

UID = "1.2.3.4"

ROOMY = 10**12


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def store(tmp_path: Path, clock: SetClock) -> Iterator[Store]:
    with Store(tmp_path / "store.sqlite", clock) as opened:
        yield opened


class PowerCut(BaseException):
    """Ends the process: nothing catches it."""


def test_the_same_result_alerts_once(store: Store, clock: SetClock) -> None:
    receive(store, clock)
    add_result(store, report(), {"axial": b"png"})
    store.agent.commit([ShowAnalysis(UID)])

    with pytest.raises(sqlite3.IntegrityError):
        add_result(store, report(revision=2, result_id=f"{UID} 1"))
    store.agent.commit([Restore(UID, 1)])

    assert len(store.queries.undelivered()) == len(store.queries.history(UID)) == 1
    row = store.queries.series(UID)
    assert row is not None
    assert (row.state, row.revision) == (State.SUSPECTED, 1)
    assert store.queries.picture(UID, 1, "axial") == b"png"


def test_a_revision_supersedes_and_needs_its_own_acknowledgement(
    store: Store, clock: SetClock
) -> None:
    receive(store, clock)
    add_result(store, report())
    store.console.acknowledge(UID, 1, "Ann", "")

    add_result(store, report(revision=2))

    row = store.queries.series(UID)
    assert row is not None
    assert (row.revision, row.acknowledged) == (2, None)
    assert [r.revision for r in store.queries.history(UID)] == [1, 2]


def revised(state: str, revision: int) -> SeriesReport:
    """Return a series' next result."""
    made = {"suspected": report, "not_suspected": not_suspected, "not_analysed": not_analysed}
    changes = {"revision": revision, "result_id": f"{UID} {revision}"}
    return made[state](UID).model_copy(update=changes)


@pytest.mark.parametrize("later", ["not_suspected", "not_analysed"])
def test_a_later_result_does_not_take_an_alert_back(
    store: Store, clock: SetClock, later: str
) -> None:
    receive(store, clock)
    add_result(store, report())
    clock.now_s += 1
    receive(store, clock, "1.9")

    add_result(store, revised(later, 2))

    first, _ = store.queries.worklist(2)
    assert (first.uid, first.state.value) == (UID, later)
    assert first.alert is not None
    assert first.alert.revision == 1
    store.console.acknowledge(UID, 1, "Ann", "")
    assert [row.alert for row in store.queries.worklist(2)] == [None, None]


@pytest.mark.slow
@given(
    st.lists(
        st.sampled_from(["suspected", "not_suspected", "not_analysed"])
        | st.integers(min_value=1, max_value=6)
    )
)
@example(["suspected", "suspected", "not_analysed", 1])
def test_an_alert_waits_until_it_or_a_later_result_is_acknowledged(acts: list[str | int]) -> None:
    clock = SetClock()
    results: list[str] = []
    given_to: set[int] = set()

    with Store(Path(":memory:"), clock) as store:
        receive(store, clock)
        for act in acts:
            if isinstance(act, str):
                results.append(act)
                add_result(store, revised(act, len(results)), channels=())
            elif act <= len(results):
                store.console.acknowledge(UID, act, "Ann", "")
                given_to.add(act)
        row = store.queries.series(UID)

    suspicions = [n for n, state in enumerate(results, start=1) if state == "suspected"]
    waits = bool(suspicions) and max(given_to, default=0) < suspicions[-1]
    assert row is not None
    assert (row.alert.revision if row.alert else None) == (suspicions[-1] if waits else None)


def test_every_change_of_state_is_kept_in_order(store: Store, clock: SetClock) -> None:
    receive(store, clock)
    receive(store, clock)
    store.agent.commit([ShowAnalysis(UID)])
    clock.now_s += 1
    add_result(store, not_analysed(UID), channels=())
    receive(store, clock)

    changes = store.queries.transitions(UID)
    assert [change.state for change in changes] == [
        State.RECEIVING,
        State.ANALYSING,
        State.NOT_ANALYSED,
        State.RECEIVING,
    ]
    assert changes[2].reason == Reason("slices_missing", n_missing=1, below_mm=70.0, above_mm=80.0)
    assert changes[2].at.monotonic_s - changes[1].at.monotonic_s == 1


def test_work_that_did_not_end_is_counted_until_there_is_a_result(
    store: Store, clock: SetClock
) -> None:
    receive(store, clock)
    counted = []
    for effect in (BeginAttempt, EndAttempt, BeginAttempt, BeginAttempt):
        store.agent.commit([effect(UID)])
        counted.append(n_attempts(store))
    add_result(store, report(), channels=())

    assert counted == [1, 0, 1, 2]
    assert n_attempts(store) == 0


def n_attempts(store: Store) -> int:
    row = store.queries.series(UID)
    assert row
    return row.attempts


def test_effects_are_written_all_or_none_and_in_order(store: Store, clock: SetClock) -> None:
    receive(store, clock)
    note = FileNote("/slice", 1, 10, UID, "1.1.1", None, settled=False)

    def cut() -> Iterator[Effect]:
        yield NoteFile(note)
        yield Conclude(report(), {}, ())
        raise PowerCut

    with pytest.raises(PowerCut):
        store.agent.commit(cut())
    assert (store.queries.files_of(UID), store.queries.history(UID)) == ([], [])

    store.agent.commit([NoteFile(note), Conclude(report(), {}, ()), Settle((note,))])
    assert store.queries.settled_files() == {"/slice": (1, 10)}


def test_the_first_acknowledgement_stands(store: Store, clock: SetClock) -> None:
    receive(store, clock)
    add_result(store, report())

    first = store.console.acknowledge(UID, 1, "Ann", "called")
    second = store.console.acknowledge(UID, 1, "Bob", "")

    assert first == second
    assert (second.who, second.note) == ("Ann", "called")


def test_what_has_no_result_cannot_be_acknowledged(store: Store) -> None:
    with pytest.raises(StoreError, match="no result 1"):
        store.console.acknowledge(UID, 1, "Ann", "")


def test_a_result_is_undelivered_until_its_receipt(store: Store, clock: SetClock) -> None:
    receive(store, clock)
    add_result(store, report())

    store.console.receipt(UID, 1, "console")
    clock.now_s += 5
    store.console.receipt(UID, 1, "console")

    row = store.queries.series(UID)
    assert store.queries.undelivered() == []
    assert row is not None
    assert row.shown_at is not None
    assert row.shown_at.monotonic_s == clock.now_s - 5


def test_unacknowledged_suspicions_come_first(store: Store, clock: SetClock) -> None:
    for uid in ("1.1", "1.2", "1.3"):
        clock.now_s += 1
        receive(store, clock, uid)
        add_result(store, report(uid) if uid != "1.3" else not_suspected(uid), channels=())
    store.console.acknowledge("1.2", 1, "Ann", "")

    assert [row.uid for row in store.queries.worklist(10)] == ["1.1", "1.3", "1.2"]


def test_no_unacknowledged_suspicion_falls_off_the_worklist(store: Store, clock: SetClock) -> None:
    for number in range(6):
        clock.now_s += 1
        receive(store, clock, f"1.{number}")
        if number < 3:
            add_result(store, report(f"1.{number}"), channels=())
    receive(store, clock, "1.0")

    listed = [row.uid for row in store.queries.worklist(2)]

    assert set(listed[:3]) == {"1.0", "1.1", "1.2"}


def test_only_files_in_a_result_and_refused_ones_are_settled(store: Store, clock: SetClock) -> None:
    notes = [
        FileNote("/done", 1, 10, "1.1", "1.1.1", None, settled=False),
        FileNote("/late", 1, 10, "1.1", "1.1.2", None, settled=False),
        FileNote("/open", 2, 20, "1.2", "1.2.1", None, settled=False),
        FileNote("/text", 3, 30, None, None, Reason("not_dicom"), settled=True),
    ]
    store.agent.commit(map(NoteFile, notes))
    receive(store, clock, "1.1")
    receive(store, clock, "1.2")
    add_result(store, report("1.1"), channels=())
    older = replace(notes[2], mtime_ns=19)
    store.agent.commit([Settle((notes[0], older))])

    assert store.queries.settled_files() == {"/done": (1, 10), "/text": (3, 30)}
    assert store.queries.unfinished() == ["1.2"]
    assert store.queries.files_of("1.2") == ["/open"]


@pytest.mark.parametrize(
    ("part", "found"),
    [
        ("1.22", ["1.22"]),
        ("22", ["1.22"]),
        ("1.", ["1.11", "1.22", "1.2"]),
        ("1.2", ["1.2"]),
        ("9.9", []),
        ("1.2.3", ["1.11", "1.22", "1.2"]),
    ],
    ids=["whole", "end", "beginning", "whole-though-another-begins-so", "none", "study"],
)
def test_series_are_found_by_their_or_their_studys_uid(
    store: Store, clock: SetClock, part: str, found: list[str]
) -> None:
    for uid in ("1.11", "1.22", "1.2"):
        clock.now_s += 1
        receive(store, clock, uid)

    assert [row.uid for row in store.queries.find(part)] == found


def test_a_full_disk_is_told_as_such_and_later_writes_go_on(store: Store) -> None:
    store.pragma("max_page_count", "30")

    with pytest.raises(StoreUnwritable, match="full"):
        store.agent.notice("large", recorded("x" * 1_000_000))

    store.pragma("max_page_count", "3000")
    store.agent.notice("small", recorded("x"))
    assert [notice.kind for notice in store.queries.notices(5)] == ["small"]


def test_a_commit_of_another_process_changes_the_mark(
    store: Store, clock: SetClock, tmp_path: Path
) -> None:
    with Store(tmp_path / "store.sqlite", clock) as other:
        before = store.queries.change_mark()
        assert store.queries.change_mark() == before

        receive(other, clock)

        assert store.queries.change_mark() != before


@pytest.mark.slow
def test_a_thousand_notices_are_kept(store: Store) -> None:
    for number in range(1010):
        store.agent.notice("file_refused", recorded(str(number)))

    notices = store.queries.notices(5000)
    assert len(notices) == 1000
    assert notices[0].reason == recorded("1009")


@pytest.mark.parametrize(
    ("silent_s", "boot", "folder_problem", "words"),
    [
        (0.0, "this", None, None),
        (4.0, "this", None, None),
        (6.0, "this", None, "not running"),
        (0.0, "other", None, "since this computer was started"),
        (0.0, "this", "/srv: gone", "export folder unreachable: /srv: gone"),
    ],
    ids=["fresh", "slow", "silent", "rebooted", "folder-gone"],
)
def test_liveness(
    store: Store,
    clock: SetClock,
    silent_s: float,
    boot: str,
    folder_problem: str | None,
    words: str | None,
) -> None:
    live(store, clock, folder_problem, boot)
    clock.now_s += silent_s

    problem = agent_problem(store.queries.agent_status(), clock(), "this", ROOMY)

    assert (problem is None) == (words is None)
    assert problem is None or (words or "") in english(problem)


def test_an_agent_that_never_ran_is_a_problem(store: Store, clock: SetClock) -> None:
    problem = agent_problem(store.queries.agent_status(), clock(), "this", ROOMY)

    assert problem == Reason("agent_never_ran")


def test_a_full_disk_is_a_problem_whether_or_not_the_agent_lives(
    store: Store, clock: SetClock
) -> None:
    live(store, clock, boot="this")
    alive = agent_problem(store.queries.agent_status(), clock(), "this", 1000)
    clock.now_s += 60

    silent = agent_problem(store.queries.agent_status(), clock(), "this", 1000)

    assert alive == silent == Reason("store_disk_full", free_mib=0)


def test_a_jump_of_the_wall_clock_is_no_death(store: Store, clock: SetClock) -> None:
    live(store, clock, boot="this")
    jumped = Instant(clock().utc + timedelta(days=400), clock.now_s)

    assert agent_problem(store.queries.agent_status(), jumped, "this", ROOMY) is None


def test_a_sign_of_life_comes_back_as_it_was_given(store: Store, clock: SetClock) -> None:
    status = AgentStatus(
        pid=7,
        boot_id="this",
        at=clock(),
        started=clock(),
        folder="/srv/ct-export",
        folder_problem=None,
        engine=ENGINE,
        degraded=Reason("degraded_to_cpu", why=Reason("no_gpu", why="no device")),
        receiving=1,
        queued=2,
    )

    store.agent.heartbeat(status)

    assert store.queries.agent_status() == status


WRITE = """
import sys
from pathlib import Path
from agent.reasons import Reason
from agent.store.effects import NoteFile
from agent.store.rows import FileNote
from tests.agent.stored import Store
from agent.wiring import system_clock
store = Store(Path(sys.argv[1]), system_clock)
for number in range(100_000):
    note = FileNote(str(number), 0, 0, None, None, Reason("not_dicom"), True)
    store.agent.commit([NoteFile(note)])
    print(number, flush=True)
"""


@pytest.mark.slow
def test_what_a_call_returned_from_survives_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "killed.sqlite"
    with subprocess.Popen(
        [sys.executable, "-c", WRITE, str(path)], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout
        returned = [int(writer.stdout.readline()) for _ in range(25)]
        writer.kill()
        returned += [int(line) for line in writer.stdout if line.endswith("\n")]

    database = sqlite3.connect(path)
    assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    kept = {int(path) for (path,) in database.execute("SELECT path FROM files")}
    database.close()
    assert set(returned) <= kept
