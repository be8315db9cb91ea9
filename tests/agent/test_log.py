"""agent.log: a log that cannot be written ends nothing."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from agent.log import LogStream, open_log


def test_a_log_that_cannot_be_written_ends_nothing_and_says_so() -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    stream = LogStream(full)

    open_log(stream, json=True).warning("lost")

    assert stream.problem == "the log cannot be written: No space left on device"
    os.close(full)


def test_a_log_that_can_be_written_again_is_no_problem(tmp_path: Path) -> None:
    log = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)
    stream = LogStream(log)
    stream.problem = "the log cannot be written: No space left on device"

    open_log(stream, json=True).warning("kept", path="\udcff")
    os.close(log)

    assert stream.problem is None
    assert json.loads((tmp_path / "log").read_text())["event"] == "kept"


@pytest.mark.parametrize("json_lines", [True, False], ids=["json", "text"])
def test_a_line_is_written_whole(tmp_path: Path, json_lines: bool) -> None:
    log = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)

    open_log(LogStream(log), json=json_lines).warning("one", number=1)
    os.close(log)

    assert (tmp_path / "log").read_text().count("\n") == 1
