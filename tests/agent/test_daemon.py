"""The program as it runs: a process, a folder, a store, signals."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path

import pytest

from agent.config import PACKAGED_ENGINES, InferConfig
from tests.phantoms import uid, write_series
from tests.program import Program, until
from tests.tiny import BUNDLE


@pytest.fixture
def running(program: Program) -> Program:
    return program.started()


@pytest.mark.slow
def test_files_dropped_into_the_folder_become_a_result(tmp_path: Path) -> None:
    """By the shipped bundle, in a process begun as its unit begins it."""
    with Program(tmp_path / "box", PACKAGED_ENGINES) as program:
        program.config.write_text(program.config.read_text().replace(BUNDLE, InferConfig().bundle))
        process = subprocess.Popen(program.command("run"), stderr=subprocess.DEVNULL)
        until(lambda: program.problem() is None)

        write_series(program.export / "study" / "series", 32, size=128)
        until(program.concluded)
        process.kill()
        process.wait()
        (row,) = program.rows().values()

    assert row.report is not None
    assert row.report.geometry is not None
    assert row.report.geometry.slices == 32
    assert row.report.engine


def test_sigterm_ends_the_agent_in_order(running: Program) -> None:
    assert running.end(signal.SIGTERM) == 0
    assert json.loads(running.log.read_text().splitlines()[-1])["event"] == "stopped"


@pytest.mark.slow
def test_a_killed_agent_finishes_every_series_once_when_started_again(program: Program) -> None:
    program.start()
    for seed in range(4):
        write_series(program.export / str(seed), 24, seed=seed, size=128)
        time.sleep(0.4)
        program.kill()
        program.start()
    until(lambda: len(program.concluded()) == 4)
    program.kill()

    with program.store() as store:
        for seed in range(4):
            assert len(store.queries.history(uid("series", seed))) == 1
    assert program.integrity() == "ok"


@pytest.mark.slow
def test_a_second_agent_on_the_same_store_is_refused(running: Program) -> None:
    second = running.call("run")

    assert second.returncode == 78
    assert "another agent is running" in second.stderr


@pytest.mark.slow
def test_a_folder_that_vanishes_is_told_and_its_return_too(running: Program) -> None:
    running.export.rename(running.folder / "elsewhere")
    until(lambda: "export folder unreachable" in (running.problem() or ""))
    (running.folder / "elsewhere").rename(running.export)
    until(lambda: running.problem() is None)

    write_series(running.export / "after", 24, size=128)
    until(running.concluded)


@pytest.mark.slow
def test_status_says_that_the_agent_is_not_running(running: Program) -> None:
    assert running.call("status").returncode == 0

    running.kill()
    until(lambda: running.problem() is not None)

    status = running.call("status")
    assert status.returncode == 1
    assert "not running" in status.stdout


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("export_folder = 3\n[console", "TOML"),
        ('export_folder = "/x"\nexport_foldr = "/y"\n', "export_foldr"),
        ('state_folder = "/x"\n', "export_folder"),
        ('export_folder = "/x"\n[infer]\nbundle = "none/9"\n', "none/9"),
    ],
    ids=["not-toml", "unknown-key", "missing-key", "no-such-bundle"],
)
def test_a_configuration_that_cannot_be_used_is_refused_in_one_line(
    program: Program, text: str, words: str
) -> None:
    program.config.write_text(text)

    program.environment["BLEEDWATCH_STATE_FOLDER"] = str(program.state)

    refused = program.call("run")

    assert refused.returncode == 78
    assert words in refused.stderr
    assert "Traceback" not in refused.stderr


def test_the_environment_wins_over_the_file(program: Program) -> None:
    program.environment["BLEEDWATCH_CONSOLE__PORT"] = "9123"

    shown = program.call("config", "show", "--json")

    settings = json.loads(shown.stdout)
    assert settings["console"]["port"] == 9123
    assert settings["infer"]["threads"] == 1


@pytest.mark.slow
def test_the_store_is_read_back_by_the_commands(running: Program) -> None:
    write_series(running.export / "study", 24, size=128)
    until(running.concluded)

    (examination,) = json.loads(running.call("studies", "--json").stdout)
    listed = examination["series"]
    shown = json.loads(running.call("show", uid("series", 0)[-12:], "--json").stdout)
    text = running.call("show", uid("series", 0)).stdout

    assert [row["series_uid"] for row in listed] == [uid("series", 0)]
    (series,) = shown[0]["series"]
    assert [one["report"] for one in series["results"]] == [listed[0]["report"]]
    assert series["transitions"][0]["state"] == "receiving"
    assert json.loads(running.call("show", uid("study", 0), "--json").stdout) == shown
    assert uid("series", 0) in text
    assert running.call("show", "9.9.9").returncode == 1
