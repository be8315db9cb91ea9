"""``bleedwatch service``, as it is called on the box."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path


def call(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "agent", "service", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_dry_run_shows_every_file_and_writes_none(tmp_path: Path) -> None:
    shown = call("install", "--dry-run", "--root", str(tmp_path), "--program", "/opt/b/bleedwatch")

    assert shown.returncode == 0
    assert f"write    {tmp_path}/etc/systemd/system/bleedwatch-agent.service  (new)" in shown.stdout
    assert "nothing was written" in shown.stdout
    assert list(tmp_path.iterdir()) == []


def test_install_tells_the_next_commands_and_uninstall_takes_all_back(tmp_path: Path) -> None:
    told = call("install", "--root", str(tmp_path), "--program", "/opt/b/bleedwatch", "--json")
    facts = json.loads(told.stdout)
    written = [file["path"] for file in facts["files"] if file["do"] == "write"]
    assert sorted(written) == sorted(str(path) for path in tmp_path.rglob("*") if path.is_file())
    assert facts["next"][-1].startswith(f"systemctl --root={tmp_path} enable bleedwatch-agent")

    removed = call("uninstall", "--root", str(tmp_path))

    assert removed.stdout.count("remove ") == len(written)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
