"""A store of a box's day, and the program called on it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest

from agent.cli import main
from agent.wiring import system_clock
from tests.agent.stored import Store
from tests.program import Said
from tests.schema import check_printed

Call: TypeAlias = Callable[..., Said]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "agent.toml"
    path.write_text(f'export_folder = "{tmp_path}"\nstate_folder = "{tmp_path}"\n')
    return path


@pytest.fixture
def store(tmp_path: Path, config: Path) -> Iterator[Store]:
    with Store(tmp_path / "bleedwatch.sqlite", system_clock) as store:
        yield store


@pytest.fixture
def call(config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Call the program on the box's configuration, on a wide terminal."""

    def call(*words: object) -> Said:
        monkeypatch.setattr(sys, "argv", ["bleedwatch", *map(str, words), "--config", str(config)])
        monkeypatch.setenv("COLUMNS", "240")
        with pytest.raises(SystemExit) as ended:
            main()
        said = Said(int(ended.value.code or 0), *capsys.readouterr())
        if "--json" in words and said.stdout:
            check_printed([str(word) for word in words], said.stdout)
        return said

    return call
