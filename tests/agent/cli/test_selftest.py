"""``studies``, ``show`` and ``selftest``: a test says that it is one, and how it went."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from agent.cli import main
from agent.records import TEST_MARK
from agent.wiring import system_clock
from tests.agent.reports import add_result, receive, report
from tests.agent.stored import Store

UID = f"{TEST_MARK}1.2.3.4"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "agent.toml"
    path.write_text(f'export_folder = "{tmp_path}"\nstate_folder = "{tmp_path}"\n')
    with Store(tmp_path / "bleedwatch.sqlite", system_clock) as store:
        for uid in (UID, "1.2.3.4"):
            receive(store, system_clock, uid)
            add_result(store, report(uid))
    return path


def call(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr(sys, "argv", ["bleedwatch", *map(str, words)])
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


@pytest.mark.parametrize("command", [("studies",), ("show", "1.2.3")], ids=" ".join)
def test_only_the_tests_series_is_marked(
    config: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: tuple[str, ...],
) -> None:
    assert call(monkeypatch, *command, "--config", config) == 0

    text = capsys.readouterr().out
    marked = [line for line in text.splitlines() if "TEST ▲ SUSPECTED" in line]
    assert len(marked) == 1
    assert UID in text

    assert call(monkeypatch, *command, "--json", "--config", config) == 0
    listed = json.loads(capsys.readouterr().out)
    assert {one["examination_uid"]: one["test"] for one in listed} == {
        UID: True,
        "1.2.3.4": False,
    }
