"""agent.deliver.ups: a real association raises the reading of one order, once, and lowers none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from pynetdicom.events import Event
from pynetdicom.sop_class import UnifiedProcedureStepPull, Verification

from agent.deliver.commitments import Commitments
from agent.deliver.settings import UpsChannel
from agent.dispatch import channel_of
from agent.errors import ArchiveRefused, ArchiveUnreachable
from agent.reasons import Reason
from tests.agent.deliver.archives import unclosed
from tests.agent.deliver.results import AT, stored_result
from tests.agent.doctor.scratch import free_port

FAILED, GONE, ENDED, NOT_YOURS = 0xC300, 0xC307, 0xC310, 0xC301
"""Source: PS3.4 table CC.2.6-2."""


@dataclass
class Manager:
    """A manager of steps, in the parts that are asked of it; ``status`` refuses every change."""

    port: int
    steps: list[Dataset] = field(default_factory=list)
    status: int = 0
    find_status: int = 0
    matches: bool = True
    n_changes: int = 0

    def find(self, event: Event) -> Iterator[tuple[int, Dataset | None]]:
        if self.find_status:
            yield self.find_status, None
            return
        wanted = event.identifier
        for step in self.steps:
            if not self.matches or (
                step.PatientID == wanted.PatientID
                and step.ProcedureStepState == wanted.ProcedureStepState
                and step.ReferencedRequestSequence[0].AccessionNumber
                == wanted.ReferencedRequestSequence[0].AccessionNumber
            ):
                yield 0xFF00, step

    def change(self, event: Event) -> tuple[int, Dataset | None]:
        """Change a step as PS3.4 CC.2.6 has it: one that is scheduled needs no transaction."""
        self.n_changes += 1
        named = [
            one for one in self.steps if one.SOPInstanceUID == event.request.RequestedSOPInstanceUID
        ]
        if self.status or not named:
            return self.status or GONE, None
        if named[0].ProcedureStepState != "SCHEDULED":
            return ENDED, None
        assert [one.keyword for one in event.modification_list] == [
            "ScheduledProcedureStepPriority"
        ]
        named[0].update(event.modification_list)
        return 0x0000, named[0]


def step(uid: str = "1.2.7", accession: str = "A1", patient: str = "P1", **more: Any) -> Dataset:
    order, made = Dataset(), Dataset()
    order.AccessionNumber = accession
    made.SOPInstanceUID, made.PatientID = uid, patient
    made.ReferencedRequestSequence = [order]
    made.ProcedureStepState, made.ScheduledProcedureStepPriority = "SCHEDULED", "MEDIUM"
    for name, value in more.items():
        setattr(made, name, value)
    return made


@pytest.fixture(scope="module")
def running() -> Iterator[Manager]:
    manager, entity = Manager(free_port()), AE("RIS")
    entity.add_supported_context(UnifiedProcedureStepPull)
    entity.add_supported_context(Verification)
    handlers = [
        (evt.EVT_C_FIND, manager.find),
        (evt.EVT_N_SET, manager.change),
    ]
    server = entity.start_server(("127.0.0.1", manager.port), block=False, evt_handlers=handlers)
    yield manager
    server.shutdown()


@pytest.fixture
def manager(running: Manager) -> Manager:
    """The manager, with nothing in it."""
    for name, value in vars(Manager(running.port)).items():
        setattr(running, name, value)
    return running


def channel(port: int) -> Any:
    settings = UpsChannel(name="ups", host="127.0.0.1", port=port, ae_title="RIS", timeout_s=5)
    return channel_of(settings, Commitments())


def told(manager: Manager, **changes: Any) -> Reason | None:
    """Send a result; return what came of it besides."""
    ups = channel(manager.port)
    result = stored_result(size=64, **changes)
    if changes.get("predecessor"):
        result = replace(result, n_former_findings=2)
    letter = ups.letter(result)
    remark = ups.send(letter)
    assert ups.keeps(letter)
    return remark


def test_a_suspicions_step_is_raised_once(manager: Manager) -> None:
    manager.steps = [step(), step("1.2.8", accession="A2")]

    assert told(manager) == Reason("order_raised", channel="ups", priority="HIGH")
    assert told(manager) == Reason("order_left", channel="ups", priority="HIGH")

    raised = [one.ScheduledProcedureStepPriority for one in manager.steps]
    assert raised == ["HIGH", "MEDIUM"]
    assert manager.n_changes == 1


@pytest.mark.parametrize("matches", [True, False])
@pytest.mark.parametrize(
    "steps",
    [
        [],
        [step(patient="P2")],
        [step(patient="P")],
        [step(accession="A2")],
        [step(ProcedureStepState="IN PROGRESS")],
        [step(), step("1.2.8")],
    ],
    ids=["none", "another patient's", "a part of it", "another order's", "begun", "two"],
)
def test_where_there_is_not_one_to_raise_none_is(
    manager: Manager, steps: list[Dataset], matches: bool
) -> None:
    manager.steps, manager.matches = steps, matches

    remark = told(manager)

    assert remark
    assert remark.code == "order_not_found"
    assert manager.n_changes == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"state": "not_suspected", "findings": (), "predecessor": "first", "revision": 2},
        {"state": "not_suspected", "findings": ()},
        {"predecessor": "first", "revision": 2},
    ],
    ids=["withdrawn", "never suspected", "suspected again"],
)
def test_what_is_withdrawn_or_corrected_changes_nothing(
    manager: Manager, changes: dict[str, Any]
) -> None:
    manager.steps = [step(ScheduledProcedureStepPriority="LOW")]

    assert told(manager, **changes) is None
    assert manager.steps[0].ScheduledProcedureStepPriority == "LOW"


@pytest.mark.parametrize("status", [FAILED, NOT_YOURS, ENDED, GONE])
def test_a_refused_change_is_told_by_its_status(manager: Manager, status: int) -> None:
    manager.steps, manager.status = [step()], status
    with pytest.raises(ArchiveRefused, match=f"priority: status 0x{status:04X}"):
        told(manager)


@unclosed
def test_nonsense_and_nobody_are_told(manager: Manager) -> None:
    manager.find_status = 0xA700
    with pytest.raises(ArchiveRefused, match="to look for the step: 0xA700"):
        told(manager)

    manager.find_status, manager.steps = 0, [step(f"1.2.{n}") for n in range(105)]
    with pytest.raises(ArchiveRefused, match="more than 100"):
        told(manager)

    with pytest.raises(ArchiveUnreachable):
        channel(free_port()).greet()


def test_a_trial_asks_and_raises_nothing(manager: Manager) -> None:
    ups = channel(manager.port)
    ups.greet()
    assert ups.send(ups.trial("2.25.1", AT)) is None
    assert manager.n_changes == 0
