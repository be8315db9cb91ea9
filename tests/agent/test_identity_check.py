"""agent.identity_check: a patient whom nobody expects is told of, and no answer waits for it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid
from pynetdicom import AE, evt
from pynetdicom.sop_class import ModalityWorklistInformationFind

from agent.deliver.expected import Expected, doubt_of
from agent.deliver.settings import WorklistSettings
from agent.deliver.worklist import expected_on
from agent.errors import ArchiveRefused, ArchiveUnreachable
from agent.identity_check import IdentityCheck
from agent.reasons import Reason
from agent.store.delivery_store import DeliveryStore
from agent.store.view import ExaminationView
from tests.agent.box import SetClock
from tests.agent.deliver.archives import collected, unclosed, until
from tests.agent.doctor.scratch import free_port
from tests.agent.reports import add_result, identity, receive, report
from tests.agent.stored import Store

pytestmark = unclosed

LOG = structlog.wrap_logger(structlog.ReturnLogger(), processors=[lambda *_: ""])
DAY = date(2026, 11, 30)
NOT_LISTED, OF_ANOTHER = Reason("patient_not_listed"), Reason("accession_of_another")


def settings(port: int = 104, **changes: Any) -> WorklistSettings:
    values = {"host": "127.0.0.1", "port": port, "ae_title": "RIS", "timeout_s": 5.0}
    return WorklistSettings.model_validate(values | changes)


@pytest.mark.parametrize(
    ("entries", "doubt"),
    [
        ([], None),
        ([Expected("P1", "A1")], None),
        ([Expected("0p1 ", "")], None),
        ([Expected("P1", "A9"), Expected("P2", "A2")], None),
        ([Expected("P2", "A2")], NOT_LISTED),
        ([Expected("P2", "A1")], OF_ANOTHER),
        ([Expected("P1", "A7"), Expected("P2", "A1")], OF_ANOTHER),
        ([Expected("P2", "A1"), Expected("P1", "A1")], None),
    ],
    ids=[
        "nobody is listed", "is listed", "is written otherwise", "has another order",
        "is not listed", "has another's order", "is listed, and has another's order",
        "shares an order",
    ],
)  # fmt: skip
def test_a_patient_is_doubted_where_the_list_speaks_against_it(
    entries: list[Expected], doubt: Reason | None
) -> None:
    assert doubt_of(identity(), entries) == doubt


def test_without_an_accession_number_no_order_is_anybodys() -> None:
    assert (
        doubt_of(replace(identity(), accession=""), [Expected("P1", ""), Expected("P2", "")])
        is None
    )


@dataclass
class Site:
    """A store with a suspicion, and a worklist in memory."""

    store: Store
    clock: SetClock
    entries: list[Expected] = field(default_factory=lambda: [Expected("P2", "A2")])
    fails: bool = False
    n_asked: int = 0

    def __post_init__(self) -> None:
        receive(self.store, self.clock)
        add_result(self.store, report())
        self.deliveries = DeliveryStore(self.store.database, self.clock)
        self.check = IdentityCheck(settings(), self.ask, self.deliveries, self.clock, LOG)

    def ask(self, _day: date) -> Sequence[Expected]:
        self.n_asked += 1
        if self.fails:
            raise ArchiveUnreachable("archive_unreachable", channel="worklist", why="gone")
        return self.entries

    def remark(self) -> str | None:
        (row,) = self.store.queries.examinations(10)
        view = ExaminationView.of(row)
        return view.remark.code if view.remark else None


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    clock = SetClock()
    with Store(tmp_path / "store.sqlite", clock) as store:
        yield Site(store, clock)


def test_the_doubt_stands_at_the_examination_until_the_list_takes_it_back(site: Site) -> None:
    assert site.remark() is None
    assert site.check.turn() == 1
    assert site.remark() == "patient_not_listed"

    site.entries = [Expected("P1", "A1")]
    assert (site.check.turn(), site.n_asked) == (0, 1)
    site.clock.now_s += 60.0
    assert site.check.turn() == 1
    assert site.remark() is None


def test_a_worklist_that_does_not_answer_changes_nothing(site: Site) -> None:
    site.check.turn()
    site.fails = True
    site.clock.now_s += 60.0

    assert site.check.turn() == 0
    assert site.remark() == "patient_not_listed"


def test_what_came_long_ago_is_not_compared(site: Site) -> None:
    site.clock.now_s += timedelta(hours=13).total_seconds()

    assert site.check.turn() == 0


def entry(patient_id: str, accession: str, day: str = "20261130", modality: str = "CT") -> Dataset:
    step = Dataset()
    step.Modality, step.ScheduledStationAETitle = modality, "CT1"
    step.ScheduledProcedureStepStartDate, step.ScheduledProcedureStepStartTime = day, "120000"
    step.ScheduledPerformingPhysicianName = ""
    step.ScheduledProcedureStepDescription = step.ScheduledProcedureStepID = "head"
    listed = Dataset()
    listed.SpecificCharacterSet = "ISO_IR 192"
    listed.PatientName, listed.PatientID, listed.AccessionNumber = "Müller^A", patient_id, accession
    listed.PatientBirthDate, listed.PatientSex, listed.StudyInstanceUID = "", "F", generate_uid()
    listed.RequestedProcedureID = listed.RequestedProcedureDescription = "head"
    listed.ScheduledProcedureStepSequence = [step]
    return listed


@pytest.fixture(scope="module")
def ris(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """DCMTK's worklist with four entries, two of which are CTs of these days."""
    folder, port = tmp_path_factory.mktemp("worklist"), free_port()
    (folder / "RIS").mkdir()
    (folder / "RIS" / "lockfile").touch()
    listed = [
        entry("P1", "A1"), entry("P2", "A2", "20261129"),
        entry("P3", "A3", "20261201"), entry("P4", "A4", modality="MR"),
    ]  # fmt: skip
    for number, one in enumerate(listed):
        one.file_meta = FileMetaDataset()
        one.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        one.file_meta.MediaStorageSOPClassUID = ModalityWorklistInformationFind
        one.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        one.save_as(folder / "RIS" / f"{number}.wl", enforce_file_format=True)
    server = subprocess.Popen(
        ["wlmscpfs", "-s", "-dfr", "-dfp", str(folder), str(port)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip

    def answers() -> bool:
        try:
            return bool(expected_on(settings(port), DAY))
        except ArchiveUnreachable:
            return False

    until(answers)
    yield port
    server.kill()
    server.wait()
    collected()


def test_a_real_worklist_tells_the_cts_of_a_day_and_the_one_before(ris: int) -> None:
    found = expected_on(settings(ris), DAY)

    assert sorted(one.patient_id for one in found) == ["P1", "P2"]
    assert doubt_of(identity(), found) is None
    assert doubt_of(identity(patient_id="P5"), found) == OF_ANOTHER
    assert doubt_of(replace(identity(patient_id="P5"), accession="A8"), found) == NOT_LISTED


LISTED = Dataset()
LISTED.PatientID = "P1"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("answers", "why"),
    [
        ([(0xFF00, entry("", "A1"))], "without a patient ID"),
        ([(0xFF00, entry("P1\\P2", "A1"))], "without a patient ID"),
        ([(0xA700, None)], "status 0xA700"),
        ([(0xFF00, LISTED)] * 1001, "more than 1000 entries"),
    ],
    ids=["no ID", "two IDs", "refuses", "endless"],
)
def test_nonsense_is_refused_by_name(answers: list[tuple[int, Dataset | None]], why: str) -> None:
    ae = AE("RIS")
    ae.add_supported_context(ModalityWorklistInformationFind)
    handlers = [(evt.EVT_C_FIND, lambda _event: iter(answers))]
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    try:
        with pytest.raises(ArchiveRefused, match=why):
            expected_on(settings(server.server_address[1]), DAY)
    finally:
        server.shutdown()
        collected()


@pytest.mark.slow
def test_nobody_there_is_told() -> None:
    with pytest.raises(ArchiveUnreachable, match="worklist cannot be reached"):
        expected_on(settings(free_port()), DAY)
    collected()
