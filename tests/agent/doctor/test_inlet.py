"""Doctor's lines on the inlet: made where senders are named, and wrong for one reason each."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from agent.config import load_config
from agent.doctor import Mark
from agent.doctor import inlet as checks
from agent.doctor.result import CheckResult
from agent.records import PerformedStep
from agent.store.drawings import DrawnSegment
from agent.store.step_store import StepStore
from agent.wiring import system_clock
from tests.agent.certificates import Authority
from tests.agent.doctor.scratch import Scratch, free_port, write_systemctl
from tests.agent.inlet.dcmtk import inlet_in
from tests.agent.reports import add_result, receive, report
from tests.agent.stored import Store


@pytest.fixture
def scratch(tmp_path: Path) -> Scratch:
    return Scratch(tmp_path, free_port())


def configure(scratch: Scratch, *lines: str) -> None:
    """Name a sender, and a port of the inlet's own."""
    table = (
        f'[inlet]\nsenders = ["CT1@127.0.0.1"]\nhost = "127.0.0.1"\nport = {free_port()}\n'
        f"metrics_port = {free_port()}\n"
    )
    text = scratch.config.read_text()
    scratch.config.write_text(text + table + "\n".join(lines) + "\n")


@contextmanager
def running(scratch: Scratch) -> Iterator[None]:
    settings = load_config(scratch.config).inlet_settings
    with inlet_in(scratch.export, port=settings.port, metrics_port=settings.metrics_port):
        yield


def test_where_no_sender_is_named_nothing_is_said_of_it(scratch: Scratch) -> None:
    assert not [name for name in scratch.results() if "inlet" in name]


def test_an_inlet_that_is_well(
    scratch: Scratch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = tmp_path / "authority"
    authority.mkdir()
    certificate, key = Authority(authority).make("inlet")
    configure(scratch, f'tls_certificate = "{certificate}"', f'tls_key = "{key}"')
    states = "LoadState=loaded\nActiveState=active\nSubState=running\nUnitFileState=enabled"
    write_systemctl(tmp_path / "bin", f"{states}\nNRestarts=0\nResult=success")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)

    with running(scratch):
        found = {name: one for name, one in scratch.results().items() if "inlet" in name}

    names = ["unit", "folder", "", "certificate", "segmentations", "procedure steps"]
    assert [*found] == [f"inlet's {name}" if name else "inlet" for name in names]
    assert {one.mark for one in found.values()} == {Mark.WELL}
    assert "receives from CT1@127.0.0.1" in found["inlet"].text


def test_without_tls_it_says_so(scratch: Scratch) -> None:
    configure(scratch)

    assert checks.certificate(scratch.box()).reason.code == "inlet_unencrypted"


@pytest.mark.parametrize(
    ("days", "mark", "code"),
    [(-1, Mark.WRONG, "certificate_expired"), (29, Mark.NOTE, "inlet_certificate_expires_soon")],
)
def test_a_certificate_that_ends(
    scratch: Scratch, tmp_path: Path, days: int, mark: Mark, code: str
) -> None:
    authority = tmp_path / "authority"
    authority.mkdir()
    files = Authority(authority).make("e", begins=timedelta(-9), ends=timedelta(days, hours=1))
    configure(scratch, f'tls_certificate = "{files[0]}"', f'tls_key = "{files[1]}"')

    told = scratch.results()["inlet's certificate"]

    assert (told.mark, told.reason.code) == (mark, code)


def test_an_inlet_that_does_not_run(scratch: Scratch) -> None:
    configure(scratch)

    assert_wrong(checks.port(scratch.box()), "inlet_silent")


def test_a_port_that_another_program_has(scratch: Scratch) -> None:
    configure(scratch)
    settings = load_config(scratch.config).inlet_settings

    with socket.create_server((settings.host, settings.port)):
        assert_wrong(checks.port(scratch.box()), "inlet_port_of_other_program")


def test_an_extra_that_is_not_installed(scratch: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    configure(scratch)
    monkeypatch.setitem(sys.modules, "pynetdicom", None)

    told = checks.port(scratch.box())

    assert_wrong(told, "dicom_package_missing")
    assert "pip install '.[dicom]'" in told.what_to_do


def test_a_folder_that_the_account_cannot_write(scratch: Scratch) -> None:
    configure(scratch)
    (scratch.export / "received").mkdir()
    (scratch.export / "received").chmod(0o555)

    told = checks.folder(scratch.box(account="nobody"))

    if os.getuid() == 0:  # nobody cannot reach pytest's folders at all, which is wrong too
        assert_wrong(told, "inlet_folder_closed")
    else:
        assert_wrong(checks.folder(scratch.box()), "inlet_folder_closed")


def assert_wrong(told: CheckResult, code: str) -> None:
    assert (told.mark, told.reason.code) == (Mark.WRONG, code)
    assert told.what_to_do


def test_what_came_of_segmentations_and_procedure_steps_is_told(scratch: Scratch) -> None:
    configure(scratch, "segmentations = true")
    with Store(scratch.store_path, system_clock) as store:
        found = checks.segmentations(scratch.box()), checks.procedure_steps(scratch.box())
        assert [(one.mark, one.reason.code) for one in found] == [
            (Mark.NOTE, "segmentations_none"),
            (Mark.WELL, "steps_none"),
        ]

        receive(store, system_clock)
        add_result(store, report())
        segments = [DrawnSegment(label="bleed", volume_ml=1.0)]
        store.console.draw(("1.2.3.4", 1), "1.2.9", "Grey", segments)
        StepStore(store.database, system_clock).record(
            PerformedStep("1.2.7", created=True, status="IN PROGRESS", images=())
        )

        found = checks.segmentations(scratch.box()), checks.procedure_steps(scratch.box())
        assert [one.reason.code for one in found] == ["segmentations_came", "steps_came"]
