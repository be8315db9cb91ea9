"""All objects that are made of a result."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from pydicom.dataset import Dataset

from agent.deliver.dicom.key_images import key_images
from agent.deliver.dicom.measurements import measurements
from agent.deliver.dicom.outlines import outlines
from agent.deliver.dicom.picture import picture
from agent.deliver.dicom.segmentation import segmentation
from agent.deliver.dicom.signed_report import signed_report
from agent.deliver.dicom.written_report import written_report
from agent.deliver.result import StoredResult
from agent.deliver.settings import Archive, Kind


def letter_of(result: StoredResult, settings: Archive) -> list[Dataset]:
    """Make what an archive is sent of a result, or of what was signed on it."""
    if result.signed:
        return [signed_report(result, result.signed, settings.organization)]
    return list(objects_of(result, settings.objects))


def objects_of(result: StoredResult, kinds: Collection[Kind]) -> Iterator[Dataset]:
    """Make what is wanted and can be made of a result, what others refer to first.

    Of what is not suspected there are measurements and a report alone.
    """
    segments = segmentation(result) if "segmentation" in kinds else None
    if segments is not None:
        yield segments
    if "measurements" in kinds:
        yield measurements(result, segmented=segments is not None)
    if "key_images" in kinds and (selected := key_images(result)) is not None:
        yield selected
    if "picture" in kinds and (drawn := picture(result)) is not None:
        yield drawn
    if "report" in kinds:
        yield written_report(result)
    if "outlines" in kinds and (outlined := outlines(result)) is not None:
        yield outlined
