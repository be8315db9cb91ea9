"""agent.deliver.dicom.signed_report: what was signed is what the archive is sent, in its words."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone
from io import BytesIO

import pytest
from pydantic import ValidationError
from pydicom import dcmread
from pydicom.dataset import Dataset

from agent.console.settings import LANGUAGES
from agent.deliver.dicom import signed_report
from agent.deliver.dicom.objects import letter_of
from agent.deliver.result import SignedText
from agent.deliver.settings import KINDS, DicomChannel
from tests.agent.deliver.results import stored_result

AT = datetime(2026, 11, 30, 9, 15, 0, tzinfo=timezone.utc)

SIGNED = SignedText(
    version=1,
    former_version=None,
    who="grey",
    at=AT,
    language="de",
    sections={
        "clinical": (),
        "technique": ("Natives CT.",),
        "comparison": ("Keine Voraufnahmen.",),
        "findings": ("Subdurales Hämatom links.", "Mittellinie 6 mm."),
        "not_assessed": ("Frakturen.",),
        "impression": ("Akute Blutung.",),
    },
)

CHANNEL = DicomChannel(
    name="pacs", host="h", ae_title="A", objects=(*KINDS, "signed_report"), organization="Klinik"
)


def made(signed: SignedText = SIGNED) -> Dataset:
    """Make the one object of a signed report, write it, and read it back."""
    (one,) = letter_of(replace(stored_result(), signed=signed), CHANNEL)
    written = BytesIO()
    one.save_as(written, enforce_file_format=True)
    written.seek(0)
    return dcmread(written)


def test_it_is_final_complete_and_verified_by_name_when_it_was_signed() -> None:
    report = made()

    assert report.SOPClassUID.name == "Basic Text SR Storage"
    assert (report.CompletionFlag, report.PreliminaryFlag) == ("COMPLETE", "FINAL")
    assert report.VerificationFlag == "VERIFIED"
    (verified,) = report.VerifyingObserverSequence
    assert verified.VerifyingObserverName == "grey^"
    assert verified.VerifyingOrganization == "Klinik"
    assert verified.VerificationDateTime == "20261130091500"
    assert (report.ContentDate, report.ContentTime) == ("20261130", "091500")
    assert "AI result" not in report.SeriesDescription
    (observer,) = (one for one in report.ContentSequence if one.ValueType == "PNAME")
    assert observer.PersonName == "grey^"


def test_it_says_what_was_signed_section_by_section_in_its_language() -> None:
    report = made()

    language = report.ContentSequence[0].ConceptCodeSequence[0]
    assert (language.CodeValue, language.CodeMeaning) == ("de", "German")
    told = {
        one.ConceptNameCodeSequence[0].CodeMeaning: [line.TextValue for line in one.ContentSequence]
        for one in report.ContentSequence
        if one.ValueType == "CONTAINER"
    }
    assert told == {
        "Current Procedure Descriptions": ["Natives CT."],
        "Previous Findings": ["Keine Voraufnahmen."],
        "Findings": ["Subdurales Hämatom links.", "Mittellinie 6 mm."],
        "Not assessed": ["Frakturen."],
        "Impressions": ["Akute Blutung."],
    }


def test_a_corrected_one_is_another_instance_of_the_series_and_names_the_former() -> None:
    first, second = made(), made(replace(SIGNED, version=2, former_version=1))

    assert first.SeriesInstanceUID == second.SeriesInstanceUID
    assert first.SOPInstanceUID != second.SOPInstanceUID
    former = second.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0]
    assert former.SeriesInstanceUID == first.SeriesInstanceUID
    assert former.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == first.SOPInstanceUID


def test_made_again_it_is_the_same() -> None:
    assert made() == made()


def test_every_language_that_is_signed_in_can_be_told() -> None:
    assert set(signed_report.LANGUAGES) == set(LANGUAGES)


@pytest.mark.parametrize("objects", [("report", "signed_report"), ("signed_report",)])
def test_who_asks_for_it_says_for_whom_radiologists_sign_and_takes_results_too(
    objects: tuple[str, ...],
) -> None:
    for organization in ("", "  ", "Klinik"):
        values = {"name": "pacs", "host": "h", "ae_title": "A", "organization": organization}
        if organization == "Klinik" and len(objects) > 1:
            assert DicomChannel.model_validate(values | {"objects": objects}).signs
        else:
            with pytest.raises(ValidationError, match="signed_report"):
                DicomChannel.model_validate(values | {"objects": objects})


def test_nobody_is_sent_it_unless_asked_for() -> None:
    assert not DicomChannel(name="pacs", host="h", ae_title="A").signs
