"""A service engineer's first hour: the real program, typed into a shell on a real terminal."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

from agent.service import PACKAGED_FILES
from tests.agent.doctor.scratch import free_port, write_systemctl
from tests.phantoms import uid, write_series
from tests.tiny import BUNDLE, slice_model, write_engines

PATIENCE_S = 60.0
PROGRAM = "/opt/bleedwatch/bin/bleedwatch"
UID = uid("series", 0)


class Terminal:
    """A shell on a terminal, with ``bleedwatch`` on its path; what is typed is answered."""

    def __init__(self, root: Path) -> None:
        write_systemctl(root / "bin", None)  # what this machine's own units do is beside the point
        program = root / "bin" / "bleedwatch"
        program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m agent "$@"\n')
        program.chmod(0o755)
        environment = {
            **os.environ,
            "PATH": f"{root / 'bin'}:{os.environ['PATH']}",
            "PS1": "",
            "TERM": "xterm-256color",
        }
        environment.pop("COLUMNS", None)
        words = ["--norc", "--noprofile", "-i"]
        self.shell = pexpect.spawn(
            "bash", words, env=environment, dimensions=(50, 220), timeout=PATIENCE_S,
            encoding="utf-8", echo=False,
        )  # fmt: skip
        self.type(f"bind 'set enable-bracketed-paste off'; cd {root}")

    def type(self, command: str) -> tuple[str, int]:
        """Type a command; returns what it said and its exit code."""
        self.shell.sendline(f'{command}; echo "[ended $?]"')
        self.shell.expect(r"\[ended (\d+)\]")
        return self.text(), int(self.shell.match[1])

    def text(self) -> str:
        """Return what was said since, without colours."""
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.shell.before).replace("\r", "")

    def start(self, command: str) -> int:
        """Start a command that goes on; returns its process."""
        self.shell.sendline(f'{command} >/dev/null 2>&1 & echo "[started $!]"')
        self.shell.expect(r"\[started (\d+)\]")
        return int(self.shell.match[1])

    def until(self, command: str, *words: str) -> str:
        """Type a command again and again until it says all these words."""
        for _ in range(40):
            said, _ = self.type(command)
            if all(one in said for one in words):
                return said
            self.type("sleep 1")
        raise AssertionError(said)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    terminal = Terminal(tmp_path)
    yield terminal
    terminal.shell.sendline("kill -9 $(jobs -p); exit")
    terminal.shell.expect(pexpect.EOF)
    terminal.shell.close()


def wrong_lines(said: str) -> dict[str, str]:
    """Return doctor's red lines: check → what it found and what to do."""
    lines = (line for line in said.splitlines() if line.startswith("✗"))
    return {line[2:17].strip(): line[17:] for line in lines}


class Box:
    """The scratch root; ``configure`` sets in the file as it was installed what this site sets."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.config = root / "etc/bleedwatch/agent.toml"
        self.export = root / "ct export"
        self.engines = write_engines(root / "engines")
        self.port = free_port()

    def configure(self, **changes: str) -> None:
        text = (PACKAGED_FILES / "agent.toml").read_text()
        site = {
            "export_folder": f'"{self.export}"',
            "state_folder": f'"{self.root / "state"}"',
            "bundle": f'"{BUNDLE}"',
        }
        of_the_page = "# port = 8742"  # the inlet and archives have ports too
        assert text.count(of_the_page) == 1
        text = text.replace(of_the_page, f"port = {self.port}")
        for name, value in (site | changes).items():
            text, n_set = re.subn(rf"(?m)^(# )?{name} = .*$", f"{name} = {value}", text)
            assert n_set == 1
        self.config.write_text(f'engines_folder = "{self.engines}"\n{text}')

    def break_networks(self) -> None:
        with (self.engines / BUNDLE / "slice.onnx").open("ab") as network:
            network.write(b"\0")

    def mend_networks(self) -> None:
        (self.engines / BUNDLE / "slice.onnx").write_bytes(slice_model().SerializeToString())

    def break_profile(self) -> None:
        path = self.engines / "protocols/generic-head.toml"
        path.write_text(path.read_text().replace('"balanced"', '"eager"'))

    def mend_profile(self) -> None:
        path = self.engines / "protocols/generic-head.toml"
        path.write_text(path.read_text().replace('"eager"', '"balanced"'))


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_first_hour_on_a_box(terminal: Terminal, tmp_path: Path) -> None:
    box = Box(tmp_path)
    write_series(tmp_path / "scanner", 24, size=128)

    install_it(terminal, box)
    configure_it(terminal, box)
    mend_what_doctor_finds(terminal, box)
    agent = see_it_work(terminal, box)
    hand_it_over(terminal, box)
    lose_the_agent(terminal, box, agent)
    take_it_away(terminal, box)


def install_it(terminal: Terminal, box: Box) -> None:
    said, _ = terminal.type(f"bleedwatch service install --dry-run --root . --program {PROGRAM}")
    assert "nothing was written" in said
    assert not box.config.exists()

    said, code = terminal.type(f"bleedwatch service install --root . --program {PROGRAM}")
    assert code == 0
    assert "next, as root:" in said


def configure_it(terminal: Terminal, box: Box) -> None:
    box.configure()
    text = box.config.read_text()
    box.config.write_text(text.replace("[console]", '[console]\nhots = "127.0.0.1"'))
    said, code = terminal.type(f"bleedwatch config check -c {box.config}")
    assert code == 78
    assert "console.hots: no such setting; did you mean console.host?" in said

    box.configure(public_key=f'"{box.root / "engines.pem"}"')
    said, code = terminal.type(f"bleedwatch config check -c {box.config}")
    assert code == 1
    assert f"export_folder: {box.export} is not a folder" in said


def mend_what_doctor_finds(terminal: Terminal, box: Box) -> None:
    box.break_networks()
    box.break_profile()
    said, code = terminal.type(f"bleedwatch doctor -c {box.config}")
    wrong = wrong_lines(said)
    assert code == 1
    assert "mount the share" in wrong["export folder"]
    assert "systemctl start bleedwatch-agent" in wrong["store"]
    assert "systemctl start bleedwatch-console" in wrong["console"]
    assert "slice.onnx is not the file" in wrong["bundle"]
    assert "engines.pem" in wrong["signature"]
    assert "slice.onnx is not the file" in wrong["protocols"]
    assert f"{len(wrong)} of 24 checks found something wrong" in said

    box.mend_networks()
    box.configure()
    box.export.mkdir()
    wrong = wrong_lines(terminal.type(f"bleedwatch doctor -c {box.config}")[0])
    assert sorted(wrong) == ["console", "protocols", "store"]
    assert "'eager'" in wrong["protocols"]
    box.mend_profile()


def see_it_work(terminal: Terminal, box: Box) -> int:
    """Start both services by hand and play a scanner; returns the agent's process."""
    agent = terminal.start(f"bleedwatch run -c {box.config}")
    terminal.start(f"bleedwatch console -c {box.config}")
    said = terminal.until(
        f"bleedwatch doctor -c {box.config}", "✗ self-test", "1 of 24 checks found"
    )
    assert "SELF-TEST MISSING" in wrong_lines(said)["self-test"]
    box.configure(daily="false")  # these networks of a few bytes would not pass one
    terminal.until(f"bleedwatch doctor -c {box.config}", "all well")
    terminal.start(f"(sleep 2; bleedwatch simulate '{box.export}' --from scanner --rate 8)")

    terminal.shell.sendline(f'bleedwatch status --watch -c {box.config}; echo "[ended $?]"')
    terminal.shell.expect_exact("● running")
    terminal.shell.expect_exact("… receiving")
    terminal.shell.expect_exact("Answer")
    terminal.shell.expect_exact(UID[-16:])
    terminal.shell.sendintr()
    terminal.shell.expect_exact("[ended 0]")
    return agent


def hand_it_over(terminal: Terminal, box: Box) -> None:
    listed, _ = terminal.type(f"bleedwatch studies -c {box.config}")
    assert f"…{UID[-16:]}" in listed
    shown, _ = terminal.type(f"bleedwatch show …{UID[-16:]} -c {box.config}")
    assert "networks   tiny 1, ONNX Runtime" in shown
    asked, code = terminal.type(f"bleedwatch requeue {UID} -c {box.config}")
    assert code == 0
    assert "nothing new" in asked

    said, code = terminal.type(f"bleedwatch support-bundle --to box.zip -c {box.config}")
    assert code == 0
    assert "wrote box.zip" in said
    with zipfile.ZipFile(box.root / "box.zip") as archive:
        assert UID in archive.read("box/series.json").decode()
        assert "Jörg" not in "".join(map(str, map(archive.read, archive.namelist())))


def lose_the_agent(terminal: Terminal, box: Box, agent: int) -> None:
    os.kill(agent, signal.SIGKILL)
    said = terminal.until(f"bleedwatch doctor -c {box.config}", "the agent is not running")
    assert list(wrong_lines(said)) == ["agent"]
    assert "systemctl start bleedwatch-agent" in wrong_lines(said)["agent"]
    said, code = terminal.type(f"bleedwatch doctor --json -c {box.config}")
    told = json.loads(said)
    assert (code, told["well"]) == (1, False)
    assert [one["check"] for one in told["checks"] if one["mark"] == "wrong"] == ["agent"]


def take_it_away(terminal: Terminal, box: Box) -> None:
    said, code = terminal.type("bleedwatch service uninstall --root .")
    assert code == 0
    assert "this box's own configuration" in said
    assert sorted(path for path in (box.root / "etc").rglob("*") if path.is_file()) == [box.config]
