"""A report as a radiologist signed it: a Basic Text SR, verified by name."""

from __future__ import annotations

from typing import Final

from highdicom import sr
from highdicom.sr.enum import RelationshipTypeValues
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import UID, BasicTextSRStorage

from agent.deliver.dicom.codes import REPORT_TITLE, SECTIONS
from agent.deliver.dicom.measurements import own_scheme
from agent.deliver.dicom.result import (
    MANUFACTURER,
    SERIES_NUMBERS,
    key_slices,
    reference_to,
    series_uid,
    signed_uid,
    source_datasets,
    stamped,
)
from agent.deliver.result import SignedText, StoredResult

LANGUAGES: Final = {
    "en": "English",
    "de": "German",
    "fr": "French",
    "es": "Spanish",
    "zh": "Chinese",
}
"""Source: RFC 5646, by DICOM PS3.16 CID 5000."""

CONTAINS: Final = RelationshipTypeValues.CONTAINS


def signed_report(result: StoredResult, signed: SignedText, organization: str) -> Dataset:
    """Make the report, of which ``organization`` is who its reader answers to."""
    name = f"{signed.who}^"  # one component: an account's name is not taken apart
    language = Code(signed.language, "RFC5646", LANGUAGES[signed.language])
    content = sr.ContainerContentItem(REPORT_TITLE, template_id="2000")
    content.ContentSequence = Sequence(
        [
            *sr.LanguageOfContentItemAndDescendants(sr.CodedConcept.from_code(language)),
            *_observer(name),
            *(_section(one, texts) for one, texts in signed.sections.items() if texts),
        ]
    )
    made = sr.EnhancedSR(
        evidence=source_datasets(result, key_slices(result)),
        content=content,
        series_instance_uid=series_uid(result, "signed_report"),
        series_number=SERIES_NUMBERS["signed_report"],
        sop_instance_uid=signed_uid(result, signed.version),
        instance_number=signed.version,
        manufacturer=MANUFACTURER,
        is_complete=True,
        is_final=True,
        is_verified=True,
        verifying_observer_name=name,
        verifying_organization=organization,
        previous_versions=_former(result, signed),
    )
    # Of what Enhanced SR may hold, Basic Text SR has all that is here.
    made.SOPClassUID = made.file_meta.MediaStorageSOPClassUID = BasicTextSRStorage
    made.CodingSchemeIdentificationSequence = [own_scheme()]
    made.VerifyingObserverSequence[0].VerificationDateTime = signed.at.strftime("%Y%m%d%H%M%S")
    return stamped(made, result, signed.at, "Radiologist's report")


def _observer(name: str) -> sr.ObservationContext:
    person = sr.PersonObserverIdentifyingAttributes(name=name)
    context = sr.ObserverContext(
        observer_type=codes.DCM.Person, observer_identifying_attributes=person
    )
    return sr.ObservationContext(observer_person_context=context)


def _section(section: str, texts: tuple[str, ...]) -> sr.ContainerContentItem:
    heading, line = SECTIONS[section]
    made = sr.ContainerContentItem(heading, relationship_type=CONTAINS)
    made.ContentSequence = Sequence(sr.TextContentItem(line, text, CONTAINS) for text in texts)
    return made


def _former(result: StoredResult, signed: SignedText) -> list[Dataset] | None:
    """Return the version that this one takes the place of; None where the archive has none."""
    if signed.former_version is None:
        return None
    former = reference_to(result, "signed_report", UID(BasicTextSRStorage))
    former.SOPInstanceUID = signed_uid(result, signed.former_version)
    return [former]
