"""The demo: it has a page, and leaves nothing running; ``.ci/run`` runs it to its end."""

from __future__ import annotations

import os
import re
import signal
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import pytest
from typing_extensions import Self

from agent.config import InferConfig
from build_engine.play.console_client import ConsoleClient
from build_engine.play.local_agent import NoAnswer, ProcessEnded, local_agent
from tests.program import Order, until
from tests.tiny import BUNDLE, write_engines


@dataclass
class Demo:
    """``bleedwatch demo``, whose folders are below a folder of the test's."""

    folder: Path
    words: tuple[str, ...] = ()

    def __enter__(self) -> Self:
        (self.folder / "tmp").mkdir()
        self.output = self.folder / "said"
        environment = {"TMPDIR": str(self.folder / "tmp")}
        order = Order(("demo", *self.words), self.output, self.output, environment)
        self.process = order.begin()
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.join()

    def said(self) -> str:
        return self.output.read_text() if self.output.exists() else ""


def children_of(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def services_of(pid):
    """Its children that have become agent and console."""
    return [
        pid for pid in children_of(pid) if b"--config" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]


def alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


@pytest.mark.slow
def test_the_demo_has_a_page_and_nothing_outlives_it(tmp_path):
    with Demo(tmp_path) as demo:
        until(lambda: re.search(r"http://\S+", demo.said()))
        (address,) = set(re.findall(r"http://\S+", demo.said()))
        with urllib.request.urlopen(address, timeout=10) as page:
            assert page.status == 200
        children = children_of(demo.process.pid)

        os.kill(demo.process.pid, signal.SIGINT)
        demo.process.join(20)

    assert len(children) == 2
    until(lambda: not any(map(alive, children)))


@pytest.mark.slow
def test_nothing_outlives_a_demo_that_is_killed_while_it_starts(tmp_path):
    with Demo(tmp_path) as demo:
        until(lambda: len(services_of(demo.process.pid)) == 2)
        services = services_of(demo.process.pid)

        os.kill(demo.process.pid, signal.SIGKILL)
        demo.process.join(20)

    until(lambda: not any(map(alive, services)))


@pytest.fixture
def engines(tmp_path):
    """Bundle and profiles of an agent that is started as it comes, at next to no cost."""
    folder = write_engines(tmp_path / "engines")
    (folder / InferConfig().bundle).parent.mkdir()
    (folder / BUNDLE).rename(folder / InferConfig().bundle)
    return folder


@pytest.mark.slow
def test_an_agent_that_ended_is_named_with_what_it_said_last(tmp_path, engines):
    with (
        local_agent(tmp_path / "a", engines=engines) as agent,
        ConsoleClient(agent.port, lambda _: None) as client,
    ):
        agent.wait_for("agent", lambda s: client.well(s) or None, 60)
        agent.agent.process.kill()

        with pytest.raises(ProcessEnded, match="the agent ended with code -9") as ended:
            agent.wait_for("result", lambda s: client.alert("1.2.3", 0.0, s), 30)

    assert "ready" in ended.value.what_to_do


def test_an_answer_that_does_not_come_is_named(tmp_path, engines):
    with (
        local_agent(tmp_path / "a", engines=engines) as agent,
        pytest.raises(NoAnswer, match="result"),
    ):
        agent.wait_for("result", lambda _: None, 0.01)
