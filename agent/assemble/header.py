"""Parsed DICOM attributes to ``SliceHeader``, for classic images and for frames of Enhanced CT."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
from pydicom.dataelem import DataElement, RawDataElement, convert_raw_data_element
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag, Tag

from agent.assemble.limits import LONGEST_TEXT, POSITION_MM, THICKNESS_MM, WHOLE
from agent.errors import FileRefused, NotWholeYet
from agent.reasons import Reason, Value
from agent.records import FRAME_MARK, Identity, SliceHeader, StudyFacts, Vector

UNIT_TOLERANCE: Final = 0.1
"""How far a direction may be from unit length or square to the other. Ours: what is left of them
where they are written with one decimal."""

SPACING_MM: Final = 1e-3, 50.0
"""Between these a pixel spacing is believed [mm]. Ours."""

LOSSY: Final = "01"
"""What Lossy Image Compression says where there was one. Source: PS3.3 C.7.6.1.1.5."""

UID_PATTERN: Final = re.compile(r"[0-9.]{1,64}")
"""Source: PS3.5 section 9.1. Some scanners write leading zeros against it, which do no harm."""

KEYWORDS: Final = """
    MediaStorageSOPClassUID MediaStorageSOPInstanceUID TransferSyntaxUID SpecificCharacterSet
    ImageType SOPClassUID
    SOPInstanceUID AccessionNumber Modality Manufacturer ManufacturerModelName SeriesDescription
    StudyDescription ProtocolName
    PatientName PatientID PatientBirthDate PatientSex AnatomicRegionSequence
    ContrastBolusAgent ContrastBolusAgentSequence BodyPartExamined SliceThickness
    SpacingBetweenSlices KVP
    AcquisitionDateTime AcquisitionDate AcquisitionTime ContentDate ContentTime
    ConvolutionKernel StudyInstanceUID SeriesInstanceUID AcquisitionNumber InstanceNumber
    InConcatenationTotalNumber ImagePositionPatient ImageOrientationPatient
    FrameOfReferenceUID NumberOfTemporalPositions ImagesInAcquisition
    NumberOfSeriesRelatedInstances SamplesPerPixel NumberOfFrames Rows Columns PixelSpacing
    BitsAllocated BitsStored HighBit PixelRepresentation PixelPaddingValue RescaleIntercept
    RescaleSlope RescaleType LossyImageCompression
    StudyDate StudyTime StudyID ReferringPhysicianName SharedFunctionalGroupsSequence
    PerFrameFunctionalGroupsSequence ExtendedOffsetTable ExtendedOffsetTableLengths
"""

TAGS: Final = {keyword: Tag(keyword) for keyword in KEYWORDS.split()}

TEXT_VRS: Final = frozenset(
    {"AE", "AS", "CS", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UR", "UT"}
)
"""Value representations whose values are text. Source: PS3.5 table 6.2-1."""

REPEATED_BYTES: Final = 256
"""A longer value is not kept for the next slice. Ours: texts and numbers are shorter."""

DAY: Final = re.compile(r"(\d{4})(\d{2})(\d{2})")
"""A date: year, month and day. Source: PS3.5 section 6.2."""

MOMENT: Final = re.compile(r"(\d{6})(\.\d{1,6})?")
"""A time of day: hours, minutes and seconds, and a fraction. Source: PS3.5 section 6.2."""

_NAMED_OF_FRAMES: Final = {
    "ImageType": Tag("FrameType"),
    "AcquisitionNumber": Tag("FrameAcquisitionNumber"),
    "AcquisitionDateTime": Tag("FrameAcquisitionDateTime"),
}


Placement: TypeAlias = tuple[Vector, Vector, Vector, tuple[float, ...]]
"""Position [mm], the two directions of the plane, and pixel spacing [mm]."""

NOWHERE: Final[Placement] = (0.0, 0.0, 0.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (1.0, 1.0)
"""For an image without a place, of which no more is asked than what it is called."""


class Unusable(ValueError):
    """A reason whose values quote no text from the file: it may hold anything."""

    def __init__(self, code: str, /, **values: Value) -> None:
        """Carry the reason that a code and its values make."""
        self.reason = Reason(code, **values)
        super().__init__(self.reason)


class Unplaced(Unusable):
    """An image without a usable position, orientation or pixel spacing."""


class Owner(NamedTuple):
    """Which image of which series of whom a file holds."""

    series_uid: str
    sop_uid: str
    identity: Identity


class SliceRefused(FileRefused):
    """An image that says to which series it belongs, and cannot be read.

    As long as it stands, nobody can say that the series shows no bleed.
    """

    kind = "slice_refused"

    def __init__(self, reason: Reason, owner: Owner) -> None:
        """Carry the reason, and whose image it is."""
        super().__init__(reason)
        self.owner = owner


class SliceNotWhole(SliceRefused, NotWholeYet):
    """One that is still being written, or was left half-written."""

    kind = "not_whole"


class SliceUnneeded(SliceRefused):
    """One whose header says that it is no slice of a head; its pixels were not read."""

    kind = "slice_unneeded"

    def __init__(self, reason: Reason, owner: Owner, header: SliceHeader) -> None:
        """Carry why it is not needed, whose image it is, and its header."""
        super().__init__(reason, owner)
        self.header = header


class SliceUnplaced(SliceRefused):
    """One that was read, but has no place among the others: a series goes on without it."""


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
    decoded = "\\".join(map(str, value)).strip() if many else str(value).rstrip(" \0").lstrip()
    decoded = decoded.replace(GB2312_ESCAPE, "")
    if len(decoded) > LONGEST_TEXT:
        raise Unusable("text_too_long", keyword=keyword, n_characters=len(decoded))
    return decoded


def numbers(image: Dataset, keyword: str, n: int) -> tuple[float, ...]:
    """Return ``n`` finite numbers, or refuse.

    Those that are written as text are read whatever value representation they are said to have, and
    with a decimal comma too.
    """
    raw: DataElement | RawDataElement | None = image.get_item(TAGS[keyword])
    if isinstance(raw, RawDataElement) and raw.VR in TEXT_VRS and raw.value is not None:
        read = _parsed(raw.value)
    else:
        value = value_of(image, keyword)
        values = tuple(value) if isinstance(value, MultiValue | list) else (value,)
        read = () if any(v is None or v == "" for v in values) else tuple(map(float, values))
    if len(read) != n:
        raise Unusable("attribute_unusable", keyword=keyword)
    if not all(map(math.isfinite, read)):
        raise Unusable("attribute_not_finite", keyword=keyword)
    return read


@lru_cache(maxsize=2048)
def _parsed(value: bytes) -> tuple[float, ...]:
    """Read numbers out of a text; none where it holds anything else."""
    parts = value.decode("ascii", "replace").replace(",", ".").strip(" \0\\").split("\\")
    try:
        return tuple(float(part.strip(" \0")) for part in parts)
    except ValueError:
        return ()


def number(image: Dataset, keyword: str) -> float | None:
    """Return one number, or None where it is absent or unreadable."""
    try:
        return numbers(image, keyword, 1)[0]
    except (ValueError, TypeError):
        return None


def whole(image: Dataset, keyword: str) -> int | None:
    """Return one whole number, or None where it is absent or unreadable."""
    value = number(image, keyword)
    return None if value is None or abs(value) >= WHOLE else int(value)


def uid_of(image: Dataset, keyword: str) -> str:
    """Return a UID, "" where it is absent or holds what no UID does."""
    uid = text(image, keyword)
    return uid if UID_PATTERN.fullmatch(uid) else ""


def identity_of(image: Dataset) -> Identity:
    """Read who and what the image belongs to."""
    return Identity(
        patient_id=text(image, "PatientID"),
        patient_name=_name(text(image, "PatientName")),
        birth_date=text(image, "PatientBirthDate"),
        sex=text(image, "PatientSex"),
        study_uid=uid_of(image, "StudyInstanceUID"),
        accession=text(image, "AccessionNumber"),
    )


def _name(written: str) -> str:
    """Leave out the empty components at the end of a name, and of each way in which it is written.

    Whoever sends an image may leave them out. Source: PS3.5 section 6.2.1.
    """
    return "=".join(group.rstrip("^ ") for group in written.split("=")).rstrip("=")


def study_of(frame: Dataset) -> StudyFacts:
    """Read what is repeated of the study; no head is refused for what is wrong with it."""
    keywords = ("StudyDate", "StudyTime", "StudyID", "ReferringPhysicianName")
    return StudyFacts(*(_text_if_any(frame, keyword) for keyword in keywords))


def _text_if_any(frame: Dataset, keyword: str) -> str:
    try:
        return text(frame, keyword)
    except (ValueError, TypeError, LookupError):
        return ""


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
    common = {tag: element for tag, element in _elements(image).items() if tag not in nested}
    common |= _flat(shared[0])
    implicit, little = image.original_encoding
    for n, groups in enumerate(per_frame, 1):
        frame = Dataset(common | _flat(groups))
        frame.set_original_encoding(implicit, little, image.original_character_set)
        own = Dataset()
        for keyword, of_frame in _NAMED_OF_FRAMES.items():
            if of_frame in frame:
                setattr(own, keyword, frame[of_frame].value)
        own.SOPInstanceUID, own.InstanceNumber = f"{uid}{FRAME_MARK}{n}", n
        own.NumberOfSeriesRelatedInstances = promised
        frame.update(own)
        yield frame


def _flat(groups: Dataset) -> dict[BaseTag, DataElement | RawDataElement]:
    """Take the attributes out of the functional groups, each a sequence of one item."""
    return {
        tag: element
        for group in groups
        if group.VR == "SQ" and group.value
        for tag, element in _elements(group.value[0]).items()
    }


def _elements(image: Dataset) -> dict[BaseTag, DataElement | RawDataElement]:
    """Return the elements as they are: what nobody asks for is not converted."""
    return {tag: image.get_item(tag) for tag in image.keys()}  # noqa: SIM118 - it yields elements


def header_of(
    frame: Dataset, identity: Identity, digest: str, place: Placement | None = None
) -> SliceHeader:
    """Build the header of one flat dataset, for a ``place`` where one is given.

    Raises
    ------
    Unplaced
        Position, orientation or spacing is missing or absurd.
    """
    position, row_direction, column_direction, spacings = place or _placed(frame)
    image_type = value_of(frame, "ImageType") or ()
    return SliceHeader(
        sop_uid=text(frame, "SOPInstanceUID"),
        sop_class_uid=uid_of(frame, "SOPClassUID"),
        series_uid=uid_of(frame, "SeriesInstanceUID"),
        identity=identity,
        study=study_of(frame),
        modality=text(frame, "Modality"),
        image_type=(image_type,) if isinstance(image_type, str) else tuple(map(str, image_type)),
        description=description_of(frame),
        body_part=body_part_of(frame),
        manufacturer=text(frame, "Manufacturer"),
        model=text(frame, "ManufacturerModelName"),
        kernel=text(frame, "ConvolutionKernel"),
        kvp=number(frame, "KVP") or None,  # 0 is what exports write that do not know it
        contrast=contrast_of(frame),
        instance_number=whole(frame, "InstanceNumber"),
        acquisition_number=whole(frame, "AcquisitionNumber"),
        expected_images=max(whole(frame, "NumberOfSeriesRelatedInstances") or 0, 0),
        images_in_acquisition=images_in_acquisition(frame),
        n_times=max(whole(frame, "NumberOfTemporalPositions") or 0, 0),
        lossy=text(frame, "LossyImageCompression") == LOSSY,
        only_zeros=False,
        frame_of_reference_uid=text(frame, "FrameOfReferenceUID"),
        acquired_at=acquired_at(frame),
        created_at=moment_of(text(frame, "ContentDate"), text(frame, "ContentTime")),
        rows=whole(frame, "Rows") or 0,
        columns=whole(frame, "Columns") or 0,
        position_lps_mm=position,
        row_direction=row_direction,
        column_direction=column_direction,
        row_spacing_mm=spacings[0],
        column_spacing_mm=spacings[1],
        thickness_mm=believed_mm(frame, "SliceThickness"),
        spacing_between_mm=believed_mm(frame, "SpacingBetweenSlices"),
        digest=digest,
    )


def _placed(frame: Dataset) -> Placement:
    """Read position [mm], the two directions of the plane, and pixel spacing [mm]."""
    try:
        position = numbers(frame, "ImagePositionPatient", 3)
        row_direction, column_direction = directions(frame)
        spacings = numbers(frame, "PixelSpacing", 2)
    except Unusable as error:
        raise Unplaced(error.reason.code, **dict(error.reason.values)) from error
    if max(map(abs, position)) > POSITION_MM:
        raise Unplaced("position_absurd")
    if not all(SPACING_MM[0] <= spacing <= SPACING_MM[1] for spacing in spacings):
        raise Unplaced("pixel_spacing_unusable", row_mm=spacings[0], column_mm=spacings[1])
    return (position[0], position[1], position[2]), row_direction, column_direction, spacings


def believed_mm(frame: Dataset, keyword: str) -> float | None:
    """Read a thickness or distance of slices [mm], None where it is absent or absurd.

    Some scanners write distances with the sign of the way they go.
    """
    value_mm = abs(number(frame, keyword) or 0.0)
    return value_mm if THICKNESS_MM[0] <= value_mm <= THICKNESS_MM[1] else None


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


def acquired_at(frame: Dataset) -> datetime | None:
    """Read when an image was scanned, None where the header does not say."""
    whole_text = text(frame, "AcquisitionDateTime")
    return moment_of(whole_text[:8], whole_text[8:]) or moment_of(
        text(frame, "AcquisitionDate"), text(frame, "AcquisitionTime")
    )


@lru_cache(maxsize=64)
def moment_of(date: str, time: str) -> datetime | None:
    """Join a date and a time of day, None where either is missing or is none; zones are left out.

    Both are read as DICOM writes them, and as ACR-NEMA did: 2026.11.23, 10:24:31.5.
    """
    days, parts = date.replace(".", ""), MOMENT.match(time.replace(":", ""))
    day = DAY.fullmatch(days)
    if not parts or not day:
        return None
    year, month, day_of_month = map(int, day.groups())
    hour, minute, second = (int(parts[1][n : n + 2]) for n in (0, 2, 4))
    try:
        moment = datetime(year, month, day_of_month, hour, minute, second)  # noqa: DTZ001
    except ValueError:
        return None
    return moment + timedelta(seconds=float(parts[2] or 0))


def description_of(frame: Dataset) -> str:
    """Read what the scanner calls the series; the protocol and study where it has no name.

    A stroke study is called an angiography, and still begins with a plain head: what is said of the
    study counts only where nothing is said of the series.
    """
    keywords = ("SeriesDescription", "ProtocolName", "StudyDescription")
    return next(filter(None, (text(frame, keyword) for keyword in keywords)), "")


def body_part_of(frame: Dataset) -> str:
    """Read the body part, by code meaning where there is no plain text."""
    return text(frame, "BodyPartExamined") or _coded(frame, "AnatomicRegionSequence", "")


def contrast_of(frame: Dataset) -> str:
    """Name the contrast agent, "" if none was given."""
    named = text(frame, "ContrastBolusAgent")
    return named or _coded(frame, "ContrastBolusAgentSequence", "given")


def _coded(frame: Dataset, keyword: str, unnamed: str) -> str:
    """Read what the first code of a sequence means, "" where there is no code."""
    codes = value_of(frame, keyword)
    if not codes:
        return ""
    if isinstance(codes, Sequence):
        return str(codes[0].get("CodeMeaning", unnamed))
    return text(frame, keyword)  # written as a text, against the standard


def images_in_acquisition(frame: Dataset) -> int:
    """Count what the header says that the acquisition has, 0 if it says nothing."""
    if FRAME_MARK in text(frame, "SOPInstanceUID"):
        return 0
    return max(whole(frame, "ImagesInAcquisition") or 0, 0)
