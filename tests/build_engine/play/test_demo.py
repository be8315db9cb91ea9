"""The short demo, end to end: a scanner, the agent, the console and a client, all real."""

import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from build_engine.play.console_client import ConsoleClient
from build_engine.play.local_agent import NoAnswer, ProcessEnded, local_agent

DEMO = "import typer; from build_engine.play.demo import demo; typer.run(demo)"


def demo(*arguments, **options):
    return subprocess.Popen(
        [sys.executable, "-c", DEMO, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **options,
    )


def children_of(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_the_short_demo_ends_with_three_expected_answers(tmp_path):
    with demo("--short", env=os.environ | {"TMPDIR": str(tmp_path)}) as process:
        said, _ = process.communicate(timeout=110)

    assert process.returncode == 0, said
    for answer in ("▲ SUSPECTED", "✓ not suspected", "? not analysed", "http://127.0.0.1:"):
        assert answer in said
    assert "All 3 answers are as expected." in said
    assert not list(tmp_path.glob("bleedwatch-*"))


def test_the_page_answers_once_its_address_is_printed(tmp_path):
    with demo(env=os.environ | {"TMPDIR": str(tmp_path)}) as process:
        addresses = (re.search(r"http://\S+", line) for line in process.stdout)
        address = next(found[0] for found in addresses if found)
        with urllib.request.urlopen(address, timeout=10) as page:
            assert page.status == 200

        process.send_signal(signal.SIGINT)
        process.wait(20)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_nothing_outlives_the_demo(tmp_path, number):
    with demo(env=os.environ | {"TMPDIR": str(tmp_path)}) as process:
        process.stdout.readline()
        children = children_of(process.pid)

        process.send_signal(number)
        process.wait(20)

    assert len(children) == 2
    deadline_s = time.monotonic() + 10
    while any(map(alive, children)) and time.monotonic() < deadline_s:
        time.sleep(0.05)
    assert not any(map(alive, children))


def test_an_agent_that_ended_is_named_with_what_it_said_last(tmp_path):
    with local_agent(tmp_path / "a") as agent, ConsoleClient(agent.port, lambda _: None) as client:
        agent.wait_for("agent", lambda s: client.well(s) or None, 60)
        agent.agent.process.kill()

        with pytest.raises(ProcessEnded, match="the agent ended with code -9") as ended:
            agent.wait_for("result", lambda s: client.alert("1.2.3", 0.0, s), 30)

    assert "ready" in ended.value.what_to_do


def test_an_answer_that_does_not_come_is_named(tmp_path):
    with local_agent(tmp_path / "a") as agent, pytest.raises(NoAnswer, match="result"):
        agent.wait_for("result", lambda _: None, 0.01)
