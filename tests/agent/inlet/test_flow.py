"""``bleedwatch inlet`` beside ``bleedwatch run``: what DCMTK sends ends as an answer."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pynetdicom import AE

from agent.reasons import english
from tests.agent.doctor.scratch import free_port
from tests.agent.inlet.dcmtk import dcmtk
from tests.agent.inlet.test_steps import STEP, attributes, create, listing
from tests.phantoms import uid, write_series
from tests.program import Program, ended, until

pytestmark = pytest.mark.slow


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def both(tmp_path: Path, engines: Path, port: int) -> Iterator[tuple[Program, Program]]:
    """Agent and inlet on one box; neither runs yet."""
    inlet = (
        f'[inlet]\nsenders = ["CT1@127.0.0.1"]\nhost = "127.0.0.1"\nport = {port}\n'
        f"metrics_port = {free_port()}\n"
    )
    box = tmp_path / "box"
    with Program(box, engines, inlet) as agent, Program(box, engines, inlet) as receiver:
        yield agent, receiver


def calls(port: int) -> list[str]:
    return ["-aet", "CT1", "-aec", "BLEEDWATCH", "127.0.0.1", str(port)]


def test_a_head_that_a_scanner_sends_ends_as_an_answer(
    both: tuple[Program, Program], port: int, tmp_path: Path
) -> None:
    agent, inlet = both
    head = write_series(tmp_path / "head", 24)
    agent.start()
    inlet.start("inlet")
    until(lambda: dcmtk("echoscu", *calls(port)).returncode == 0)
    scanner = AE("CT1")
    scanner.add_requested_context(STEP)
    association = scanner.associate("127.0.0.1", port, ae_title="BLEEDWATCH")
    assert (
        create(association, "1.2.3", attributes("IN PROGRESS", listing(uid("series", 0), 24))) == 0
    )
    association.release()
    with agent.store() as store:
        assert store.queries.performed_images(uid("series", 0)) == 24

    assert dcmtk("storescu", *calls(port), *head).returncode == 0

    until(lambda: ended(agent.rows().get(uid("series", 0))))
    row = agent.rows()[uid("series", 0)]
    assert row.report is not None
    assert row.report.state == "suspected"
    assert row.report.geometry.slices == 24
    assert set(agent.files().values()) == {None}

    assert inlet.end(signal.SIGTERM) == 0
    assert "Müller" not in inlet.log.read_text()


def test_the_page_tells_of_images_that_were_refused(
    both: tuple[Program, Program], port: int, tmp_path: Path
) -> None:
    _, inlet = both
    inlet.start("inlet")
    until(lambda: dcmtk("echoscu", *calls(port)).returncode == 0)
    (inlet.export / "received").rename(inlet.export / "away")

    sending = dcmtk("storescu", *calls(port), *write_series(tmp_path / "head", 2))

    assert sending.returncode != 0
    with inlet.store() as store:
        until(lambda: store.queries.notices(1))
        (notice,) = store.queries.notices(9)
    assert notice.kind == "inlet"
    assert "images that CT1 sent were not received" in english(notice.reason)


def test_without_the_extra_the_command_says_what_to_install(program: Program) -> None:
    without = "import sys; sys.modules['pynetdicom'] = None; from agent.cli import main; main()"
    command = [sys.executable, "-c", without, "inlet", "--config", str(program.config)]

    said = subprocess.run(command, capture_output=True, text=True, check=False)

    assert said.returncode == 78
    assert "pip install '.[dicom]'" in said.stderr


def test_without_senders_the_command_is_one_line_and_is_not_started_again(
    program: Program,
) -> None:
    said = program.call("inlet")

    assert said.returncode == 78
    assert "inlet.senders names nobody" in said.stderr
    assert "senders = [" in said.stderr
