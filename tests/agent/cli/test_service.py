"""``bleedwatch service``, as it is called on the box."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from agent.cli import main
from tests.program import Said

Service: TypeAlias = Callable[..., Said]


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Service:
    """Call the command; it asks for no configuration."""

    def service(*words: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["bleedwatch", "service", *words])
        monkeypatch.setenv("COLUMNS", "240")
        with pytest.raises(SystemExit) as ended:
            main()
        return Said(int(ended.value.code or 0), *capsys.readouterr())

    return service


def test_a_dry_run_shows_every_file_and_writes_none(tmp_path: Path, service: Service) -> None:
    shown = service(
        "install", "--dry-run", "--root", str(tmp_path), "--program", "/opt/b/bleedwatch"
    )

    assert shown.returncode == 0
    assert f"write    {tmp_path}/etc/systemd/system/bleedwatch-agent.service  (new)" in shown.stdout
    assert "nothing was written" in shown.stdout
    assert list(tmp_path.iterdir()) == []


def test_install_tells_the_next_commands_and_uninstall_takes_all_back(
    tmp_path: Path, service: Service
) -> None:
    told = service("install", "--root", str(tmp_path), "--program", "/opt/b/bleedwatch", "--json")
    facts = json.loads(told.stdout)
    written = [file["path"] for file in facts["files"] if file["do"] == "write"]
    assert sorted(written) == sorted(str(path) for path in tmp_path.rglob("*") if path.is_file())
    assert facts["next"][-1].startswith(f"systemctl --root={tmp_path} enable bleedwatch-agent")

    removed = service("uninstall", "--root", str(tmp_path))

    assert removed.stdout.count("remove ") == len(written)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
