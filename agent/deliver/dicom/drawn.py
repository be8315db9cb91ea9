"""Segmentations that people drew or corrected: what is measured of one, or why it is refused.

What comes is anybody's. Images are known by their SOP Instance UIDs alone, never by a volume's
geometry: tilted and unevenly spaced heads have none.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import Final

import numpy as np
import pydicom
from highdicom.seg import Segmentation
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from agent.deliver.dicom.result import derived_uid
from agent.errors import FileRefused, legible
from agent.records import Identity, Vector
from agent.sources import SourceImages

UNCOMPRESSED: Final = frozenset({ExplicitVRLittleEndian, ImplicitVRLittleEndian})

BITS: Final = {("BINARY", 1), ("LABELMAP", 8), ("LABELMAP", 16)}
"""Segmentation Type and Bits Allocated that are read. Source: PS3.3 C.8.20.2."""

BACKGROUND: Final = 0
"""Number of what is no segment, which label maps may list among these. Source: PS3.3 C.8.20.2."""

EVEN_SHARE: Final = 0.01
"""Steps between slices that differ by more of their mean are uneven. Ours, below OHIF's own."""

NEAR_MM: Final = 0.1
NEAR: Final = 1e-3
"""A frame's position [mm] and its directions are an image's within these. Ours: programs round."""

MOST_SEGMENTS: Final = 100
"""Ours: nobody outlines so many bleeds."""

LONGEST_TEXT: Final = 64
"""Of a label or a name. Source: PS3.5 table 6.2-1, LO and PN."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """A segment: what it is called by who drew it, and its volume by the source images' voxels."""

    label: str
    volume_ml: float


@dataclass(frozen=True, slots=True)
class Measured:
    """A segmentation that is accepted. ``by`` is who drew it, "" where it does not say."""

    sop_uid: str
    by: str
    segments: tuple[Drawn, ...]


@dataclass(frozen=True, slots=True)
class DrawnOn:
    """The images of a series that is known."""

    series_uid: str
    identity: Identity
    images: SourceImages


def read_segmentation(file: bytes) -> Dataset:
    """Read a segmentation.

    Raises FileRefused where it is none, or compressed.
    """
    try:
        beginning = pydicom.dcmread(BytesIO(file), stop_before_pixels=True)
        syntax = beginning.file_meta.TransferSyntaxUID
        data = pydicom.dcmread(BytesIO(file)) if syntax in UNCOMPRESSED else None
    except Exception as error:
        raise FileRefused("drawing_unreadable", error=type(error).__name__) from error
    if data is None:
        raise FileRefused("drawing_compressed", syntax=legible(syntax.name))
    return data


def series_referred_to(data: Dataset) -> list[str]:
    """Return the series whose images a segmentation says that it is of."""
    try:
        return [str(one.SeriesInstanceUID) for one in data.get("ReferencedSeriesSequence") or ()]
    except Exception as error:
        raise FileRefused("drawing_unreadable", error=type(error).__name__) from error


def measured(data: Dataset, on: DrawnOn) -> Measured:
    """Measure each segment on the images that its frames name.

    Raises
    ------
    FileRefused
        It is of somebody or something else, or not what it says.
    """
    try:
        _check_whose(data, on)
        _check_counts(data, on.images)
        _check_numbers(data)
        _check_frames(data, on.images)
        segments = tuple(_segments(data, on.images))
        read = Measured(str(data.SOPInstanceUID), _text(data.get("ContentCreatorName")), segments)
    except FileRefused:
        raise
    except Exception as error:  # pydicom and highdicom raise whatever a hostile object leads to
        raise FileRefused("drawing_unreadable", error=type(error).__name__) from error
    if not any(one.volume_ml for one in segments):
        raise FileRefused("drawing_empty")
    return read


def _check_whose(data: Dataset, on: DrawnOn) -> None:
    if data.get("SeriesInstanceUID") == derived_uid(on.series_uid, "segmentation"):
        raise FileRefused("drawing_is_ours")
    pairs = {
        "patient": (data.get("PatientID"), on.identity.patient_id),
        "study": (data.get("StudyInstanceUID"), on.identity.study_uid),
        "frame of reference": (
            data.get("FrameOfReferenceUID"),
            on.images.frame_of_reference_uid,
        ),
    }
    for what, (said, known) in pairs.items():
        if str(said or "").strip() != known.strip():
            raise FileRefused("drawing_of_other", what=what)


def _check_counts(data: Dataset, images: SourceImages) -> None:
    """Check what is said of the pixels against the images, and against the pixels, unread yet."""
    kind = str(data.get("SegmentationType", ""))
    if (kind, data.get("BitsAllocated")) not in BITS:
        raise FileRefused("drawing_of_other_kind", kind=_text(kind))
    if (data.get("Rows"), data.get("Columns")) != (images.rows, images.columns):
        raise FileRefused("drawing_counts_wrong", what="rows and columns")
    n_segments, n_frames = len(data.get("SegmentSequence") or ()), int(data.NumberOfFrames)
    layers = n_segments if kind == "BINARY" else 1
    if n_segments > MOST_SEGMENTS or n_frames > len(images.images) * layers:
        raise FileRefused("drawing_too_large", n_segments=n_segments, n_frames=n_frames)
    if n_frames < 1 or len(data.PerFrameFunctionalGroupsSequence) != n_frames:
        raise FileRefused("drawing_counts_wrong", what="frames")
    n_bytes = -(-n_frames * images.rows * images.columns * data.BitsAllocated // 8)
    if len(data.PixelData) not in (n_bytes, n_bytes + n_bytes % 2):
        raise FileRefused("drawing_counts_wrong", what="pixels")


def _check_numbers(data: Dataset) -> None:
    """Make sure that each segment is listed once: else it is counted twice, or not at all."""
    listed = [int(one.SegmentNumber) for one in data.SegmentSequence]
    meant = {
        int(one.ReferencedSegmentNumber)
        for groups in data.PerFrameFunctionalGroupsSequence
        for one in groups.get("SegmentIdentificationSequence") or ()
    }
    if len(set(listed)) < len(listed) or not meant <= set(listed):
        raise FileRefused("drawing_counts_wrong", what="numbers of segments")


def _check_frames(data: Dataset, images: SourceImages) -> None:
    """Make sure that each frame names one of the images that it is of, and lies where that does."""
    known = {(one.sop_uid, one.frame): one.position_lps_mm for one in images.images}
    n_unknown = n_elsewhere = n_unsaid = 0
    for groups in data.PerFrameFunctionalGroupsSequence:
        sources = [
            source
            for derivation in groups.get("DerivationImageSequence") or ()
            for source in derivation.get("SourceImageSequence") or ()
        ]
        if not sources:
            raise FileRefused("drawing_frames_unnamed")
        if any(_named(one) not in known for one in sources):
            n_unknown += 1
        elif not all(_lies_there(data, groups, one, known[_named(one)], images) for one in sources):
            n_elsewhere += 1
        n_unsaid += any("SpatialLocationsPreserved" not in one for one in sources)
    if n_unknown:
        raise FileRefused("drawing_frames_unknown", n_unknown=n_unknown)
    if n_elsewhere:
        raise FileRefused("drawing_frames_elsewhere", n_elsewhere=n_elsewhere)
    if n_unsaid and _are_uneven(images):
        # OHIF 3.12.10 saves such a stack in reverse: its frames name, and lie at, other images.
        raise FileRefused("drawing_of_uneven")


def _are_uneven(images: SourceImages) -> bool:
    """Whether slices are not as far apart as one another, along their normal."""
    normal = np.cross(images.row_direction, images.column_direction)
    steps_mm = np.diff([np.dot(one.position_lps_mm, normal) for one in images.images])
    return bool(len(steps_mm) and np.ptp(steps_mm) > EVEN_SHARE * abs(steps_mm).mean())


def _lies_there(
    data: Dataset, groups: Dataset, source: Dataset, position_lps_mm: Vector, images: SourceImages
) -> bool:
    """Whether a frame's pixels are the image's: it says so, or, as OHIF, says where it lies."""
    said = source.get("SpatialLocationsPreserved")
    if said is not None:
        return bool(said == "YES")
    shared = data.SharedFunctionalGroupsSequence[0]
    planes = groups.get("PlaneOrientationSequence") or shared.PlaneOrientationSequence
    position = groups.PlanePositionSequence[0].ImagePositionPatient
    directions = (*images.row_direction, *images.column_direction)
    return bool(
        np.allclose(position, position_lps_mm, rtol=0, atol=NEAR_MM)
        and np.allclose(planes[0].ImageOrientationPatient, directions, rtol=0, atol=NEAR)
    )


def _named(source: Dataset) -> tuple[str, int | None]:
    frame = source.get("ReferencedFrameNumber")
    return str(source.ReferencedSOPInstanceUID), None if frame is None else int(frame)


def _segments(data: Dataset, images: SourceImages) -> Iterator[Drawn]:
    # OHIF leaves them empty, which highdicom does not read; nothing here is measured by them.
    measures = Dataset()
    measures.PixelSpacing, measures.SliceThickness = list(images.pixel_spacing_mm), 1.0
    data.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence = [measures]
    segmentation = Segmentation.from_dataset(data, copy=False)
    voxels_ml = np.array(images.voxels_ml)
    for segment in data.SegmentSequence:
        number = int(segment.SegmentNumber)
        if number == BACKGROUND:
            continue
        pixels = _pixels(segmentation, images, number)
        n_voxels = (pixels > 0).sum(axis=(1, 2, 3))
        yield Drawn(_text(segment.get("SegmentLabel")), float(n_voxels @ voxels_ml))


def _pixels(segmentation: Segmentation, images: SourceImages, number: int) -> NDArray[np.uint8]:
    """Return one segment's pixels on all images (k, j, i, 1)."""
    first = images.images[0]
    if first.frame is None:
        return np.asarray(
            segmentation.get_pixels_by_source_instance(
                [one.sop_uid for one in images.images],
                segment_numbers=[number],
                assert_missing_frames_are_empty=True,  # what no frame is of shows nothing
                ignore_spatial_locations=True,  # each frame's were looked at
            )
        )
    return np.asarray(
        segmentation.get_pixels_by_source_frame(
            first.sop_uid,
            [one.frame for one in images.images if one.frame is not None],
            segment_numbers=[number],
            assert_missing_frames_are_empty=True,
            ignore_spatial_locations=True,
        )
    )


def _text(said: object) -> str:
    return legible(str(said or ""))[:LONGEST_TEXT].strip()
