"""The command line as a whole: each command has a place, an example, JSON, and says how it ends."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from agent.cli import build_app, main
from tests.schema import OUTPUTS

WITHOUT_JSON = {
    "run": "it serves until it is stopped",
    "console": "it serves until it is stopped",
    "inlet": "it serves until it is stopped",
    "deliver run": "it serves until it is stopped",
    "deliver retry": "it changes what waits for one channel",
    "deliver drop": "it changes what waits for one channel",
    "demo": "it is watched",
    "simulate": "it writes images",
    "schema": "it prints JSON, and nothing else",
    "model train": "it runs for hours and tells how far it is",
    "model export": "it writes a bundle",
    "user add": "it changes one user",
    "user remove": "it changes one user",
    "user password": "it changes one user",
    "user role": "it changes one user",
}
"""Commands that print no facts, and what they do instead."""


def commands(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Walk to every command that is no group of others."""
    for name, one in getattr(command, "commands", {}).items():
        yield from commands(one, (*words, name))
    if not hasattr(command, "commands"):
        yield " ".join(words), command


APP = build_app()
PROGRAM: Any = typer.main.get_command(APP)
COMMANDS = dict(commands(PROGRAM))


def help_of(*words: str) -> str:
    return CliRunner().invoke(APP, [*words, "--help"], prog_name="bleedwatch").output


def test_the_help_is_a_table_of_contents_of_one_line_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "80")

    panels = re.findall(r"╭─ (.+?) ─+╮\n(.*?)╰", help_of(), re.DOTALL)

    listed = {title: re.findall(r"^│ (\S+)", lines, re.MULTILINE) for title, lines in panels}
    n_lines = {title: lines.count("\n") for title, lines in panels}
    del listed["Options"]
    assert sorted(name for names in listed.values() for name in names) == sorted(PROGRAM.commands)
    assert [title for title in listed if len(listed[title]) != n_lines[title]] == []
    assert "Others" not in listed


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_an_example_and_says_how_it_ends(name: str) -> None:
    whole = " ".join(help_of(*name.split()).split())

    assert re.search(rf"Example: (sudo (-u bleedwatch )?)?bleedwatch {name}\b", whole)
    assert "Exit code 0: done, and well. 1: something is wrong" in whole
    assert [one.name for one in COMMANDS[name].params if not one.help] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_that_prints_facts_prints_them_as_json(name: str) -> None:
    options = {option for parameter in COMMANDS[name].params for option in parameter.opts}

    assert ("--json" in options) == (name not in WITHOUT_JSON)


def test_all_that_is_printed_as_json_is_in_the_schema() -> None:
    """Regression: what `bench inlet` prints was not."""
    assert set(COMMANDS) - set(WITHOUT_JSON) - OUTPUTS.keys() == set()


def test_every_exception_is_a_command() -> None:
    assert set(WITHOUT_JSON) <= set(COMMANDS)


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("bleedwatch st", {"status", "studies"}),
        ("bleedwatch engine ro", {"rollback"}),
        ("bleedwatch studies --si", {"--since"}),
        ("bleedwatch studies --since 2h --si", set()),
        ("bleedwatch studies --state not_", {"not_suspected", "not_analysed"}),
        ("bleedwatch show 'not closed", set()),
        ("bleedwatch stauts --c", set()),
    ],
)
def test_the_shell_completes_commands_options_and_values(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    typed: str,
    offered: set[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["bleedwatch"])
    # Of `python -m pytest` Click would make the program's name "python -m pytest.bleedwatch".
    monkeypatch.setattr(sys.modules["__main__"], "__package__", None)
    monkeypatch.setenv("_BLEEDWATCH_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", typed)
    monkeypatch.setenv("COMP_CWORD", str(len(typed.split()) - 1))

    with pytest.raises(SystemExit):
        main()

    assert set(capsys.readouterr().out.split()) == offered


@pytest.mark.slow
@pytest.mark.parametrize("command", ["status", "studies"])
def test_a_command_that_looks_into_the_store_waits_for_no_network_and_no_image(
    command: str,
) -> None:
    program = (
        f"import sys; from agent.cli import build_app; build_app('{command}'); "
        "print([name for name in "
        "('cryptography', 'numpy', 'onnxruntime', 'pydantic_settings', 'pydicom', 'scipy', "
        "'starlette', 'structlog', 'torch') "
        "if name in sys.modules])"
    )

    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert loaded.stdout.strip() == "[]", loaded.stderr


TAB = {
    "_BLEEDWATCH_COMPLETE": "complete_bash",
    "COMP_WORDS": "bleedwatch engine ro",
    "COMP_CWORD": "2",
}


@pytest.mark.parametrize(
    ("words", "environment"), [(["--version"], {}), ([], TAB)], ids=["version", "tab"]
)
def test_the_version_and_a_tab_wait_for_no_command(
    words: list[str], environment: dict[str, str]
) -> None:
    program = """
import sys
from agent.cli import main
try:
    main()
finally:
    print([name for name in ("pydantic", "rich", "sqlite3") if name in sys.modules])
"""

    said = subprocess.run(
        [sys.executable, "-c", program, *words], capture_output=True, text=True, check=False,
        env={**os.environ, **environment},
    ).stdout.splitlines()  # fmt: skip

    assert said[-1] == "[]"
    assert said[0].startswith("bleedwatch ") or said[0] == "rollback"


def test_an_unknown_command_is_said_to_be_unknown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["bleedwatch", "stauts"])

    with pytest.raises(SystemExit) as ended:
        main()

    assert ended.value.code == 2
    assert "No such command 'stauts'" in capsys.readouterr().err


@pytest.mark.slow
def test_a_package_that_an_extra_brings_is_named(tmp_path: Path) -> None:
    program = (
        "import sys; sys.modules['torch'] = None; "  # as where it is not installed
        f"sys.argv = ['bleedwatch', 'model', 'train', 'own.toml', '--work', '{tmp_path}']; "
        "from agent.cli import main; main()"
    )

    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )

    assert ended.returncode == 1
    assert "model: the Python package torch is not installed" in ended.stderr
    assert "pip install '.[train]'" in ended.stderr


def test_the_program_says_which_version_it_is() -> None:
    said = CliRunner().invoke(APP, ["--version"], prog_name="bleedwatch")

    assert (said.exit_code, said.output) == (0, f"bleedwatch {version('bleedwatch')}\n")
