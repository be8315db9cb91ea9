"""A work list of procedure steps (UPS) in which a suspicion's reading is raised, where one is kept.

As with orders in FHIR: it is found by accession number and patient together, raised where there is
just one that nobody has begun, and never lowered.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from pydicom.dataset import Dataset
from pynetdicom.association import Association
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    UnifiedProcedureStepPull,
    UnifiedProcedureStepPush,
)
from pynetdicom.status import code_to_category

from agent.deliver.channel import refused, unreachable
from agent.deliver.dimse import LOST, associated
from agent.deliver.result import StoredResult
from agent.deliver.settings import UpsChannel
from agent.reasons import Reason

HIGH: Final = "HIGH"
"""What is STAT elsewhere. Source: PS3.3 C.30.1, Scheduled Procedure Step Priority."""

SCHEDULED: Final = "SCHEDULED"
"""A step that nobody has begun; others may be changed by who has begun it alone. Source: PS3.4
CC.1.1."""

MOST: Final = 100
"""Of steps with one accession number. Ours."""


@dataclass(frozen=True, slots=True)
class Sought:
    """Whose step is to be raised."""

    accession: str
    patient_id: str


class WorkList:
    """One manager of procedure steps, with an association for each call."""

    def __init__(self, settings: UpsChannel) -> None:
        """Speak to the manager of the settings."""
        self._settings = settings

    def greet(self) -> None:
        """Ask for an association within which steps can be asked for. See ``Channel``."""
        with associated(self._settings, [UnifiedProcedureStepPull]):
            pass

    def letter(self, result: StoredResult) -> Sought | None:
        """Say which step is to be raised; None where none is. See ``Channel``."""
        if not result.raises_order:
            return None
        return Sought(result.identity.accession, result.identity.patient_id)

    def trial(self, study_uid: str, at: datetime) -> None:  # noqa: ARG002 - as ``Channel`` has it
        """Raise nothing: there is no step of nobody. See ``Channel``."""
        return

    def send(self, letter: Sought | None) -> Reason | None:
        """Raise the step, and say what became of it. See ``Channel``."""
        if letter is None:
            return None
        named = self._settings.name
        with associated(self._settings, [UnifiedProcedureStepPull]) as association:
            steps = self._scheduled(association, letter)
            if len(steps) != 1:
                return Reason("order_not_found", channel=named, n_orders=len(steps))
            if steps[0].get("ScheduledProcedureStepPriority") == HIGH:
                return Reason("order_left", channel=named, priority=HIGH)
            self._raise(association, str(steps[0].SOPInstanceUID))
        return Reason("order_raised", channel=named, priority=HIGH)

    def keeps(self, letter: Sought | None) -> bool:  # noqa: ARG002 - as ``Channel`` has it
        """Hold a step that was answered to be kept. See ``Channel``."""
        return True

    def _scheduled(self, association: Association, sought: Sought) -> list[Dataset]:
        """Return the steps of this order and patient that nobody has begun."""
        found: list[Dataset] = []
        if not sought.accession or not sought.patient_id:
            return found
        for status, step in association.send_c_find(_query(sought), UnifiedProcedureStepPull):
            if "Status" not in status:
                raise unreachable(self._settings, LOST)
            category = code_to_category(status.Status)
            if category not in ("Pending", "Success"):
                raise refused(self._settings, f"to look for the step: 0x{status.Status:04X}")
            if step is not None:
                found.append(step)
            if len(found) > MOST:
                association.abort()
                raise refused(self._settings, f"to look for the step: more than {MOST} of them")
        return [step for step in found if _is_of(step, sought)]

    def _raise(self, association: Association, uid: str) -> None:
        change = Dataset()
        change.ScheduledProcedureStepPriority = HIGH
        status, _ = association.send_n_set(
            change, UnifiedProcedureStepPush, uid, meta_uid=UnifiedProcedureStepPull
        )
        if "Status" not in status:
            raise unreachable(self._settings, LOST)
        if code_to_category(status.Status) not in ("Success", "Warning"):
            comment = str(status.get("ErrorComment") or "")
            why = f"the step's priority: status 0x{status.Status:04X} {comment}"
            raise refused(self._settings, why.strip())


def _query(sought: Sought) -> Dataset:
    order, query = Dataset(), Dataset()
    order.AccessionNumber = sought.accession
    query.PatientID = sought.patient_id
    query.ReferencedRequestSequence = [order]
    query.ProcedureStepState = SCHEDULED
    query.SOPInstanceUID = query.ScheduledProcedureStepPriority = ""
    return query


def _is_of(step: Dataset, sought: Sought) -> bool:
    """Whether a step is what was asked for: some managers match no sequences, some by wildcards."""
    orders = step.get("ReferencedRequestSequence") or ()
    numbers = {str(one.get("AccessionNumber") or "") for one in orders}
    return (
        str(step.get("PatientID") or "") == sought.patient_id
        and numbers == {sought.accession}
        and step.get("ProcedureStepState") == SCHEDULED
        and bool(step.get("SOPInstanceUID"))
    )
