"""agent.doctor.archives: each channel answers; what is held up is told in the archive's words."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from agent.deliver.settings import DicomChannel
from agent.doctor.archives import archives
from agent.doctor.result import CheckResult, Mark
from agent.reasons import Reason
from agent.records import Instant
from agent.store.delivery_store import DeliveryStore
from agent.wiring import system_clock
from tests.agent.deliver.archives import collected, unclosed
from tests.agent.deliver.test_archives import pacs
from tests.agent.deliver.web import Web
from tests.agent.doctor.scratch import Scratch, free_port
from tests.agent.reports import add_result, receive, report
from tests.agent.stored import Store

pytestmark = unclosed

CHANNEL = '[[deliver.dicom]]\nname = "pacs"\nhost = "127.0.0.1"\nport = {}\nae_title = "ORTHANC"'


@pytest.fixture
def scratch(tmp_path: Path) -> Scratch:
    return Scratch(tmp_path, free_port())


def checked(scratch: Scratch, port: int) -> CheckResult:
    scratch.configure(selftest=CHANNEL.format(port))
    found = archives(scratch.box())
    collected()
    return found


def concluded(scratch: Scratch, ago: timedelta) -> None:
    """Let a result wait for the channel since a while ago."""

    def clock() -> Instant:
        now = system_clock()
        return Instant(now.utc - ago, now.monotonic_s)

    with Store(scratch.store_path, clock) as store:
        receive(store, clock)
        add_result(store, report(), channels=("console", "pacs"))


def test_a_site_that_sends_nothing_is_well(scratch: Scratch) -> None:
    found = archives(scratch.box())

    assert (found.mark, found.text) == (Mark.WELL, "results are sent nowhere")


def test_a_record_in_which_no_order_can_be_raised_is_wrong(scratch: Scratch) -> None:
    said = b'{"resourceType": "CapabilityStatement", "rest": []}'
    with Web(200, said).listening() as url:
        scratch.configure(
            selftest=f'[[deliver.fhir]]\nname = "ehr"\nurl = "{url}/fhir"\npriority = "stat"\n'
            'patient_system = "urn:p"\norder_system = "urn:a"'
        )
        found = archives(scratch.box())

    assert found.mark is Mark.WRONG
    assert "does not say that orders" in found.text


@pytest.mark.slow
def test_an_archive_that_answers_is_well_and_one_that_does_not_is_wrong(scratch: Scratch) -> None:
    with pacs() as port:
        assert checked(scratch, port).mark is Mark.WELL

    found = checked(scratch, free_port())
    assert found.mark is Mark.WRONG
    assert found.text.startswith("pacs cannot be reached: no connection")


def test_results_that_nobody_sends_are_told(scratch: Scratch) -> None:
    with pacs() as port:
        concluded(scratch, timedelta(minutes=11))
        found = checked(scratch, port)

    assert found.mark is Mark.WRONG
    assert found.text == "1 results wait for pacs, and nobody sends them"


def test_a_refusal_is_told_in_the_archives_words(scratch: Scratch) -> None:
    concluded(scratch, timedelta(0))
    why = Reason("archive_refused", channel="pacs", n_refused=1, n_objects=5, why="0xA700 full")
    with Store(scratch.store_path, system_clock) as store:
        deliveries = DeliveryStore(store.database, system_clock)
        deliveries.failed(deliveries.waiting("pacs")[0], why, send_again=True)
    with pacs() as port:
        found = checked(scratch, port)

    assert found.text == "pacs refused 1 of 5 objects: 0xA700 full"


def test_a_channels_title_is_an_ae_title() -> None:
    with pytest.raises(ValueError, match="ae_title"):
        DicomChannel(name="pacs", host="h", ae_title="A" * 17)


def test_a_worklist_that_does_not_answer_is_told_and_without_one_there_is_no_line(
    scratch: Scratch,
) -> None:
    assert "worklist" not in scratch.results()

    scratch.configure(
        selftest=f'[worklist]\nhost = "127.0.0.1"\nport = {free_port()}\nae_title = "R"'
    )
    found = scratch.results()["worklist"]
    collected()
    assert (found.mark, found.text) == (
        Mark.WRONG,
        "worklist cannot be reached: no connection, or it was aborted",
    )
