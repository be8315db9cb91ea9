"""Parsed DICOM attributes to ``SliceHeader``, for classic images and for frames of Enhanced CT."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final

import numpy as np
from pydicom.dataelem import DataElement, RawDataElement, convert_raw_data_element
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag, Tag

from agent.assemble.limits import LONGEST_TEXT, POSITION_MM, THICKNESS_MM, WHOLE
from agent.assemble.series import FRAME_MARK
from agent.errors import FileRefused
from agent.reasons import Reason, Value
from agent.records import Identity, SliceHeader, Vector

UNIT_TOLERANCE: Final = 1e-3
"""How far a direction may be from unit length or square to the other. Ours: DS rounds to 1e-6."""

SPACING_MM: Final = 1e-3, 50.0
"""Between these a pixel spacing is believed [mm]. Ours."""

UID_PATTERN: Final = re.compile(r"[0-9.]{1,64}")
"""Source: PS3.5 section 9.1. Some scanners write leading zeros against it, which do no harm."""

KEYWORDS: Final = """
    MediaStorageSOPClassUID TransferSyntaxUID SpecificCharacterSet ImageType SOPClassUID
    SOPInstanceUID AccessionNumber Modality Manufacturer ManufacturerModelName SeriesDescription
    StudyDescription ProtocolName
    PatientName PatientID PatientBirthDate PatientSex AnatomicRegionSequence
    ContrastBolusAgent ContrastBolusAgentSequence BodyPartExamined SliceThickness KVP
    ConvolutionKernel StudyInstanceUID SeriesInstanceUID AcquisitionNumber InstanceNumber
    InConcatenationTotalNumber ImagePositionPatient ImageOrientationPatient
    FrameOfReferenceUID ImagesInAcquisition NumberOfSeriesRelatedInstances SamplesPerPixel
    NumberOfFrames Rows Columns PixelSpacing BitsAllocated BitsStored HighBit
    PixelRepresentation RescaleIntercept RescaleSlope RescaleType SharedFunctionalGroupsSequence
    PerFrameFunctionalGroupsSequence ExtendedOffsetTable ExtendedOffsetTableLengths
"""

TAGS: Final = {keyword: Tag(keyword) for keyword in KEYWORDS.split()}

REPEATED_BYTES: Final = 256
"""A longer value is not kept for the next slice. Ours: texts and numbers are shorter."""

_NAMED_OF_FRAMES: Final = {
    "ImageType": Tag("FrameType"),
    "AcquisitionNumber": Tag("FrameAcquisitionNumber"),
}


class Unusable(ValueError):
    """A reason whose values quote no text from the file: it may hold anything."""

    def __init__(self, code: str, /, **values: Value) -> None:
        """Carry the reason that a code and its values make."""
        self.reason = Reason(code, **values)
        super().__init__(self.reason)


class SliceRefused(FileRefused):
    """An image that says to which series it belongs, and cannot be a slice of it.

    Its series would be measured with a hole in it: it ends *not analysed* with this reason.
    """

    kind = "slice_refused"

    def __init__(self, reason: Reason, *, series_uid: str, identity: Identity) -> None:
        """Carry the reason, and whose and which series it is."""
        super().__init__(reason)
        self.series_uid = series_uid
        self.identity = identity


def value_of(image: Dataset, keyword: str) -> Any:  # noqa: ANN401 - whatever the file says
    """Return an attribute's value, None where absent; faster than asking by name."""
    tag = TAGS[keyword]
    raw: DataElement | RawDataElement | None = image.get_item(tag)
    if raw is None:
        return None
    if isinstance(raw, DataElement):
        return raw.value
    if raw.VR == "SQ" or raw.value is None or raw.length > REPEATED_BYTES:
        return image[tag].value
    charset = image.original_character_set
    names = (charset,) if isinstance(charset, str) else tuple(charset)
    encoding = raw.is_implicit_VR, raw.is_little_endian
    return _converted(keyword, raw.VR, raw.value, encoding, names)


@lru_cache(maxsize=2048)
def _converted(
    keyword: str,
    vr: str | None,
    value: bytes,
    encoding: tuple[bool, bool],
    charset: tuple[str, ...],
) -> Any:  # noqa: ANN401 - whatever the file says
    """Convert one value: in a series most of them are the same in every slice."""
    implicit, little = encoding
    raw = RawDataElement(TAGS[keyword], vr, len(value), value, 0, implicit, little)
    return convert_raw_data_element(raw, encoding=[*charset]).value


GB2312_ESCAPE: Final = "\x1b$)A"
"""What announces ISO 2022 IR 58 in a text (PS3.3 C.12.1.1.2); pydicom 3.0 leaves it there."""


def text(image: Dataset, keyword: str) -> str:
    """Return a value as decoded text, values joined by backslashes, "" where absent."""
    value = value_of(image, keyword)
    if value is None:
        return ""
    many = isinstance(value, MultiValue)
    found = "\\".join(map(str, value)).strip() if many else str(value).rstrip(" \0").lstrip()
    found = found.replace(GB2312_ESCAPE, "")
    if len(found) > LONGEST_TEXT:
        raise Unusable("text_too_long", keyword=keyword, n_characters=len(found))
    return found


def numbers(image: Dataset, keyword: str, n: int) -> tuple[float, ...]:
    """Return ``n`` finite numbers, or refuse."""
    value = value_of(image, keyword)
    values = tuple(value) if isinstance(value, MultiValue) else (value,)
    if value is None or len(values) != n or any(v is None or v == "" for v in values):
        raise Unusable("attribute_unusable", keyword=keyword)
    found = tuple(map(float, values))
    if not all(map(math.isfinite, found)):
        raise Unusable("attribute_not_finite", keyword=keyword)
    return found


def number(image: Dataset, keyword: str) -> float | None:
    """Return one number, or None where it is absent or unreadable."""
    try:
        return numbers(image, keyword, 1)[0]
    except (ValueError, TypeError):
        return None


def whole(image: Dataset, keyword: str) -> int | None:
    """Return one whole number, or None where it is absent or unreadable."""
    found = number(image, keyword)
    return None if found is None or abs(found) >= WHOLE else int(found)


def uid_of(image: Dataset, keyword: str) -> str:
    """Return a UID, "" where it is absent or holds what no UID does."""
    found = text(image, keyword)
    return found if UID_PATTERN.fullmatch(found) else ""


def identity_of(image: Dataset) -> Identity:
    """Read who and what the image belongs to."""
    return Identity(
        patient_id=text(image, "PatientID"),
        patient_name=text(image, "PatientName"),
        birth_date=text(image, "PatientBirthDate"),
        sex=text(image, "PatientSex"),
        study_uid=uid_of(image, "StudyInstanceUID"),
        accession=text(image, "AccessionNumber"),
    )


def frames_of(image: Dataset) -> Iterator[Dataset]:
    """Yield one flat dataset a frame: Enhanced CT's functional groups brought to the top level.

    A classic image is its own only frame.
    """
    per_frame = value_of(image, "PerFrameFunctionalGroupsSequence")
    if not per_frame:
        yield image
        return
    shared = value_of(image, "SharedFunctionalGroupsSequence") or [Dataset()]
    uid, promised = uid_of(image, "SOPInstanceUID"), len(per_frame)
    if (whole(image, "InConcatenationTotalNumber") or 1) > 1:
        promised = 0
    nested = TAGS["SharedFunctionalGroupsSequence"], TAGS["PerFrameFunctionalGroupsSequence"]
    common: dict[BaseTag, DataElement | RawDataElement] = {
        element.tag: element for element in image if element.tag not in nested
    }
    common |= _flat(shared[0])
    for n, groups in enumerate(per_frame, 1):
        elements, own = common | _flat(groups), Dataset()
        for keyword, of_frame in _NAMED_OF_FRAMES.items():
            if of_frame in elements:
                setattr(own, keyword, elements[of_frame].value)
        own.SOPInstanceUID, own.InstanceNumber = f"{uid}{FRAME_MARK}{n}", n
        own.NumberOfSeriesRelatedInstances = promised
        yield Dataset(elements | {element.tag: element for element in own})


def _flat(groups: Dataset) -> dict[BaseTag, DataElement | RawDataElement]:
    """Take the attributes out of the functional groups, each a sequence of one item."""
    return {
        element.tag: element
        for group in groups
        if group.VR == "SQ" and group.value
        for element in group.value[0]
    }


def header_of(frame: Dataset, identity: Identity, digest: str) -> SliceHeader:
    """Build the header of one flat dataset.

    Raises
    ------
    Unusable
        Position, orientation or spacing is missing or absurd.
    """
    position = numbers(frame, "ImagePositionPatient", 3)
    if max(map(abs, position)) > POSITION_MM:
        raise Unusable("position_absurd")
    row_direction, column_direction = directions(frame)
    spacings = numbers(frame, "PixelSpacing", 2)
    if not all(SPACING_MM[0] <= spacing <= SPACING_MM[1] for spacing in spacings):
        raise Unusable("pixel_spacing_unusable", row_mm=spacings[0], column_mm=spacings[1])
    image_type = value_of(frame, "ImageType") or ()
    return SliceHeader(
        sop_uid=text(frame, "SOPInstanceUID"),
        series_uid=uid_of(frame, "SeriesInstanceUID"),
        identity=identity,
        modality=text(frame, "Modality"),
        image_type=(image_type,) if isinstance(image_type, str) else tuple(map(str, image_type)),
        description=description_of(frame),
        body_part=body_part_of(frame),
        manufacturer=text(frame, "Manufacturer"),
        model=text(frame, "ManufacturerModelName"),
        kernel=text(frame, "ConvolutionKernel"),
        kvp=number(frame, "KVP"),
        contrast=contrast_of(frame),
        instance_number=whole(frame, "InstanceNumber"),
        acquisition_number=whole(frame, "AcquisitionNumber"),
        expected_images=expected_images(frame),
        frame_of_reference_uid=text(frame, "FrameOfReferenceUID"),
        rows=whole(frame, "Rows") or 0,
        columns=whole(frame, "Columns") or 0,
        position_lps_mm=(position[0], position[1], position[2]),
        row_direction=row_direction,
        column_direction=column_direction,
        row_spacing_mm=spacings[0],
        column_spacing_mm=spacings[1],
        thickness_mm=thickness_mm_of(frame),
        digest=digest,
    )


def thickness_mm_of(frame: Dataset) -> float | None:
    """Read the slice thickness [mm], None where it is absent or absurd."""
    found = number(frame, "SliceThickness")
    return found if found and THICKNESS_MM[0] <= found <= THICKNESS_MM[1] else None


def directions(frame: Dataset) -> tuple[Vector, Vector]:
    """Read the two unit vectors of the image plane, made exactly unit and square."""
    return _square(numbers(frame, "ImageOrientationPatient", 6))


@lru_cache(maxsize=64)
def _square(values: tuple[float, ...]) -> tuple[Vector, Vector]:
    cosines = np.array(values).reshape(2, 3)
    lengths, product = np.linalg.norm(cosines, axis=1), float(cosines[0] @ cosines[1])
    if np.abs(lengths - 1).max() > UNIT_TOLERANCE or abs(product) > UNIT_TOLERANCE:
        raise Unusable("orientation_unusable")
    row = cosines[0] / lengths[0]
    column = cosines[1] - (cosines[1] @ row) * row
    column /= np.linalg.norm(column)
    return (
        (float(row[0]), float(row[1]), float(row[2])),
        (float(column[0]), float(column[1]), float(column[2])),
    )


def description_of(frame: Dataset) -> str:
    """Read what the scanner calls the series; the protocol and study where it has no name.

    A stroke study is called an angiography, and still begins with a plain head: what is said of the
    study counts only where nothing is said of the series.
    """
    keywords = ("SeriesDescription", "ProtocolName", "StudyDescription")
    return next(filter(None, (text(frame, keyword) for keyword in keywords)), "")


def body_part_of(frame: Dataset) -> str:
    """Read the body part, by code meaning where there is no plain text."""
    region = value_of(frame, "AnatomicRegionSequence")
    return text(frame, "BodyPartExamined") or (
        str(region[0].get("CodeMeaning", "")) if region else ""
    )


def contrast_of(frame: Dataset) -> str:
    """Name the contrast agent, "" if none was given."""
    agent = value_of(frame, "ContrastBolusAgentSequence")
    return text(frame, "ContrastBolusAgent") or (
        str(agent[0].get("CodeMeaning", "given")) if agent else ""
    )


def expected_images(frame: Dataset) -> int:
    """Count what the header promises for the whole series, 0 if it promises nothing."""
    promised = max(whole(frame, "NumberOfSeriesRelatedInstances") or 0, 0)
    if FRAME_MARK in text(frame, "SOPInstanceUID"):
        return promised
    return promised or max(whole(frame, "ImagesInAcquisition") or 0, 0)
