"""``bleedwatch deliver``: the service that is killed at any moment, and the commands about it."""

from __future__ import annotations

import json
import os
import random
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.store.effects import Conclude
from agent.wiring import system_clock
from tests.agent.deliver.archives import Orthanc, needs_orthanc, unclosed, until
from tests.agent.deliver.results import png, sources, stored_result
from tests.agent.deliver.test_hl7 import Mllp
from tests.agent.doctor.scratch import free_port
from tests.agent.reports import receive
from tests.program import Program

pytestmark = [unclosed, pytest.mark.slow]

CHANNELS = """
[deliver]
listen_port = {report_port}
[[deliver.dicom]]
name = "pacs"
host = "127.0.0.1"
port = {port}
ae_title = "ORTHANC"
timeout_s = 10.0
"""


AFTER_ITS_START = 0.8
"""So often the service is killed while it delivers; else, most likely, while it starts."""


@pytest.fixture
def orthanc(tmp_path: Path) -> Iterator[Orthanc]:
    with Orthanc(tmp_path / "orthanc") as archive:
        yield archive


@pytest.fixture
def sender(tmp_path: Path, engines: Path, orthanc: Orthanc) -> Iterator[Program]:
    more = CHANNELS.format(port=orthanc.port, report_port=orthanc.report_port)
    with Program(tmp_path / "box", engines, more) as program:
        yield program


def conclude(program: Program, n: int) -> None:
    """Let suspicions be stored, as the agent does."""
    with program.store() as store:
        for seed in range(n):
            uid = f"1.2.{seed}"
            result = stored_result(series_uid=uid, result_id=uid, size=64)
            receive(store, system_clock, uid)
            pictures, channels = {"axial": png()}, ("console", "pacs")
            store.agent.commit([Conclude(result.report, pictures, channels, sources(result))])


def n_delivered(program: Program) -> int:
    with program.store() as store:
        rows = store.sql(
            "SELECT count(*) AS n FROM outbox WHERE channel = 'pacs' AND delivered_utc IS NOT NULL"
        )
    return int(rows[0]["n"])


@needs_orthanc
@pytest.mark.timeout(3600)
def test_killed_at_random_moments_each_object_arrives_once(
    sender: Program, orthanc: Orthanc, request: pytest.FixtureRequest
) -> None:
    n_kills = 200 if request.config.getoption("--full") else 3
    n_results = max(5, n_kills // 2)
    conclude(sender, n_results)
    moments = random.Random(20261130)
    seen = []

    for _ in range(n_kills):
        sender.log.unlink(missing_ok=True)
        sender.start("deliver", "run")
        if moments.random() < AFTER_ITS_START:
            until(lambda: sender.log.exists() and "delivering" in sender.log.read_text())
        time.sleep(moments.uniform(0.0, 4.0))
        sender.kill()
        seen.append(n_delivered(sender))
    sender.start("deliver", "run")
    until(lambda: n_delivered(sender) == n_results, 300.0)

    uids = orthanc.sop_uids()
    print(f"faults: {n_kills} kills, delivered after each {seen[:9]}, {len(uids)} objects")
    assert len(uids) == len(set(uids)) == 5 * n_results


@needs_orthanc
def test_an_archive_that_was_gone_is_sent_everything_when_it_is_back(
    sender: Program, orthanc: Orthanc
) -> None:
    orthanc.stop()
    conclude(sender, 2)
    sender.start("deliver", "run")
    until(lambda: "cannot be reached" in sender.call("deliver", "list").stdout)

    orthanc.start()
    said = sender.call("deliver", "retry", "pacs")

    assert said.stdout == "2 to be sent again\n"
    until(lambda: n_delivered(sender) == 2)
    assert sender.call("deliver", "list").stdout == "all delivered\n"
    assert sender.call("deliver", "drop", "pacs").returncode == 1


@needs_orthanc
def test_a_channel_is_tried_out_from_end_to_end(sender: Program, orthanc: Orthanc) -> None:
    said = sender.call("deliver", "test", "pacs", "--json")

    output = json.loads(said.stdout)
    assert (said.returncode, output["done"]) == (0, ["answers", "takes", "keeps"])
    assert len(orthanc.sop_uids()) == 1

    orthanc.stop()
    said = sender.call("deliver", "test", "pacs")
    assert said.returncode == 1
    assert "✗ answers" in said.stdout
    assert "pacs cannot be reached" in said.stdout


def test_without_a_channel_there_is_nothing_to_run(program: Program) -> None:
    said = program.call("deliver", "run")

    assert said.returncode == 78
    assert "names no channel" in said.stderr
    assert "no channel is named pacs" in program.call("deliver", "test", "pacs").stderr


@pytest.mark.parametrize("words", [("deliver", "run"), ("deliver", "test", "pacs"), ("inlet",)])
def test_without_the_dicom_extra_the_package_and_the_command_are_named(
    tmp_path: Path, engines: Path, words: tuple[str, ...]
) -> None:
    """``deliver test`` said to install what training needs."""
    more = CHANNELS.format(port=free_port(), report_port=free_port())
    hidden = tmp_path / "hidden" / "pynetdicom.py"
    hidden.parent.mkdir()
    hidden.write_text('raise ModuleNotFoundError("gone", name="pynetdicom")\n')

    with Program(tmp_path / "box", engines, more) as program:
        said = subprocess.run(
            program.command(*words), capture_output=True, text=True, check=False,
            env={**os.environ, "PYTHONPATH": str(hidden.parent)},
        )  # fmt: skip

    assert said.returncode == 78
    assert "the Python package pynetdicom is not installed" in said.stderr
    assert "pip install '.[dicom]'" in said.stderr


def test_a_site_without_an_archive_needs_no_extra_packages(tmp_path: Path, engines: Path) -> None:
    hidden, mllp = tmp_path / "hidden", Mllp()
    hidden.mkdir()
    for name in ("pynetdicom", "highdicom"):
        (hidden / f"{name}.py").write_text(f'raise ModuleNotFoundError("gone", name="{name}")\n')

    with mllp.listening() as port:
        more = f'[[deliver.hl7]]\nname = "ris"\nhost = "127.0.0.1"\nport = {port}\n'
        with Program(tmp_path / "box", engines, more) as program:
            said = subprocess.run(
                program.command("deliver", "test", "ris", "--json"),
                capture_output=True, text=True, check=False,
                env={**os.environ, "PYTHONPATH": str(hidden)},
            )  # fmt: skip

    assert json.loads(said.stdout)["done"] == ["answers", "takes", "keeps"]
    assert "BLEEDWATCH^TEST" in mllp.fed[-1]


def test_what_is_dropped_waits_no_more(tmp_path: Path, engines: Path) -> None:
    more = CHANNELS.format(port=free_port(), report_port=free_port())
    with Program(tmp_path / "box", engines, more) as program:
        conclude(program, 2)

        assert program.call("deliver", "drop", "pacs", "1.2.0").stdout == "1 dropped\n"

        (waiting,) = json.loads(program.call("deliver", "list", "--json").stdout)["waiting"]
        assert waiting["series_uid"] == "1.2.1"
        shown = json.loads(program.call("show", "1.2.0", "--json").stdout)
        pacs = next(
            one
            for one in shown[0]["series"][0]["results"][0]["deliveries"]
            if one["channel"] == "pacs"
        )
        assert pacs["dropped_utc"]
