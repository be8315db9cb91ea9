"""Key Object Selection: the slices that show most of each finding, to be looked at first."""

from __future__ import annotations

from highdicom.ko import KeyObjectSelection, KeyObjectSelectionDocument
from pydicom.dataset import Dataset

from agent.deliver.dicom.codes import OF_INTEREST
from agent.deliver.dicom.result import finished, identification, key_slices, source_datasets
from agent.deliver.result import NOT_FOR_DIAGNOSIS, StoredResult


def key_images(result: StoredResult) -> Dataset | None:
    """Make the selection; None where there is no finding."""
    if not result.report.findings:
        return None
    shown = source_datasets(result, key_slices(result))
    made = KeyObjectSelectionDocument(
        evidence=shown,
        content=KeyObjectSelection(
            document_title=OF_INTEREST,
            referenced_objects=shown,
            description=f"{NOT_FOR_DIAGNOSIS}: slices of suspected hemorrhage",
        ),
        **identification(result, "key_images"),
    )
    _without_purpose(made)
    return finished(made, result, "Bleedwatch key images")


def _without_purpose(made: Dataset) -> None:
    """Take out what TID 2010 forbids and highdicom writes: a purpose of each reference."""
    for item in made.ContentSequence:
        if item.ValueType == "IMAGE" and "ConceptNameCodeSequence" in item:
            del item.ConceptNameCodeSequence
