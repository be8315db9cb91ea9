"""The written report: a Basic Text SR that any workstation can show."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from highdicom import sr
from highdicom.sr.enum import RelationshipTypeValues
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.sr.coding import Code
from pydicom.uid import BasicTextSRStorage

from agent.deliver.dicom.codes import (
    FINDING,
    FINDINGS,
    IMPRESSION,
    IMPRESSIONS,
    REPORT_TITLE,
)
from agent.deliver.dicom.measurements import observers
from agent.deliver.dicom.result import (
    NOT_FOR_DIAGNOSIS,
    StoredResult,
    finished,
    identification,
    key_slices,
    predecessors,
    source_datasets,
)
from agent.deliver.dicom.segmentation import label_of

LANGUAGE: Final = Code("en-US", "RFC5646", "English (United States)")
CONTAINS: Final = RelationshipTypeValues.CONTAINS


def written_report(result: StoredResult) -> Dataset:
    """Make the report: what is suspected and measured, or why nothing was analysed."""
    content = sr.ContainerContentItem(REPORT_TITLE, template_id="2000")
    language = sr.LanguageOfContentItemAndDescendants(sr.CodedConcept.from_code(LANGUAGE))
    content.ContentSequence = Sequence(
        [
            *language,
            *observers(result),
            _section(FINDINGS, FINDING, _findings(result)),
            _section(IMPRESSIONS, IMPRESSION, _impressions(result)),
        ]
    )
    made = sr.EnhancedSR(
        evidence=source_datasets(result, key_slices(result)),
        content=content,
        **identification(result, "report"),
        is_complete=True,
        is_final=False,
        is_verified=False,
        previous_versions=predecessors(result, "report", BasicTextSRStorage),
    )
    # Of what Enhanced SR may hold, Basic Text SR has all that is here.
    made.SOPClassUID = made.file_meta.MediaStorageSOPClassUID = BasicTextSRStorage
    return finished(made, result, "Bleedwatch report")


def _section(name: Code, line: Code, texts: Iterator[str]) -> sr.ContainerContentItem:
    section = sr.ContainerContentItem(name, relationship_type=CONTAINS)
    section.ContentSequence = Sequence(sr.TextContentItem(line, text, CONTAINS) for text in texts)
    return section


def _findings(result: StoredResult) -> Iterator[str]:
    report = result.report
    for finding in report.findings:
        low_ml, high_ml = finding.volume_interval_ml
        long_mm, short_mm, height_mm = finding.extent_mm
        yield (
            f"{label_of(finding)}: {finding.volume_ml:.1f} mL ({low_ml:.1f} to {high_ml:.1f}), "
            f"{long_mm:.0f} x {short_mm:.0f} x {height_mm:.0f} mm, "
            f"probability {finding.probability:.2f}, slice {finding.key_slice + 1}"
        )
    if report.findings and report.midline_shift_mm is not None:
        yield f"Midline shift {report.midline_shift_mm:.1f} mm"
    if report.state == "not_suspected":
        yield "Nothing suspected; this does not exclude hemorrhage"
    if report.text:
        yield f"Not analysed: {report.text}"
    for caveat in report.caveats:
        yield f"To be read with it: {caveat.text}"


def _impressions(result: StoredResult) -> Iterator[str]:
    report = result.report
    impressions = {
        "suspected": "Intracranial hemorrhage suspected",
        "not_suspected": "Intracranial hemorrhage not suspected",
        "not_analysed": "Not analysed: read it without Bleedwatch",
    }
    yield impressions[report.state]
    engine = report.engine
    by = f" by {engine.bundle} {engine.version}" if engine else ""
    yield f"{NOT_FOR_DIAGNOSIS}. Made{by}, read by no physician."
    if result.predecessor:
        yield f"Revision {report.revision}: takes the place of the one before"
