"""agent.cli: what comes from outside is printed as it is, and never taken for rich's markup."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from agent.cli import main
from agent.wiring import system_clock
from tests.agent.reports import add_result, live, not_analysed, receive
from tests.agent.stored import Store

UID = "1.2.3.4"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "agent.toml"
    path.write_text(f'export_folder = "{tmp_path}"\nstate_folder = "{tmp_path}"\n')
    return path


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "bleedwatch.sqlite", system_clock)


def call(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr(sys, "argv", ["bleedwatch", *map(str, words)])
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_an_errors_path_with_brackets_is_printed_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = tmp_path / "[/b] [red]" / "agent.toml"

    code = call(monkeypatch, "config", "show", "--config", missing)

    assert code == 78
    assert str(missing) in capsys.readouterr().err


def test_a_folders_problem_with_brackets_is_printed_as_it_is(
    config: Path,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with store:
        live(store, system_clock, folder_problem="/srv/[/b]: gone")

    assert call(monkeypatch, "status", "--config", config) == 1
    assert "/srv/[/b]: gone" in capsys.readouterr().out


@pytest.mark.parametrize("command", [("studies",), ("show", UID)], ids=" ".join)
def test_a_reason_with_brackets_is_printed_as_it_is(
    config: Path,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: tuple[str, ...],
) -> None:
    told = not_analysed(UID).model_copy(update={"text": "Thorax [/b] [5.0]"})
    with store:
        receive(store, system_clock, UID)
        add_result(store, told, channels=())

    assert call(monkeypatch, *command, "--config", config) == 0
    assert "Thorax [/b] [5.0]" in capsys.readouterr().out
