"""The program as it runs: a process, a folder, a store, signals."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agent.program import PATIENCE_S, Program, until
from tests.phantoms import uid, write_series


@pytest.fixture
def program(tmp_path: Path) -> Program:
    return Program(tmp_path / "box")


@pytest.fixture
def running(program: Program) -> Iterator[subprocess.Popen[str]]:
    process = program.start()
    yield process
    process.kill()
    process.communicate()


def test_files_dropped_into_the_folder_become_a_result(
    program: Program, running: subprocess.Popen[str], tmp_path: Path
) -> None:
    until(lambda: program.problem() is None)

    write_series(program.export / "study" / "series", 32, size=128)
    until(program.concluded)

    (row,) = program.rows().values()
    assert row.report is not None
    assert row.report.geometry is not None
    assert row.report.geometry.slices == 32
    assert row.report.engine


def test_sigterm_ends_the_agent_in_order(program: Program, running: subprocess.Popen[str]) -> None:
    until(lambda: program.problem() is None)

    running.send_signal(signal.SIGTERM)

    _, log = running.communicate(timeout=PATIENCE_S)
    assert running.returncode == 0
    assert json.loads(log.splitlines()[-1])["event"] == "stopped"


def test_a_killed_agent_finishes_every_series_once_when_started_again(program: Program) -> None:
    process = program.start()
    try:
        for seed in range(4):
            write_series(program.export / str(seed), 24, seed=seed, size=128)
            time.sleep(0.4)
            process.send_signal(signal.SIGKILL)
            process.communicate()
            process = program.start()
        until(lambda: len(program.concluded()) == 4)
    finally:
        process.kill()
        process.communicate()

    with program.store() as store:
        for seed in range(4):
            assert len(store.queries.history(uid("series", seed))) == 1
    database = sqlite3.connect(program.folder / "state" / "bleedwatch.sqlite")
    assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    database.close()


def test_a_second_agent_on_the_same_store_is_refused(
    program: Program, running: subprocess.Popen[str]
) -> None:
    until(lambda: program.problem() is None)

    second = program.call("run")

    assert second.returncode == 78
    assert "another agent is running" in second.stderr


def test_a_folder_that_vanishes_is_told_and_its_return_too(
    program: Program, running: subprocess.Popen[str]
) -> None:
    until(lambda: program.problem() is None)

    program.export.rename(program.folder / "elsewhere")
    until(lambda: "export folder unreachable" in (program.problem() or ""))
    (program.folder / "elsewhere").rename(program.export)
    until(lambda: program.problem() is None)

    write_series(program.export / "after", 24, size=128)
    until(program.concluded)


def test_status_says_that_the_agent_is_not_running(
    program: Program, running: subprocess.Popen[str]
) -> None:
    until(lambda: program.problem() is None)
    assert program.call("status").returncode == 0

    running.kill()
    until(lambda: program.problem() is not None)

    status = program.call("status")
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

    refused = subprocess.run(
        program.command("run"),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "BLEEDWATCH_STATE_FOLDER": str(program.folder / "state")},
    )

    assert refused.returncode == 78
    assert words in refused.stderr
    assert "Traceback" not in refused.stderr


def test_the_environment_wins_over_the_file(program: Program) -> None:
    shown = subprocess.run(
        program.command("config", "show", "--json"),
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "BLEEDWATCH_CONSOLE__PORT": "9123"},
    )

    settings = json.loads(shown.stdout)
    assert settings["console"]["port"] == 9123
    assert settings["infer"]["threads"] == 2


def test_the_store_is_read_back_by_the_commands(
    program: Program, running: subprocess.Popen[str]
) -> None:
    write_series(program.export / "study", 24, size=128)
    until(program.concluded)

    listed = json.loads(program.call("studies", "--json").stdout)
    shown = json.loads(program.call("show", uid("series", 0)[-12:], "--json").stdout)
    text = program.call("show", uid("series", 0)).stdout

    assert [row["series_uid"] for row in listed] == [uid("series", 0)]
    (series,) = shown
    assert [one["report"] for one in series["results"]] == [listed[0]["report"]]
    assert series["transitions"][0]["state"] == "receiving"
    assert json.loads(program.call("show", uid("study", 0), "--json").stdout) == shown
    assert uid("series", 0) in text
    assert program.call("show", "9.9.9").returncode == 1
