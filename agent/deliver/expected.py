"""Whether a patient is one whom the worklist expects. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agent.reasons import Reason
from agent.records import Identity


@dataclass(frozen=True, slots=True)
class Expected:
    """One entry of the worklist."""

    patient_id: str
    accession: str


def doubt_of(identity: Identity, entries: Sequence[Expected]) -> Reason | None:
    """Say why it is doubtful whose images these are; None where nothing speaks against it.

    An empty worklist says nothing about anybody. Zeros before a number and the case of letters are
    no difference: some systems add them.
    """
    if not entries:
        return None
    patient, accession = _plain(identity.patient_id), _plain(identity.accession)
    owners = {_plain(one.patient_id) for one in entries if _plain(one.accession) == accession}
    if accession and owners and patient not in owners:
        return Reason("accession_of_another")
    if patient not in {_plain(one.patient_id) for one in entries}:
        return Reason("patient_not_listed")
    return None


def _plain(number: str) -> str:
    return number.strip().casefold().lstrip("0")
