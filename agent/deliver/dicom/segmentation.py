"""Segmentation (binary): one segment a finding, on the frames of the source images."""

from __future__ import annotations

from importlib.metadata import version
from typing import Final

import numpy as np
from highdicom.color import CIELabColor
from highdicom.content import AlgorithmIdentificationSequence
from highdicom.seg import Segmentation, SegmentDescription
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from agent.deliver.dicom.codes import ABNORMAL_STRUCTURE, HEMORRHAGE, site_of
from agent.deliver.dicom.result import MODEL, derived_uid, finished, identification, source_datasets
from agent.deliver.result import StoredResult, label_of
from agent.records import EXTRA_AXIAL, Subtype
from agent.report import FindingReport

COLOURS_RGB: Final = {
    Subtype.INTRAPARENCHYMAL.word: (230, 60, 50),
    Subtype.INTRAVENTRICULAR.word: (240, 140, 40),
    Subtype.SUBARACHNOID.word: (240, 210, 60),
    Subtype.SUBDURAL.word: (80, 170, 240),
    Subtype.EPIDURAL.word: (170, 110, 230),
    EXTRA_AXIAL: (125, 140, 235),
}
"""Colours that are told apart by colour-blind people too. Without one OHIF does not load."""


def segmentation(result: StoredResult) -> Dataset | None:
    """Make the segmentation; None where no voxel is of a finding.

    Only images that show a bleed are referred to. Frames keep the images' own positions: neither
    tilt nor uneven spacing is lost.
    """
    if result.numbers is None or not result.numbers.any():
        return None
    shown = np.flatnonzero(result.numbers.any(axis=(1, 2))).tolist()
    sources = source_datasets(result, shown)
    whole = len(sources) == 1 and "NumberOfFrames" in sources[0]
    numbers = result.numbers if whole else result.numbers[shown]
    made = Segmentation(
        source_images=sources,
        pixel_array=np.ascontiguousarray(numbers).astype(_narrowest(len(result.report.findings))),
        segmentation_type="BINARY",
        segment_descriptions=[
            _segment(number, finding, result)
            for number, finding in enumerate(result.report.findings, 1)
        ],
        **identification(result, "segmentation"),
        manufacturer_model_name=MODEL,
        software_versions=version("bleedwatch"),
        device_serial_number="none",
        content_label="BLEEDS",
        content_description="Suspected intracranial hemorrhage",
        omit_empty_frames=True,
    )
    organization = derived_uid(result.report.result_id, "dimensions")
    for item in (*made.DimensionOrganizationSequence, *made.DimensionIndexSequence):
        item.DimensionOrganizationUID = organization
    _name_frames(made, result)
    return finished(made, result, "Bleedwatch segmentation")


def _narrowest(n_findings: int) -> type[np.uint8 | np.uint16]:
    return np.uint8 if n_findings <= np.iinfo(np.uint8).max else np.uint16


def _segment(number: int, finding: FindingReport, result: StoredResult) -> SegmentDescription:
    return SegmentDescription(
        segment_number=number,
        segment_label=f"{number} {label_of(finding)}"[:64],
        segmented_property_category=ABNORMAL_STRUCTURE,
        segmented_property_type=HEMORRHAGE,
        algorithm_type="AUTOMATIC",
        algorithm_identification=algorithm_of(result),
        tracking_uid=tracking_uid(result, number),
        tracking_id=f"Finding {number}",
        anatomic_regions=[site_of(finding.subtype, finding.region)],
        display_color=CIELabColor.from_rgb(*COLOURS_RGB[finding.subtype]),
    )


def tracking_uid(result: StoredResult, number: int) -> str:
    """Return by what a finding is known in segmentation and measurements alike."""
    return derived_uid(result.report.result_id, f"finding {number}")


def algorithm_of(result: StoredResult) -> AlgorithmIdentificationSequence:
    """Name the networks that segmented."""
    engine = result.report.engine
    return AlgorithmIdentificationSequence(
        name=f"Bleedwatch {engine.bundle if engine else ''}".strip(),
        family=codes.DCM.ArtificialIntelligence,
        version=engine.version if engine else version("bleedwatch"),
    )


def _name_frames(made: Dataset, result: StoredResult) -> None:
    """Say of which of its frames an Enhanced CT object's segments are: it may hold others too."""
    frames = [image.frame for image in result.images.images]
    if frames[0] is None:
        return
    for groups in made.PerFrameFunctionalGroupsSequence:
        for derivation in groups.DerivationImageSequence:
            for source in derivation.SourceImageSequence:
                source.ReferencedFrameNumber = frames[int(source.ReferencedFrameNumber) - 1]
