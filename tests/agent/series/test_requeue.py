"""A series that a service engineer asks for again: by the box's parts, and by the real program."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent.reasons import Reason
from agent.records import State
from agent.store.effects import BeginAttempt
from tests.agent.box import Box
from tests.heads import SEEING_BUNDLE, SeeingBackend
from tests.phantoms import uid, write_series
from tests.program import Program, until
from tests.tiny import BUNDLE, write_engines, write_tiny_bundle

pytestmark = pytest.mark.slow

UID = uid("series", 0)


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path / "store.sqlite", SEEING_BUNDLE, SeeingBackend(SEEING_BUNDLE))


def ask(box: Box) -> None:
    assert box.store.console.request(UID)
    box.agent.intake.open_requested()
    box.wait()


def n_alerts(box: Box) -> int:
    return len(box.store.queries.undelivered())


def test_a_concluded_series_gives_the_same_result_and_alerts_nobody_again(
    box: Box, tmp_path: Path
) -> None:
    box.export(write_series(tmp_path / "in", 24, size=128))
    box.wait()
    before, alerts = box.report(), n_alerts(box)
    assert before.state == "suspected"

    ask(box)

    assert box.store.queries.history(UID) == [before]
    assert n_alerts(box) == alerts
    assert box.store.queries.requested() == []
    assert [one.reason for one in box.store.queries.transitions(UID)[-2:]] == [
        Reason("asked_again"),
        Reason("nothing_new"),
    ]


def test_a_series_that_was_set_aside_is_tried_anew_with_its_attempts_counted_from_the_beginning(
    box: Box, tmp_path: Path
) -> None:
    paths = write_series(tmp_path / "in", 24, size=128)
    box.export(paths[:4])
    for _ in range(2):
        box.store.agent.commit([BeginAttempt(UID)])  # as a process does that then dies
    box.start()
    box.export(paths)
    box.wait()
    assert box.report().code == "set_aside"
    before = box.store.queries.series(UID)
    box.clock.now_s += 3600.0

    ask(box)

    assert [(one.revision, one.state) for one in box.store.queries.history(UID)] == [
        (1, "not_analysed"),
        (2, "suspected"),
    ]
    row = box.store.queries.series(UID)
    assert row
    assert before
    assert row.attempts == 0
    assert (row.first_slice, row.last_slice) == (before.first_slice, before.last_slice)


def test_copies_that_come_after_a_second_try_do_not_bring_the_first_answer_back(
    box: Box, tmp_path: Path
) -> None:
    paths = write_series(tmp_path / "in", 24, size=128)
    box.export(paths[:4])
    for _ in range(2):
        box.store.agent.commit([BeginAttempt(UID)])
    box.start()
    box.export(paths)
    box.wait()
    ask(box)

    box.start()
    box.export(write_series(tmp_path / "sent again", 24, size=128))
    box.wait()

    assert box.report().state == "suspected"
    assert len(box.store.queries.history(UID)) == 2


def test_what_is_tried_in_vain_once_more_is_a_result_of_its_own(box: Box, tmp_path: Path) -> None:
    box.export(write_series(tmp_path / "in", 24, size=128, ConvolutionKernel="H70h"))
    box.wait()
    assert box.report().code == "bone_kernel"

    ask(box)
    ask(box)

    assert [one.revision for one in box.store.queries.history(UID)] == [1, 2, 3]
    assert len({one.result_id for one in box.store.queries.history(UID)}) == 3


def test_a_series_whose_files_are_gone_keeps_its_result(box: Box, tmp_path: Path) -> None:
    paths = write_series(tmp_path / "in", 24, size=128)
    box.export(paths)
    box.wait()
    before = box.report()
    paths[3].unlink()

    ask(box)

    assert box.report() == before
    row = box.store.queries.series(UID)
    assert row
    assert row.state is State.SUSPECTED
    assert box.store.queries.requested() == []
    assert box.store.queries.transitions(UID)[-1].reason == Reason("files_unreadable", n_files=1)


def test_what_is_under_way_is_not_asked_for(box: Box, tmp_path: Path) -> None:
    box.export(write_series(tmp_path / "in", 24, size=128)[:10])

    assert not box.store.console.request(UID)
    assert not box.store.console.request("9.9.9")
    assert box.store.queries.requested() == []


def test_an_agent_that_ended_meanwhile_does_it_when_it_runs_again(box: Box, tmp_path: Path) -> None:
    box.export(write_series(tmp_path / "in", 24, size=128, ConvolutionKernel="H70h"))
    box.wait()
    assert box.store.console.request(UID)
    box.agent.intake.open_requested()

    box.start()
    box.agent.intake.open_requested()
    box.wait()

    assert [one.revision for one in box.store.queries.history(UID)] == [1, 2]
    assert box.store.queries.requested() == []


def test_the_running_agent_analyses_it_again_with_another_engine_alone(tmp_path: Path) -> None:
    engines = write_engines(tmp_path / "engines")
    write_tiny_bundle(engines, "2", dense=0.7)
    with Program(tmp_path / "box", engines) as program:
        paths = write_series(program.export / "in", 24, size=128)
        program.started()
        until(program.concluded)
        same = json.loads(program.call("requeue", UID, "--json").stdout)
        refused = program.call("requeue", "9.9.9")
        program.kill()
        program.config.write_text(program.config.read_text().replace(BUNDLE, "tiny/2"))
        program.started()
        other = program.call("requeue", UID[-12:])
        paths[3].unlink()
        unread = program.call("requeue", UID)

    assert same["problem"] is None
    assert same["series"][0]["outcome"]["code"] == "nothing_new"
    assert refused.returncode == 1
    assert "a new result, revision 2" in other.stdout
    assert unread.returncode == 1
    assert "1 of its files can no longer be read" in unread.stdout
    with program.store() as store:
        engines_used = [one.engine for one in store.queries.history(UID)]
    assert [used.version for used in engines_used] == ["1", "2"]
