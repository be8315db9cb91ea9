"""A service engineer's first hour: install, configure, start, see that it works, find a fault."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.agent.doctor.scratch import free_port, write_systemctl

PATIENCE_S = 60.0


class FirstHour:
    """A scratch root, and the program called as on the box."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.config = root / "etc/bleedwatch/agent.toml"

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "agent", *words]

    def call(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = self.command(*words, "--config", str(self.config))
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def install(self) -> None:
        options = "--root", str(self.root), "--program", "/opt/bleedwatch/bin/bleedwatch"
        subprocess.run(self.command("service", "install", *options), check=True)

    def configure(self) -> None:
        """Set what a site sets, in the file as it was installed."""
        text = self.config.read_text()
        for commented, value in (
            ('export_folder = "/srv/ct-export"', f'export_folder = "{self.root / "export"}"'),
            ('# state_folder = "/var/lib/bleedwatch"', f'state_folder = "{self.root / "state"}"'),
            ("# port = 8742", f"port = {free_port()}"),
        ):
            assert commented in text
            text = text.replace(commented, value)
        (self.root / "export").mkdir()
        self.config.write_text(text)

    @contextmanager
    def running(self, word: str) -> Iterator[subprocess.Popen[bytes]]:
        command = self.command(word, "--config", str(self.config))
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def until_served(self) -> None:
        port = json.loads(self.call("config", "show", "--json").stdout)["console"]["port"]

        def served() -> bool:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/state") as answer:
                return json.load(answer)["problem"] is None

        until(served)


def until(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while True:
        try:
            if condition():
                return
        except OSError:
            pass
        assert time.monotonic() < deadline_s, "waited in vain"
        time.sleep(0.1)


@pytest.fixture
def hour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FirstHour:
    write_systemctl(tmp_path / "bin", None)  # what this machine's own units do is beside the point
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    return FirstHour(tmp_path)


def test_the_first_hour_on_a_box(hour: FirstHour) -> None:
    hour.install()
    hour.configure()
    assert hour.call("config", "check").returncode == 0

    before = hour.call("doctor")
    assert before.returncode == 1
    assert "✗ store          there is none at" in before.stdout
    assert "✗ console        http://127.0.0.1:" in before.stdout
    assert "2 of 20 checks found something wrong" in before.stdout

    with hour.running("run") as agent, hour.running("console"):
        hour.until_served()
        assert "✗ self-test      SELF-TEST MISSING: none" in hour.call("doctor").stdout
        tested = hour.call("selftest")
        assert tested.returncode == 0, tested.stdout + tested.stderr
        assert "✓ self-test passed: alert " in tested.stdout
        well = hour.call("doctor")
        assert well.returncode == 0, well.stdout
        assert well.stdout.splitlines()[-1] == "all well"

        agent.kill()
        agent.wait()
        until(lambda: hour.call("status").returncode == 1)

        told = json.loads(hour.call("doctor", "--json").stdout)
        assert told["well"] is False
        (wrong,) = (check for check in told["checks"] if check["mark"] == "wrong")
        assert (wrong["check"], wrong["found"]) == ("agent", "the agent is not running")
        assert "systemctl start bleedwatch-agent" in wrong["next_step"]
