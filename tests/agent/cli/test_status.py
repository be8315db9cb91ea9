"""``bleedwatch status``, once and again and again."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pexpect
import pytest

from agent.wiring import system_clock
from tests.agent.cli.conftest import Call
from tests.agent.reports import add_result, live, receive, recorded, report
from tests.agent.stored import Store

PATIENCE_S = 60.0


def command(tmp_path: Path, *words: str) -> list[str]:
    config = str(tmp_path / "agent.toml")
    return [sys.executable, "-m", "agent", "status", "--config", config, *words]


def test_status_tells_what_is_under_way_and_how_much_came_today(store: Store, call: Call) -> None:
    live(store, system_clock, degraded="degraded to CPU: no GPU")
    receive(store, system_clock, "1.2.3.4", expected=32)
    receive(store, system_clock, "1.2.3.5")
    add_result(store, report("1.2.3.5"))
    store.agent.notice("file_refused", recorded("001.dcm: no image"))

    told, text = call("status", "--json"), call("status").stdout

    facts = json.loads(told.stdout)
    assert told.returncode == 0
    (under_way,) = facts["under_way"]
    assert (under_way["series_uid"], under_way["state"]) == ("1.2.3.4", "receiving")
    assert 0 <= under_way["stage_s"] < PATIENCE_S
    assert facts["today"] == {"receiving": 1, "suspected": 1}
    assert (facts["last_hour"], facts["undelivered"], facts["unacknowledged"]) == (2, 1, 1)
    assert facts["notices"] == {"file_refused": 1}
    for words in ("17 of 32", "degraded to CPU", "1 receiving, 1 suspected", "file_refused 1"):
        assert words in text
    assert "DOE" not in told.stdout + text


@pytest.mark.slow
def test_watched_on_a_terminal_it_follows_the_store_until_ctrl_c(
    store: Store, tmp_path: Path
) -> None:
    live(store, system_clock)

    program, *words = command(tmp_path, "--watch")
    terminal = pexpect.spawn(program, words, timeout=PATIENCE_S, encoding="utf-8")
    while terminal.expect_exact(["● running", pexpect.TIMEOUT], timeout=1.0):
        live(store, system_clock)  # a sign of life lasts for some seconds alone
    receive(store, system_clock, "1.2.3.4")
    terminal.expect_exact("1.2.3.4")
    terminal.expect_exact("the agent is not running")  # there is none to give a sign of life
    terminal.sendintr()
    terminal.expect(pexpect.EOF)
    terminal.close()

    assert terminal.exitstatus == 1


@pytest.mark.slow
def test_watched_through_a_pipe_each_look_is_a_line_of_json(store: Store, tmp_path: Path) -> None:
    live(store, system_clock)
    watching = subprocess.Popen(command(tmp_path, "--watch", "--json"), stdout=subprocess.PIPE)
    assert watching.stdout
    first, second = (json.loads(watching.stdout.readline()) for _ in range(2))
    watching.send_signal(signal.SIGINT)
    watching.communicate(timeout=PATIENCE_S)

    assert first["at_utc"] < second["at_utc"]
    assert first["agent"]["engine"]["bundle"] == "default"
