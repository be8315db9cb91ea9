"""agent.log: a log that cannot be written ends nothing, and none tells of a patient."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from agent.log import LogStream, open_log
from agent.reasons import Reason, english
from tests.phantoms import uid, write_series
from tests.program import Program, until


def test_a_log_that_cannot_be_written_ends_nothing_and_says_so() -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    stream = LogStream(full)

    open_log(stream, json=True).warning("lost")

    assert english(stream.problem) == "the log cannot be written: No space left on device"
    os.close(full)


def test_a_log_that_can_be_written_again_is_no_problem(tmp_path: Path) -> None:
    log = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)
    stream = LogStream(log)
    stream.problem = Reason("log_unwritable", why="No space left on device")

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


def test_an_exceptions_words_are_left_out_and_its_place_is_told(tmp_path: Path) -> None:
    log = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)

    try:
        try:
            int("DOE^JANE")
        except ValueError as error:
            raise FileNotFoundError(2, "No such file or directory", "/in/DOE.dcm") from error
    except FileNotFoundError:
        open_log(LogStream(log), json=True).exception("reading_failed")
    os.close(log)

    told = json.loads((tmp_path / "log").read_text())["exception"]
    assert "DOE" not in told.replace('int("DOE^JANE")', "").replace('"/in/DOE.dcm"', "")
    assert "FileNotFoundError: No such file or directory\nraised from\n" in told
    assert told.endswith("ValueError")
    assert "test_an_exceptions_words_are_left_out" in told


PLANTED = {
    "PatientName": "PLANTED^NAME",
    "PatientID": "PLANTED-ID",
    "AccessionNumber": "PLANTED-ACC",
    "SeriesDescription": "PLANTED HEAD",
    "StudyDescription": "PLANTED STUDY",
    "ProtocolName": "PLANTED PROTOCOL",
    "PatientBirthDate": "19770707",
}


@pytest.mark.slow
def test_what_an_agent_logs_names_series_and_no_patient(program: Program) -> None:
    program.start()
    write_series(program.export / "PLANTED^FOLDER", 24, size=128, **PLANTED)
    beside = program.export.parent / "beside"  # in the export folder it might be seen by its name
    (refused,) = write_series(beside, 1, seed=1, PixelSpacing=None, **PLANTED)
    refused.rename(program.export / "PLANTED_REFUSED.dcm")
    (program.export / "PLANTED_OTHER.dcm").write_bytes(b"PLANTED, and no DICOM")
    until(lambda: len(program.concluded()) == 2)
    with program.store() as store:
        until(lambda: len(store.queries.notices(9)) >= 2)
        assert all(
            english(notice.reason).startswith("PLANTED_") for notice in store.queries.notices(9)
        )
    program.end(signal.SIGTERM)
    said = program.log.read_text()

    assert "PLANTED" not in said
    assert "19770707" not in said
    events = [json.loads(line) for line in said.splitlines()]
    concluded = {e["series_uid"]: e for e in events if e["event"] == "concluded"}
    assert set(concluded) == {uid("series", 0), uid("series", 1)}
    assert {"completeness_s", "total_s", "slices", "state", "code", "engine"} <= set(
        concluded[uid("series", 0)]
    )
    (refused,) = (e for e in events if e["event"] == "slice_refused")
    assert refused["series_uid"] == uid("series", 1)
    seconds = [v for e in events for k, v in e.items() if isinstance(v, float)]
    assert len(seconds) == sum(k.endswith("_s") for e in events for k in e)
