"""A RIS that is asked, by C-FIND, which patients are expected: a Modality Worklist."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Final

from pydicom.dataset import Dataset
from pynetdicom.sop_class import ModalityWorklistInformationFind  # type: ignore[attr-defined]
from pynetdicom.status import code_to_category

from agent.deliver.channel import unreachable
from agent.deliver.dimse import LOST, associated
from agent.deliver.expected import Expected
from agent.deliver.settings import WorklistSettings
from agent.errors import ArchiveRefused

MOST_ENTRIES: Final = 1_000
"""Of two days at one site. Ours: a large hospital has some hundred CTs a day."""

LONGEST: Final = 64
"""Characters of an ID or an accession number. Source: PS3.5 table 6.2-1, LO."""


def expected_on(settings: WorklistSettings, day: date) -> list[Expected]:
    """Ask for the CTs of a day and of the one before.

    Raises
    ------
    ArchiveUnreachable
        If there is no answer.
    ArchiveRefused
        If the answer is an error, endless, or of entries without a patient.
    """
    entries: list[Expected] = []
    with associated(settings, [ModalityWorklistInformationFind]) as association:
        answers = association.send_c_find(_query(day), ModalityWorklistInformationFind)
        for status, identifier in answers:
            if "Status" not in status:
                raise unreachable(settings, LOST)
            category = code_to_category(status.Status)
            if category not in ("Pending", "Success"):
                raise _refused(settings, f"status 0x{status.Status:04X}")
            if category == "Pending":
                entries.append(_entry(settings, identifier))
            if len(entries) > MOST_ENTRIES:
                association.abort()
                raise _refused(settings, f"more than {MOST_ENTRIES} entries")
    return entries


def _query(day: date) -> Dataset:
    step, query = Dataset(), Dataset()
    step.Modality = "CT"
    step.ScheduledProcedureStepStartDate = f"{day - timedelta(days=1):%Y%m%d}-{day:%Y%m%d}"
    query.PatientID = query.AccessionNumber = ""
    query.ScheduledProcedureStepSequence = [step]
    return query


def _entry(settings: WorklistSettings, identifier: Dataset | None) -> Expected:
    if identifier is None:
        raise _refused(settings, "an entry that is no data set")
    found = [identifier.get(name) or "" for name in ("PatientID", "AccessionNumber")]
    if not found[0] or any(not isinstance(one, str) or len(one) > LONGEST for one in found):
        raise _refused(settings, "an entry without a patient ID, or with one that is none")
    return Expected(*found)


def _refused(settings: WorklistSettings, why: str) -> ArchiveRefused:
    return ArchiveRefused("worklist_refused", channel=settings.name, why=why)
