"""Doctor asks the server that is to run the networks."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent.doctor import Mark
from agent.infer.bundle import load_bundle
from tests.agent.doctor.scratch import Scratch, free_port, write_systemctl
from tests.served import Served


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scratch:
    write_systemctl(tmp_path / "bin", None)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    return Scratch(tmp_path, free_port())


def test_a_server_that_is_named_is_asked_and_the_gpu_is_not(scratch: Scratch) -> None:
    served = Served(load_bundle(scratch.engines / "tiny" / "1"), free_port())
    served.start()
    scratch.configure(infer=f'server = "grpc://127.0.0.1:{served.port}"')

    found = scratch.results()
    served.stop()
    gone = scratch.results()

    assert found["server"].text == f"double 1, fp32, server 127.0.0.1:{served.port}"
    assert found["gpu"].text.startswith("not used")
    assert gone["server"].mark is Mark.WRONG
    assert "does not answer" in gone["server"].text
