"""What all objects that are made of a result have in common."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from importlib.metadata import version
from typing import Any, Final

from highdicom.content import PlanePositionSequence
from pydicom.dataset import Dataset
from pydicom.uid import UID, CTImageStorage

from agent.deliver.result import (
    NOT_FOR_DIAGNOSIS,
    SEXES,
    StoredResult,
    date_of,
    derived_uuid,
    time_of,
)
from agent.deliver.settings import Kind
from agent.sources import SourceImage, SourceImages

MANUFACTURER: Final = "Bleedwatch"
MODEL: Final = "Bleedwatch"
UTF_8: Final = "ISO_IR 192"

SERIES_NUMBERS: Final[dict[Kind, int]] = {
    "segmentation": 9901,
    "measurements": 9902,
    "key_images": 9903,
    "picture": 9904,
    "report": 9905,
    "signed_report": 9906,
    "outlines": 9907,
}
"""High, so that they stand below the scanner's own series. Ours."""


def derived_uid(*parts: str) -> UID:
    """Return the UID that these parts give, the same each time. Source: PS3.5 B.2."""
    return UID(f"2.25.{derived_uuid(*parts).int}")


def instance_uid(result_id: str, kind: Kind) -> UID:
    """Return the UID of an object that is made of a result: sent twice, it is one instance."""
    return derived_uid(result_id, kind)


def signed_uid(result: StoredResult, version: int) -> UID:
    """Return the UID of a version of the report that is signed on a series."""
    return derived_uid(result.report.series_uid, "signed_report", str(version))


def series_uid(result: StoredResult, kind: Kind) -> UID:
    """Return the UID of the series that holds one kind of object of all revisions."""
    return derived_uid(result.report.series_uid, kind)


def identification(result: StoredResult, kind: Kind) -> dict[str, Any]:
    """Return what every object is known by, as highdicom takes it: UIDs, numbers, maker."""
    return {
        "series_instance_uid": series_uid(result, kind),
        "series_number": SERIES_NUMBERS[kind],
        "sop_instance_uid": instance_uid(result.report.result_id, kind),
        "instance_number": result.report.revision,
        "manufacturer": MANUFACTURER,
    }


def key_slices(result: StoredResult) -> list[int]:
    """Return the slices that show most of each finding, lowest first; of no finding, the middle."""
    key_slices = sorted({finding.key_slice for finding in result.report.findings})
    return key_slices or [len(result.images.images) // 2]


def reference_to(result: StoredResult, kind: Kind, sop_class: UID) -> Dataset:
    """Return as much of an object that is made of the result as another needs to refer to it."""
    target = _common(result, result.images.images[0])
    target.SOPClassUID = sop_class
    target.SOPInstanceUID = instance_uid(result.report.result_id, kind)
    target.SeriesInstanceUID = series_uid(result, kind)
    return target


def predecessors(result: StoredResult, kind: Kind, sop_class: UID) -> list[Dataset] | None:
    """Return what a document takes the place of; None where it is the first."""
    if result.predecessor is None:
        return None
    former = reference_to(result, kind, sop_class)
    former.SOPInstanceUID = instance_uid(result.predecessor, kind)
    return [former]


def source_datasets(result: StoredResult, which: Iterable[int] | None = None) -> list[Dataset]:
    """Return source images, by index or all, with as much as objects repeat or refer to.

    Those of an Enhanced CT object are one data set, of which all frames are there.
    """
    images = result.images.images
    chosen = images if which is None else [images[k] for k in which]
    if chosen[0].frame is None:
        return [_classic(result, image) for image in chosen]
    return [_enhanced(result, list(images))]


def _common(result: StoredResult, image: SourceImage) -> Dataset:
    """Patient, study and series of a source image; type 2 attributes are there, if empty.

    A date, time or sex that is none as DICOM writes it is left empty: highdicom refuses it.
    """
    images, identity = result.images, result.identity
    source = Dataset()
    source.SpecificCharacterSet = UTF_8
    source.SOPClassUID = images.sop_class_uid or CTImageStorage
    source.SOPInstanceUID = image.sop_uid
    source.Modality = "CT"
    source.PatientName, source.PatientID = _first(identity.patient_name), identity.patient_id
    source.PatientBirthDate = date_of(identity.birth_date)
    source.PatientSex = identity.sex if identity.sex in SEXES else ""
    source.AccessionNumber = identity.accession
    source.StudyInstanceUID, source.StudyID = identity.study_uid, images.study_id
    source.StudyDate, source.StudyTime = date_of(images.study_date), time_of(images.study_time)
    source.ReferringPhysicianName = _first(images.referring_physician)
    source.SeriesInstanceUID = result.report.series_uid
    source.FrameOfReferenceUID = images.frame_of_reference_uid
    source.PositionReferenceIndicator = ""
    source.Rows, source.Columns = images.rows, images.columns
    source.SamplesPerPixel, source.PhotometricInterpretation = 1, "MONOCHROME2"
    return source


def _first(name: str) -> str:
    """Return the first of several names, where one alone may stand."""
    return name.partition("\\")[0]


def _classic(result: StoredResult, image: SourceImage) -> Dataset:
    images, source = result.images, _common(result, image)
    source.ImagePositionPatient = _decimals(image.position_lps_mm)
    source.ImageOrientationPatient = _orientation(images)
    source.PixelSpacing = _decimals(images.pixel_spacing_mm)
    source.SliceThickness = images.thickness_mm or None
    return source


def _enhanced(result: StoredResult, frames: Sequence[SourceImage]) -> Dataset:
    images, source = result.images, _common(result, frames[0])
    source.NumberOfFrames = len(frames)
    measures, orientation = Dataset(), Dataset()
    measures.PixelSpacing = _decimals(images.pixel_spacing_mm)
    measures.SliceThickness = images.thickness_mm or None
    orientation.ImageOrientationPatient = _orientation(images)
    shared = Dataset()
    shared.PixelMeasuresSequence = [measures]
    shared.PlaneOrientationSequence = [orientation]
    source.SharedFunctionalGroupsSequence = [shared]
    source.PerFrameFunctionalGroupsSequence = [_frame_groups(frame) for frame in frames]
    return source


def _frame_groups(frame: SourceImage) -> Dataset:
    groups = Dataset()
    groups.PlanePositionSequence = PlanePositionSequence("PATIENT", frame.position_lps_mm)
    return groups


def _orientation(images: SourceImages) -> list[float]:
    return _decimals((*images.row_direction, *images.column_direction))


def _decimals(values: Iterable[float]) -> list[float]:
    """Round as a decimal string of 16 characters holds it (PS3.5 table 6.2-1)."""
    return [float(f"{value:.9g}") for value in values]


def finished(data: Dataset, result: StoredResult, description: str) -> Dataset:
    """Give an object of ours what is the same for all: the mark, names, the result's moment."""
    return stamped(data, result, result.at, f"{description} ({NOT_FOR_DIAGNOSIS})")


def stamped(data: Dataset, result: StoredResult, at: datetime, description: str) -> Dataset:
    """Give an object names and a moment [UTC].

    Every moment in it is this one, so that an object that is made again is the same.
    """
    data.SpecificCharacterSet = UTF_8
    data.ManufacturerModelName = MODEL
    data.SoftwareVersions = version("bleedwatch")
    data.DeviceSerialNumber = result.report.engine.bundle if result.report.engine else "none"
    data.SeriesDescription = description
    data.SeriesDate = data.ContentDate = data.InstanceCreationDate = at.strftime("%Y%m%d")
    data.SeriesTime = data.ContentTime = data.InstanceCreationTime = at.strftime("%H%M%S")
    data.TimezoneOffsetFromUTC = "+0000"
    if "DateOfSecondaryCapture" in data:
        data.DateOfSecondaryCapture, data.TimeOfSecondaryCapture = data.SeriesDate, data.SeriesTime
    for equipment in data.get("ContributingEquipmentSequence", ()):
        equipment.ContributionDateTime = at.strftime("%Y%m%d%H%M%S")
    return data
