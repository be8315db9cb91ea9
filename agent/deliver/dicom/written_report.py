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
    finished,
    identification,
    key_slices,
    predecessors,
    source_datasets,
)
from agent.deliver.result import StoredResult, finding_lines, impression_lines

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
            _section(FINDINGS, FINDING, finding_lines(result)),
            _section(IMPRESSIONS, IMPRESSION, impression_lines(result)),
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
