"""Head-like CT files whose geometry and values are known on paper."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    CTImageStorage,
    EnhancedCTImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSNearLossless,
    generate_uid,
)

INTERCEPT = -1024
FIELD_MM = 224.0


def phantom_hu(k: int, n: int, size: int = 64, seed: int = 0) -> NDArray[np.int16]:
    """Slice ``k`` of ``n``: skull, noisy brain, a ventricle, a bright block at the left front.

    At the skull's inner edge some values lie between brain and bone, as in every head.
    Both halves close like a dome; the block stays inside it from one sixth to five sixths.
    """
    rows, columns = np.mgrid[:size, :size] / (size - 1) * 2 - 1
    up = abs(k / max(n - 1, 1) - 0.5) / 0.55
    radius = np.hypot(columns / 0.75, rows / 0.9) / np.sqrt(1 - up**2)
    noise = np.random.default_rng([seed, k]).normal(0, 5, (size, size))
    hu = np.where(radius < 1, 900.0, -990.0)
    brain_hu = 35.0 + 3 * k / max(n - 1, 1)
    hu = np.where(radius < 0.88, np.interp(radius, [0.85, 0.88], [brain_hu, 99.0]), hu)
    hu = np.where(np.hypot(columns / 0.2, rows / 0.25) < 1, 8.0, hu) + noise
    hu[(columns > 0.2) & (columns < 0.4) & (rows < -0.2) & (rows > -0.4)] = 70.0
    return hu.round().astype(np.int16)


def uid(*parts: object) -> str:
    """Return the same UID for the same parts."""
    return str(generate_uid(entropy_srcs=[str(part) for part in parts]))


def write_series(  # noqa: PLR0913
    folder: Path,
    n: int = 10,
    spacing: float | Sequence[float] = 5.0,
    tilt_deg: float = 0.0,
    transfer_syntax: str = ExplicitVRLittleEndian,
    *,
    size: int = 64,
    seed: int = 0,
    **tags: object,
) -> list[Path]:
    """Write one series, lowest slice first, as ``folder/000.dcm`` … and return the paths.

    ``spacing`` [mm, along the normal] is one number or the n - 1 distances. A positive ``tilt_deg``
    makes slices slide towards smaller rows as they ascend. ``tags`` sets DICOM keywords: to a
    value, to None (left out), or to a function of the slice number. Series of one ``seed`` share
    patient, study and series.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{k:03d}.dcm" for k in range(n)]
    apart = spacing if isinstance(spacing, (int, float)) else tuple(map(float, spacing))
    for k, path in enumerate(paths):
        of_image = {name: value(k) if callable(value) else value for name, value in tags.items()}
        of_image |= {"k": k, "n": n, "spacing": apart, "tilt_deg": tilt_deg}
        of_image |= {"size": size, "seed": seed}
        try:
            path.write_bytes(slice_file(transfer_syntax, tuple(of_image.items())))
        except TypeError:  # lists and items cannot be kept by their value
            write(slice_dataset(**of_image), path, transfer_syntax)
    return paths


@lru_cache(maxsize=512)
def slice_file(transfer_syntax: str, of_image: tuple[tuple[str, Any], ...]) -> bytes:
    """Encode what ``slice_dataset`` makes of these arguments; to do it again costs much."""
    file = BytesIO()
    write(slice_dataset(**dict(of_image)), file, transfer_syntax)
    return file.getvalue()


def slice_dataset(
    k: int = 0,
    n: int = 10,
    spacing: float | Sequence[float] = 5.0,
    tilt_deg: float = 0.0,
    *,
    size: int = 64,
    seed: int = 0,
    **tags: object,
) -> Dataset:
    """One classic CT image, its pixels uncompressed little-endian."""
    heights = height_mm(n, spacing)
    thickness = float(np.median(np.diff(heights))) if n > 1 else 5.0
    tilt, pixel_mm = np.radians(tilt_deg), FIELD_MM / size
    corner = -(size - 1) / 2 * pixel_mm
    image = common(size, seed)
    image.SOPClassUID = CTImageStorage
    image.SOPInstanceUID = uid("slice", seed, k)
    image.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    image.InstanceNumber = k + 1
    image.ImagePositionPatient = [corner, corner, round(heights[k] / np.cos(tilt), 6)]
    image.ImageOrientationPatient = [1, 0, 0, 0, *np.round([np.cos(tilt), -np.sin(tilt)], 8)]
    image.PixelSpacing = [pixel_mm, pixel_mm]
    image.SliceThickness = thickness
    image.RescaleSlope, image.RescaleIntercept = 1, INTERCEPT
    image.ConvolutionKernel, image.KVP = "STANDARD", 120
    hu = phantom_hu(k, n, size, seed).astype(np.int32)
    image.PixelData = (hu - INTERCEPT).astype("<u2").tobytes()
    for keyword, value in tags.items():
        set_tag(image, keyword, value(k) if callable(value) else value)
    return image


def height_mm(n: int, spacing: float | Sequence[float]) -> NDArray[np.float64]:
    """Heights of ``n`` slices along the normal, the first at 0."""
    steps = np.full(n - 1, spacing) if isinstance(spacing, (int, float)) else np.asarray(spacing)
    return np.r_[0.0, np.cumsum(steps)]


def common(size: int, seed: int) -> Dataset:
    """Patient, study, series and pixel description."""
    image = Dataset()
    image.SpecificCharacterSet = "ISO_IR 192"
    image.Modality, image.Manufacturer, image.ManufacturerModelName = "CT", "PHANTOM", "P1"
    image.PatientName, image.PatientID = "Müller^Jörg", f"P{seed}"
    image.PatientBirthDate, image.PatientSex, image.AccessionNumber = "19500101", "M", f"A{seed}"
    image.StudyInstanceUID, image.SeriesInstanceUID = uid("study", seed), uid("series", seed)
    image.FrameOfReferenceUID = uid("frame", seed)
    image.SeriesDescription, image.BodyPartExamined = "Head 5.0", "HEAD"
    image.AcquisitionNumber = 1
    image.Rows = image.Columns = size
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.BitsAllocated, image.BitsStored, image.HighBit = 16, 16, 15
    image.PixelRepresentation = 0
    return image


def set_tag(image: Dataset, keyword: str, value: object) -> None:
    """Set ``keyword``, or leave it out where ``value`` is None."""
    if value is None:
        image.pop(keyword, None)
    else:
        setattr(image, keyword, value)


def write_enhanced(path: Path, n: int = 10, spacing: float = 5.0, **kwargs: Any) -> Path:
    """Write the series of ``write_series`` as one Enhanced CT object."""
    transfer_syntax = kwargs.pop("transfer_syntax", ExplicitVRLittleEndian)
    frames = [slice_dataset(k, n, spacing, **kwargs) for k in range(n)]
    image = common(frames[0].Rows, kwargs.get("seed", 0))
    image.SOPClassUID, image.SOPInstanceUID = EnhancedCTImageStorage, uid("enhanced")
    image.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    image.InstanceNumber, image.NumberOfFrames = 1, n
    image.SharedFunctionalGroupsSequence = [shared_groups(frames[0])]
    image.PerFrameFunctionalGroupsSequence = [frame_groups(frame) for frame in frames]
    image.PixelData = b"".join(frame.PixelData for frame in frames)
    write(image, path, transfer_syntax)
    return path


def shared_groups(frame: Dataset) -> Dataset:
    """What all frames of an Enhanced CT object have in common."""
    groups, measures, orientation, rescale = Dataset(), Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = frame.PixelSpacing, frame.SliceThickness
    orientation.ImageOrientationPatient = frame.ImageOrientationPatient
    rescale.RescaleSlope, rescale.RescaleIntercept = frame.RescaleSlope, frame.RescaleIntercept
    rescale.RescaleType = "HU"
    groups.PixelMeasuresSequence = [measures]
    groups.PlaneOrientationSequence = [orientation]
    groups.PixelValueTransformationSequence = [rescale]
    return groups


def frame_groups(frame: Dataset) -> Dataset:
    """What one frame has to itself."""
    groups, position = Dataset(), Dataset()
    position.ImagePositionPatient = frame.ImagePositionPatient
    groups.PlanePositionSequence = [position]
    return groups


def write(image: Dataset, path: Path | BytesIO, transfer_syntax: str) -> None:
    """Write ``image`` in ``transfer_syntax``; it comes uncompressed little-endian."""
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    image.file_meta.ImplementationClassUID = uid("phantom")
    syntax = UID(transfer_syntax)
    if syntax in (JPEGLossless, JPEGLosslessSV1):
        each_frame(image, jpeg_lossless)
    elif syntax == ExplicitVRBigEndian:
        image.PixelData = np.frombuffer(image.PixelData, "<u2").byteswap().tobytes()
    elif syntax == JPEGLSNearLossless:
        image.compress(syntax, jls_error=2, generate_instance_uid=False)
    elif syntax.is_compressed and not syntax.is_deflated:
        options = {"j2k_cr": [4]} if syntax.name == "JPEG 2000 Image Compression" else {}
        image.compress(syntax, generate_instance_uid=False, **options)
    image.file_meta.TransferSyntaxUID = syntax
    implicit, little = syntax == ImplicitVRLittleEndian, syntax != ExplicitVRBigEndian
    image.save_as(path, implicit_vr=implicit, little_endian=little, enforce_file_format=True)


def each_frame(image: Dataset, encode: Callable[[NDArray[np.uint16]], bytes]) -> None:
    """Replace the pixel data of ``image`` with its encoded frames."""
    frames = np.frombuffer(image.PixelData, "<u2").reshape(-1, image.Rows, image.Columns)
    image.PixelData = encapsulate([encode(frame) for frame in frames])
    image["PixelData"].VR = "OB"
    image["PixelData"].is_undefined_length = True


def jpeg_lossless(frame: NDArray[np.uint16]) -> bytes:
    """Encode as JPEG process 14, selection value 1 (ITU-T T.81 H), all Huffman codes 5 bits long.

    No Python package writes this, the commonest lossless JPEG in old archives.
    """
    rows, columns = frame.shape
    values = frame.astype(np.int32)
    predicted = np.empty_like(values)
    predicted[:, 1:] = values[:, :-1]
    predicted[1:, 0] = values[:-1, 0]
    predicted[0, 0] = 1 << 15
    bits = "".join(map(difference_bits, ((values - predicted) & 0xFFFF).ravel().tolist()))
    bits += "1" * (-len(bits) % 8)
    scan = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\x00")
    size = rows.to_bytes(2, "big") + columns.to_bytes(2, "big")
    huffman = bytes([0, 0, 0, 0, 0, 17] + [0] * 11) + bytes(range(17))
    start = segment(0xC3, b"\x10" + size + b"\x01\x01\x11\x00") + segment(0xC4, huffman)
    return b"\xff\xd8" + start + segment(0xDA, b"\x01\x01\x00\x01\x00\x00") + scan + b"\xff\xd9"


def difference_bits(difference: int) -> str:
    """Category (5 bits), then the difference within it."""
    signed = difference - 65536 if difference > 32768 else difference
    category = abs(signed).bit_length()
    if category in (0, 16):
        return f"{category:05b}"
    return f"{category:05b}{signed if signed > 0 else signed + (1 << category) - 1:0{category}b}"


def segment(marker: int, content: bytes) -> bytes:
    """One JPEG marker segment."""
    return bytes([0xFF, marker]) + (len(content) + 2).to_bytes(2, "big") + content
