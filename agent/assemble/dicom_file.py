"""One DICOM file to the slices in it: read once, believed only when whole."""

from __future__ import annotations

import os
import stat
import warnings
import zlib
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, TypeAlias

import numpy as np
import xxhash
from numpy.typing import NDArray
from pydicom.config import disable_value_validation
from pydicom.dataset import Dataset
from pydicom.uid import (
    UID,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    EnhancedCTImageStorage,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    LegacyConvertedEnhancedCTImageStorage,
    MediaStorageDirectoryStorage,
    generate_uid,
)

from agent.assemble.codestreams import frames_in
from agent.assemble.elements import UNDEFINED, walk
from agent.assemble.encoding import (
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    MAGIC,
    PREAMBLE_BYTES,
    Encoding,
    beginning_of,
    encoding_at,
)
from agent.assemble.header import (
    NOWHERE,
    TAGS,
    Owner,
    SliceNotWhole,
    SliceRefused,
    SliceUnneeded,
    SliceUnplaced,
    Unplaced,
    Unusable,
    frames_of,
    header_of,
    identity_of,
    text,
    uid_of,
    value_of,
    whole,
)
from agent.assemble.hounsfield import (
    check_written,
    hu_from_stored,
    padded_with_air,
    rescale_of,
)
from agent.assemble.limits import ReadLimits
from agent.assemble.pixels import (
    Decode,
    PixelFormat,
    PixelValue,
    decode_here,
    decoded_frames,
    format_of,
    only_zeros,
    plain_frames,
)
from agent.errors import DirectoryLeftOut, FileRefused, NotReadableNow, NotWholeYet, legible
from agent.reasons import Reason
from agent.records import SliceHeader

CT_CLASSES: Final = (
    CTImageStorage,
    EnhancedCTImageStorage,
    LegacyConvertedEnhancedCTImageStorage,
)

GE_BIG_PIXELS: Final = UID("1.2.840.113619.5.2")
"""GE's own: implicit little-endian elements, big-endian pixels."""

HEAD_BYTES: Final = 4 * 1024 * 1024
"""Of a file that is too large, as much is read to find whose it is [bytes]. Ours."""

FIRST_BYTES: Final = 32 * 1024
"""Of each file so much is read before it is known whether its pixels are needed [bytes]. Ours:
headers of CT images take 2 to 20 kB."""

ITEM: Final = b"\xfe\xff\x00\xe0"
_PIXEL_DATA: Final = 0x7FE00010
_BEYOND_META: Final = 0x00030000
_WANTED: Final = {int(tag): tag for tag in TAGS.values()}
_SHORT_VRS_OF_PIXELS: Final = frozenset({b"US", b"SS"})


Unneeded: TypeAlias = Callable[[str, SliceHeader], Reason | None]
"""Says of an image of a series (UID), by its header, why its pixels are not needed; None if they
are."""


class ReadSlice(NamedTuple):
    """One image: what it says of itself, and its HU (rows, columns)."""

    header: SliceHeader
    hu: NDArray[np.int16]


class _Parsed(NamedTuple):
    """A data set up to its pixels, and what kept the rest of it from being read."""

    image: Dataset
    syntax: UID
    data: bytes
    """What ``pixels`` counts in: the file, or what a deflated file inflates to."""
    pixels: PixelValue | None
    ends: NotWholeYet | None = None


class _Known(NamedTuple):
    """Whose image a file holds, and the header of its first frame, without its digest."""

    owner: Owner
    header: SliceHeader


class _Content(NamedTuple):
    """What a file holds, or the beginning of it where it is too large."""

    data: bytes
    size_bytes: int

    @property
    def is_cut(self) -> bool:
        """Whether it was too large to be read whole."""
        return len(self.data) < self.size_bytes


def read_slices(
    path: Path,
    limits: ReadLimits,
    *,
    decode: Decode = decode_here,
    set_aside: Container[str] = (),
    unneeded: Unneeded = lambda _uid, _header: None,
) -> tuple[ReadSlice, ...]:
    """Read the slices in one file: one from a CT Image, all frames of an Enhanced CT Image.

    How it was written is found from its bytes, whatever it says of that. ``decode`` decompresses
    pixels; those of the series ``set_aside`` are not tried, and those ``unneeded`` are not even
    read.

    Raises
    ------
    SliceNotWhole, NotWholeYet
        The file is shorter than it says, has an unwritten tail, or cannot be opened at present; the
        former says to which series it belongs.
    SliceUnneeded
        A CT image whose pixels are not needed.
    SliceUnplaced
        A CT image that has no place among the slices of its series.
    SliceRefused
        Any other CT image that cannot be read.
    FileRefused
        Not DICOM, not a CT image, or gone. No other exception comes out of any bytes.
    """
    name = legible(path.name)
    with _quiet():
        first = _read(path, FIRST_BYTES).data
        look = _first_look(first, limits)
        known = _needed(look, unneeded, name)
        content = _read(path, limits.file_bytes)
        try:
            parsed = _whole(content.data, look, first)
            if parsed is None:
                known, parsed = None, _parse(content.data, limits)
            owner = known.owner if known else _owner_of(parsed)
        except Exception as error:  # whatever a stranger's bytes, or a bug of ours, may raise
            kind = type(error) if isinstance(error, FileRefused) else FileRefused
            if content.is_cut:
                kind, error = FileRefused, _too_large(content, limits)
            raise kind(_reason(error).of_file(name)) from error
        try:
            known = known or _needed(parsed, unneeded, name)
            _check_size(content, limits)
            _check_not_set_aside(owner, set_aside)
            return _slices(parsed, known, limits, decode)
        except SliceUnneeded:
            raise
        except NotWholeYet as error:
            raise SliceNotWhole(error.reason.of_file(name), owner) from error
        except Unplaced as error:
            raise _refusal_of_unplaced(parsed, owner, error, unneeded, name) from error
        except Exception as error:
            raise SliceRefused(_reason(error).of_file(name), owner) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep pydicom's remarks on what scanners write out of the log: what matters is raised.

    Both settings are the process's own: with two readers at once, one may hear a remark.
    """
    with warnings.catch_warnings(), disable_value_validation():
        warnings.simplefilter("ignore")
        yield


def _first_look(data: bytes, limits: ReadLimits) -> _Parsed | None:
    """Parse the beginning of a file; None where that does not hold all of the header."""
    try:
        look = _parse(data, limits)
    except Exception:  # noqa: BLE001 - told, if it is so, when the whole file is read
        return None
    is_own = look.data is data and look.ends is None
    return look if is_own and look.pixels and look.pixels.at + len(ITEM) <= len(data) else None


def _whole(data: bytes, look: _Parsed | None, first: bytes) -> _Parsed | None:
    """Return what the first look has shown of a file, unless it was written anew since."""
    return look._replace(data=data) if look and data.startswith(first) else None


def _needed(parsed: _Parsed | None, unneeded: Unneeded, name: str) -> _Known | None:
    """Say what the header tells, None where it does not: who reads on says why.

    Raises
    ------
    SliceUnneeded
        It tells enough.
    """
    if parsed is None:
        return None
    try:
        owner = _owner_of(parsed)
        header = header_of(next(frames_of(parsed.image)), owner.identity, "")
    except Exception:  # noqa: BLE001 - told, if it is so, when the whole file is read
        return None
    why = unneeded(owner.series_uid, header)
    if why is not None:
        raise SliceUnneeded(why.of_file(name), owner, header)
    return _Known(owner, header)


def _refusal_of_unplaced(
    parsed: _Parsed, owner: Owner, error: Unplaced, unneeded: Unneeded, name: str
) -> SliceRefused:
    """Say what an image without a place is: a dose page needs none."""
    header = header_of(next(frames_of(parsed.image)), owner.identity, "", NOWHERE)
    why = unneeded(owner.series_uid, header)
    if why is not None:
        return SliceUnneeded(why.of_file(name), owner, header)
    return SliceUnplaced(error.reason.of_file(name), owner)


def _read(path: Path, most_bytes: int) -> _Content:
    """Read a file, or the beginning of it where it is too large, or no more is asked for."""
    name = legible(path.name)
    try:
        with os.fdopen(_open_itself(path), "rb", buffering=0) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise FileRefused("not_a_file", file=name)
            if status.st_size <= most_bytes:
                data = file.read()
                return _Content(data, len(data))
            return _Content(file.read(min(HEAD_BYTES, most_bytes)), status.st_size)
    except FileNotFoundError as error:
        raise FileRefused("file_gone", file=name) from error
    except OSError as error:
        raise NotReadableNow("file_unreadable", file=name, why=str(error.strerror)) from error


def _open_itself(path: Path) -> int:
    """Open what has this name, not what it may have become a link to, and wait for nobody."""
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)


def _parse(data: bytes, limits: ReadLimits) -> _Parsed:
    """Parse the wanted attributes up to the pixels."""
    if only_zeros(data, 0) or (
        len(data) < PREAMBLE_BYTES + len(MAGIC) and only_zeros(data[:PREAMBLE_BYTES], 0)
    ):
        raise NotWholeYet("nothing_written")
    beginning = beginning_of(data)
    if beginning is None:
        raise FileRefused("not_dicom")
    meta, start = Dataset(), beginning.at
    if beginning.has_meta:
        meta, start, _ = walk(data, start, _WANTED, beginning.encoding, until=_BEYOND_META)
    if text(meta, "MediaStorageSOPClassUID") == MediaStorageDirectoryStorage:
        raise DirectoryLeftOut("directory_left_out")
    if only_zeros(data, start):
        raise NotWholeYet("header_cut")
    declared = UID(text(meta, "TransferSyntaxUID"))
    encoding, ends = encoding_at(data, start), None
    if encoding is None and declared == DeflatedExplicitVRLittleEndian:
        data, ends = _inflated(data[start:], limits)
        start, encoding = 0, encoding_at(data, 0)
    encoding = encoding or _declared_encoding(declared)
    image, at, stopped_by = walk(data, start, _WANTED, encoding)
    _complete(image, meta)
    if stopped_by != _PIXEL_DATA:
        if stopped_by is None or only_zeros(data, at):
            ends = ends or NotWholeYet("pixels_not_written")
        return _Parsed(image, declared, data, None, ends)
    return _Parsed(image, _syntax(declared, encoding), data, _pixel_value(data, at, encoding), ends)


def _declared_encoding(declared: UID) -> Encoding:
    """Go by what a file says where its first element does not tell."""
    known = {ImplicitVRLittleEndian: IMPLICIT_LITTLE, ExplicitVRBigEndian: EXPLICIT_BIG}
    return known.get(declared, EXPLICIT_LITTLE)


def _syntax(declared: UID, encoding: Encoding) -> UID:
    """Return the transfer syntax of the pixels, were they uncompressed; or the one declared."""
    if declared == GE_BIG_PIXELS or not encoding.little:
        return ExplicitVRBigEndian
    is_plain = declared.type == "Transfer Syntax" and not declared.is_encapsulated
    return encoding.syntax if is_plain or not declared else declared


def _pixel_value(data: bytes, at: int, encoding: Encoding) -> PixelValue:
    """Find where the value of the Pixel Data element at ``at`` lies."""
    order: Literal["little", "big"] = "little" if encoding.little else "big"
    is_short = encoding.implicit or data[at + 4 : at + 6] in _SHORT_VRS_OF_PIXELS
    start = at + (8 if is_short else 12)
    length = int.from_bytes(data[at + 4 if encoding.implicit else start - 4 : start], order)
    is_encapsulated = length == UNDEFINED or data[start : start + 4] == ITEM
    return PixelValue(start, length, is_encapsulated)


def _complete(image: Dataset, meta: Dataset) -> None:
    """Take from the meta information what the data set itself leaves out."""
    for keyword in ("SOPClassUID", "SOPInstanceUID"):
        in_meta = uid_of(meta, f"MediaStorage{keyword}")
        if in_meta and not uid_of(image, keyword):
            setattr(image, keyword, in_meta)


def _inflated(deflated: bytes, limits: ReadLimits) -> tuple[bytes, NotWholeYet | None]:
    """Inflate what is there of a data set; says why, where it is not all."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        data = inflater.decompress(deflated, limits.file_bytes)
    except zlib.error:
        if only_zeros(deflated, len(deflated) - 8):
            raise NotWholeYet("ends_in_zeros") from None
        raise
    if inflater.unconsumed_tail:
        raise FileRefused("inflates_too_large", limit_bytes=limits.file_bytes)
    return data, None if inflater.eof else NotWholeYet("deflated_cut")


def _owner_of(parsed: _Parsed) -> Owner:
    """Refuse what is not a CT image; say which series of whom an image belongs to."""
    image = parsed.image
    sop_class = UID(uid_of(image, "SOPClassUID"))
    if parsed.ends and not (sop_class and uid_of(image, "SeriesInstanceUID")):
        raise parsed.ends
    is_unknown = sop_class.name == sop_class  # a vendor's own, or none: the header tells more
    is_ct_by_header = text(image, "Modality") == "CT" and bool(
        whole(image, "Rows") or not sop_class
    )
    if sop_class not in CT_CLASSES and not (is_unknown and is_ct_by_header):
        if is_unknown:
            raise FileRefused("unknown_object")
        raise FileRefused("not_ct", sop_class=sop_class.name)
    sop_uid, series_uid = uid_of(image, "SOPInstanceUID"), uid_of(image, "SeriesInstanceUID")
    return Owner(series_uid or _stand_in(image), sop_uid, identity_of(image))


def _stand_in(image: Dataset) -> str:
    """Make up a series for images that name none, so that those of one study share a row."""
    study = uid_of(image, "StudyInstanceUID") or uid_of(image, "SOPInstanceUID")
    return str(generate_uid(entropy_srcs=["no series", study, text(image, "PatientID")]))


def _check_size(content: _Content, limits: ReadLimits) -> None:
    if content.is_cut:
        raise _too_large(content, limits)


def _too_large(content: _Content, limits: ReadLimits) -> Unusable:
    return Unusable("file_too_large", size_bytes=content.size_bytes, limit_bytes=limits.file_bytes)


def _check_not_set_aside(owner: Owner, set_aside: Container[str]) -> None:
    if owner.series_uid in set_aside:
        raise Unusable("series_set_aside")


def _slices(
    parsed: _Parsed, known: _Known | None, limits: ReadLimits, decode: Decode
) -> tuple[ReadSlice, ...]:
    image = parsed.image
    if parsed.ends:
        raise parsed.ends
    for keyword in ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID"):
        if not uid_of(image, keyword):
            raise Unusable("uid_missing", keyword=keyword)
    if parsed.pixels is None:
        raise Unusable("no_pixels")
    value = parsed.pixels
    form = format_of(image, parsed.syntax, limits, is_encapsulated=value.is_encapsulated)
    form, stored_by_frame, lossy = _stored(parsed.data, value, form, image, decode)
    slices = []
    for frame, stored in zip(frames_of(image), stored_by_frame, strict=True):
        rescale = rescale_of(frame)
        hu = hu_from_stored(stored, form, rescale)
        hu = padded_with_air(hu, stored, form, rescale, whole(image, "PixelPaddingValue"))
        is_zero = not (value.is_encapsulated or stored[-1].any() or stored.any())
        if not value.is_encapsulated:
            check_written(stored, hu, rescale)
        header = (
            known.header if known and form.frames == 1 else header_of(frame, identity_of(image), "")
        )
        digest = xxhash.xxh3_128_hexdigest(hu.data)
        seen = replace(
            header,
            digest=digest,
            lossy=header.lossy or lossy,
            only_zeros=is_zero,
            rescale=(rescale.slope, rescale.intercept),
        )
        slices.append(ReadSlice(seen, hu))
    return tuple(slices)


def _stored(
    data: bytes, value: PixelValue, form: PixelFormat, image: Dataset, decode: Decode
) -> tuple[PixelFormat, Iterator[NDArray[Any]], bool]:
    """Return the stored values of each frame, with their format as the pixels themselves tell.

    Last whether they were compressed with losses.
    """
    if not value.is_encapsulated:
        return form, plain_frames(data, value, form), False
    tables = [
        value_of(image, keyword)
        for keyword in ("ExtendedOffsetTable", "ExtendedOffsetTableLengths")
    ]
    offsets = (tables[0], tables[1]) if all(tables) else None
    found = frames_in(data, value.at, form.room, form.syntax, offsets)
    form = replace(form, syntax=found.syntax)
    return form, decoded_frames(found.frames, form, decode), found.lossy


def _reason(error: Exception) -> Reason:
    """Give a reason in our own words; a vendor's may quote the file, and so the patient."""
    if isinstance(error, Unusable | FileRefused):
        return error.reason
    return Reason("dicom_unreadable", error=type(error).__name__)
