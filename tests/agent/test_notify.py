"""agent.notify, heard at the other end of a real socket, from a real agent."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.notify import Supervisor
from tests.program import PATIENCE_S, Program
from tests.tiny import write_engines


class Listener:
    """What systemd is to the agent."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)

    def hear(self, timeout_s: float = PATIENCE_S) -> str:
        """Return the next message; "" if there is none in time."""
        self.socket.settimeout(timeout_s)
        try:
            return self.socket.recv(4096).decode()
        except TimeoutError:
            return ""

    def waiting(self) -> list[str]:
        """Return all that was said and not heard yet."""
        return list(iter(lambda: self.hear(timeout_s=0.01), ""))


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[Listener]:
    listener = Listener(str(tmp_path / "notify"))
    yield listener
    listener.socket.close()


@pytest.fixture
def supervisor(tmp_path: Path) -> Supervisor:
    return Supervisor(str(tmp_path / "notify"))


@pytest.fixture
def agent(tmp_path: Path, listener: Listener) -> Iterator[Program]:
    with Program(tmp_path / "box", write_engines(tmp_path / "engines")) as program:
        program.environment["NOTIFY_SOCKET"] = str(tmp_path / "notify")
        program.start()
        yield program


def test_the_agent_is_ready_once_the_networks_are_then_alive_then_stopping(
    agent: Program, listener: Listener
) -> None:
    said = [listener.hear()]
    while "WATCHDOG=1" not in said[-1]:
        said.append(listener.hear())
    agent.end(signal.SIGTERM)
    said += listener.waiting()

    log = agent.log.read_text()
    assert said[0].startswith("READY=1\nSTATUS=analysing; networks run by ONNX Runtime")
    assert set(said[1:-1]) == {"WATCHDOG=1"}
    assert said[-1] == "STOPPING=1"
    assert log.index('"event": "ready"') < log.index('"event": "stopped"')


@pytest.mark.slow
def test_a_stuck_thread_of_the_networks_starves_the_watchdog_though_the_folder_is_read(
    agent: Program, listener: Listener
) -> None:
    while "WATCHDOG=1" not in listener.hear():
        pass
    (agent.state / "plans").mkdir()

    os.mkfifo(agent.state / "plans" / "active.json")  # read by that thread; nobody writes to it

    deadline_s = time.monotonic() + PATIENCE_S
    while listener.hear(timeout_s=3.0):
        assert time.monotonic() < deadline_s, "still fed"
    assert agent.call("status").returncode == 0
    assert listener.waiting() == []


def test_nothing_is_fed_before_the_networks_have_turned_and_once_a_turn(
    listener: Listener, supervisor: Supervisor
) -> None:
    supervisor.feed_watchdog()
    assert listener.waiting() == []

    supervisor.networks_turned()
    supervisor.feed_watchdog()
    supervisor.feed_watchdog()

    assert listener.waiting() == ["WATCHDOG=1"]


def test_an_address_outside_the_file_system_is_reached() -> None:
    name = f"bleedwatch-test-{os.getpid()}"
    listener = Listener(f"\0{name}")

    Supervisor(f"@{name}").ready("analysing")

    assert listener.hear() == "READY=1\nSTATUS=analysing"
    listener.socket.close()


@pytest.mark.parametrize("address", [None, "", "/nowhere/notify"], ids=["none", "empty", "gone"])
def test_a_supervisor_that_is_not_there_holds_up_nobody(address: str | None) -> None:
    supervisor = Supervisor(address)

    supervisor.ready("analysing")
    supervisor.stopping()
