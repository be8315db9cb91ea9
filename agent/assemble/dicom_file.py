"""One DICOM file to the slices in it: read once, believed only when whole."""

from __future__ import annotations

import os
import stat
import warnings
import zlib
from collections.abc import Container, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import xxhash
from numpy.typing import NDArray
from pydicom.config import disable_value_validation
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag
from pydicom.uid import (
    UID,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    EnhancedCTImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000TransferSyntaxes,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSTransferSyntaxes,
    RLELossless,
)

from agent.assemble.elements import FIRST_PIXEL_TAG, Walked, walk
from agent.assemble.header import (
    TAGS,
    SliceRefused,
    Unusable,
    frames_of,
    header_of,
    identity_of,
    text,
    uid_of,
)
from agent.assemble.hounsfield import check_tail, hu_from_stored, rescale_of
from agent.assemble.limits import ReadLimits
from agent.assemble.pixels import Decode, decode_here, format_of, only_zeros, stored_frames
from agent.errors import FileRefused, NotWholeYet, legible
from agent.reasons import Reason
from agent.records import Identity, SliceHeader

CT_CLASSES: Final = CTImageStorage, EnhancedCTImageStorage

SYNTAXES: Final = frozenset(
    {
        ImplicitVRLittleEndian,
        ExplicitVRLittleEndian,
        ExplicitVRBigEndian,
        DeflatedExplicitVRLittleEndian,
        RLELossless,
        JPEGLossless,
        JPEGLosslessSV1,
        *JPEGLSTransferSyntaxes,
        *JPEG2000TransferSyntaxes,
    }
)
"""The transfer syntaxes in which CT images are stored: PS3.5 section 10, lossy 8-bit JPEG apart."""

PREAMBLE_BYTES: Final = 128
_PIXEL_DATA: Final = 0x7FE00010
_BEYOND_META: Final = 0x00030000
_WANTED: Final = frozenset(map(int, TAGS.values()))


class ReadSlice(NamedTuple):
    """One image: what it says of itself, and its HU (rows, columns)."""

    header: SliceHeader
    hu: NDArray[np.int16]


class _Parsed(NamedTuple):
    image: Dataset
    syntax: UID
    data: bytes
    """What ``pixels_at`` counts in: the file, or what a deflated file inflates to."""
    pixels_at: int


class _Owner(NamedTuple):
    series_uid: str
    identity: Identity


def read_slices(
    path: Path,
    limits: ReadLimits,
    *,
    settled: bool = False,
    decode: Decode = decode_here,
    set_aside: Container[str] = (),
) -> tuple[ReadSlice, ...]:
    """Read the slices in one file: one from a CT Image, all frames of an Enhanced CT Image.

    ``settled`` says that the file has not changed for long, so that a small tail of zero rows may
    be padding (see ``hounsfield.check_tail``); without it such a file is *not whole yet*.
    ``decode`` decompresses pixels; those of the series ``set_aside`` are not tried.

    Raises
    ------
    NotWholeYet
        The file is shorter than it says, has an unwritten tail, or cannot be opened at present.
    SliceRefused
        A CT image that cannot be a slice: its series cannot be analysed.
    FileRefused
        Not DICOM, not a CT image, or gone. No other exception comes out of any bytes.
    """
    data, name = _read(path, limits), legible(path.name)
    with _quiet():
        try:
            parsed = _parse(data, limits)
            owner = _owner_of(parsed.image)
        except FileRefused as error:
            raise type(error)(error.reason.of_file(name)) from error
        except Exception as error:  # whatever a stranger's bytes, or a bug of ours, may raise
            raise FileRefused(_reason(error).of_file(name)) from error
        try:
            _check_not_set_aside(owner, set_aside)
            return _slices(parsed, limits, decode, settled=settled)
        except NotWholeYet as error:
            raise NotWholeYet(error.reason.of_file(name)) from error
        except Exception as error:
            raise SliceRefused(_reason(error).of_file(name), **owner._asdict()) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep pydicom's remarks on what scanners write out of the log: what matters is raised.

    Both settings are the process's own: with two readers at once, one may hear a remark.
    """
    with warnings.catch_warnings(), disable_value_validation():
        warnings.simplefilter("ignore")
        yield


def _read(path: Path, limits: ReadLimits) -> bytes:
    name = legible(path.name)
    try:
        with os.fdopen(_open_itself(path), "rb", buffering=0) as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise FileRefused("not_a_file", file=name)
            size_bytes = found.st_size
            if size_bytes > limits.file_bytes:
                raise FileRefused(
                    "file_too_large",
                    file=name,
                    size_bytes=size_bytes,
                    limit_bytes=limits.file_bytes,
                )
            return file.read()
    except FileNotFoundError as error:
        raise FileRefused("file_gone", file=name) from error
    except OSError as error:
        raise NotWholeYet("file_unreadable", file=name, why=str(error.strerror)) from error


def _open_itself(path: Path) -> int:
    """Open what has this name, not what it may have become a link to, and wait for nobody."""
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)


def _parse(data: bytes, limits: ReadLimits) -> _Parsed:
    """Parse the wanted attributes up to the pixels."""
    if data[PREAMBLE_BYTES : PREAMBLE_BYTES + 4] != b"DICM":
        cut = len(data) < PREAMBLE_BYTES + 4 and only_zeros(data[:PREAMBLE_BYTES], 0)
        if cut or only_zeros(data, 0):
            raise NotWholeYet("nothing_written")
        raise FileRefused("not_dicom")
    meta, start, _ = _read_meta(data)
    syntax = UID(text(meta, "TransferSyntaxUID"))
    if only_zeros(data, start):
        raise NotWholeYet("header_cut")
    if syntax not in SYNTAXES:
        name = syntax.name if syntax.name != syntax else "unknown"
        raise FileRefused("transfer_syntax_unread", syntax=name)
    if syntax == DeflatedExplicitVRLittleEndian:
        data, start = _inflate(data[start:], limits), 0
    image, at, stopped_by = _read_attributes(data, start, syntax)
    if stopped_by == _PIXEL_DATA:
        return _Parsed(image, syntax, data, at)
    sop_class, media_class = text(image, "SOPClassUID"), text(meta, "MediaStorageSOPClassUID")
    has_pixels = not sop_class or sop_class in CT_CLASSES or media_class in CT_CLASSES
    if only_zeros(data, at) if stopped_by is not None else has_pixels:
        raise NotWholeYet("pixels_not_written")
    return _Parsed(image, syntax, b"", 0)


def _read_meta(data: bytes) -> Walked:
    """Read the file meta information, which is always explicit little-endian."""
    start = PREAMBLE_BYTES + 4
    walked = walk(data, start, _WANTED, until=_BEYOND_META)
    if walked:
        return walked
    file = BytesIO(data)
    file.seek(start)
    meta = read_dataset(
        file,
        is_implicit_VR=False,
        is_little_endian=True,
        stop_when=lambda tag, _vr, _length: tag >= _BEYOND_META,
    )
    return Walked(meta, file.tell(), None)


def _read_attributes(data: bytes, start: int, syntax: UID) -> Walked:
    """Read the wanted attributes of the data set, up to its pixels."""
    walked = None
    if syntax not in (ImplicitVRLittleEndian, ExplicitVRBigEndian):
        walked = walk(data, start, _WANTED)
    return walked or _read_by_pydicom(data, start, syntax)


def _inflate(deflated: bytes, limits: ReadLimits) -> bytes:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        data = inflater.decompress(deflated, limits.file_bytes)
    except zlib.error:
        if only_zeros(deflated, len(deflated) - 8):
            raise NotWholeYet("ends_in_zeros") from None
        raise
    if inflater.unconsumed_tail:
        raise FileRefused("inflates_too_large", limit_bytes=limits.file_bytes)
    if not inflater.eof:
        raise NotWholeYet("deflated_cut")
    return data


def _read_by_pydicom(data: bytes, start: int, syntax: UID) -> Walked:
    stopped_at: list[int] = []

    def at_pixels(tag: BaseTag, _vr: str | None, _length: int) -> bool:
        """Stop at the pixels, past where they should be, or where zeros take over."""
        number = int(tag)
        if number == 0 or number >= FIRST_PIXEL_TAG:
            stopped_at.append(number)
        return bool(stopped_at)

    file = BytesIO(data)
    file.seek(start)
    little = syntax != ExplicitVRBigEndian
    implicit = syntax == ImplicitVRLittleEndian
    image = read_dataset(file, implicit, little, stop_when=at_pixels, specific_tags=[*_WANTED])
    return Walked(image, file.tell(), stopped_at[0] if stopped_at else None)


def _owner_of(image: Dataset) -> _Owner:
    """Refuse what is not a CT image; say which series of whom an image belongs to."""
    sop_class = UID(uid_of(image, "SOPClassUID"))
    if sop_class not in CT_CLASSES:
        if sop_class.name == sop_class:
            raise FileRefused("unknown_object")
        raise FileRefused("not_ct", sop_class=sop_class.name)
    for keyword in ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID"):
        if not uid_of(image, keyword):
            raise FileRefused("uid_missing", keyword=keyword)
    return _Owner(uid_of(image, "SeriesInstanceUID"), identity_of(image))


def _check_not_set_aside(owner: _Owner, set_aside: Container[str]) -> None:
    if owner.series_uid in set_aside:
        raise Unusable("series_set_aside")


def _slices(
    parsed: _Parsed, limits: ReadLimits, decode: Decode, *, settled: bool
) -> tuple[ReadSlice, ...]:
    image, identity = parsed.image, identity_of(parsed.image)
    if not parsed.data:
        raise Unusable("no_pixels")
    form = format_of(image, parsed.syntax, limits)
    slices = []
    stored_by_frame = stored_frames(parsed.data, parsed.pixels_at, form, image, decode)
    for frame, stored in zip(frames_of(image), stored_by_frame, strict=True):
        rescale = rescale_of(frame)
        if not parsed.syntax.is_encapsulated:
            check_tail(stored, form, rescale, settled=settled)
        hu = hu_from_stored(stored, form, rescale)
        digest = xxhash.xxh3_128_hexdigest(hu.data)
        slices.append(ReadSlice(header_of(frame, identity, digest), hu))
    return tuple(slices)


def _reason(error: Exception) -> Reason:
    """Give a reason in our own words; a vendor's may quote the file, and so the patient."""
    if isinstance(error, Unusable):
        return error.reason
    return Reason("dicom_unreadable", error=type(error).__name__)
