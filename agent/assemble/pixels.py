"""Stored pixel bytes to HU, one frame at a time, without a float volume.

Uncompressed frames are views on the file's own bytes until the rescale. Compressed ones go to
pydicom's decoders, after the size that the codestream itself declares has been compared with the
header: a decoder allocates what the codestream says. The agent has them decoded in a process of
their own (``decoder``): a library that crashes on one takes nothing else down.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import (
    UID,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000TransferSyntaxes,
    RLELossless,
)

from agent.assemble.header import Unusable, value_of, whole
from agent.assemble.limits import ReadLimits
from agent.errors import NotWholeYet

ENCODED_SLACK_BYTES: Final = 64 * 1024
"""A compressed frame larger than twice its pixels and this is not what it says. Ours."""

_JPEG_2000_SIZE: Final = re.compile(rb"\xff\x4f\xff\x51.{4}(.{4})(.{4})(.{4})(.{4})", re.DOTALL)
_JPEG_SIZE_MARKERS: Final = frozenset({*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC})
_ITEM: Final = b"\xfe\xff\x00\xe0"
_END_OF_ITEMS: Final = b"\xfe\xff\xdd\xe0\0\0\0\0"
_PIXEL_VRS: Final = b"OW", b"OB", b"UN"
_UNDEFINED: Final = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class PixelFormat:
    """How stored values lie in the bytes. Checked: what it declares is within the limits.

    A value begins at bit ``low_bit``: 0, but in images whose High Bit says otherwise.
    """

    syntax: UID
    rows: int
    columns: int
    frames: int
    bits_allocated: int
    bits_stored: int
    signed: bool
    low_bit: int = 0

    @property
    def frame_bytes(self) -> int:
        """Size of one uncompressed frame [bytes]."""
        return self.rows * self.columns * self.bits_allocated // 8

    @property
    def dtype(self) -> str:
        """NumPy's name for a stored value."""
        order = ">" if self.syntax == ExplicitVRBigEndian else "<"
        return f"{order}{'i' if self.signed else 'u'}{self.bits_allocated // 8}"


def format_of(image: Dataset, syntax: UID, limits: ReadLimits) -> PixelFormat:
    """Read and check the pixel description.

    Raises
    ------
    Unusable
        Not a grey image of 8 or 16 bits, or larger than ``limits``.
    """
    rows, columns = whole(image, "Rows") or 0, whole(image, "Columns") or 0
    frames = len(value_of(image, "PerFrameFunctionalGroupsSequence") or ()) or 1
    if not (0 < rows <= limits.matrix_px and 0 < columns <= limits.matrix_px):
        raise Unusable("matrix_unusable", rows=rows, columns=columns, limit_px=limits.matrix_px)
    if frames != (whole(image, "NumberOfFrames") or 1):
        raise Unusable(
            "frame_count_differs",
            n_described=frames,
            n_declared=whole(image, "NumberOfFrames") or 0,
        )
    if frames > limits.frames or frames * rows * columns * 2 > limits.file_bytes:
        raise Unusable("too_many_frames", n_frames=frames, rows=rows, columns=columns)
    allocated, stored = whole(image, "BitsAllocated") or 0, whole(image, "BitsStored") or 0
    if whole(image, "SamplesPerPixel") not in (1, None):
        raise Unusable("colour_image")
    if allocated not in (8, 16) or not 0 < stored <= allocated:
        raise Unusable("bits_unusable", n_stored=stored, n_allocated=allocated)
    signed = whole(image, "PixelRepresentation") == 1
    low_bit = 0 if syntax.is_encapsulated else _low_bit(image, allocated, stored)
    return PixelFormat(syntax, rows, columns, frames, allocated, stored, signed, low_bit)


def _low_bit(image: Dataset, allocated: int, stored: int) -> int:
    """Find at which bit a value begins; 0 where High Bit is missing or contradicts the others.

    Source: PS3.5 section 8.1.1. Where it is wrong, values are no HU, and are told to be none.
    """
    high_bit = whole(image, "HighBit")
    low_bit = 0 if high_bit is None else high_bit + 1 - stored
    return low_bit if 0 <= low_bit <= allocated - stored else 0


class DecoderEnded(Unusable):
    """Compressed pixels that crashed what decodes them, or kept it too long."""


Offsets: TypeAlias = tuple[bytes, bytes]
"""Extended Offset Table, and its lengths."""

Decode: TypeAlias = Callable[[bytes, PixelFormat, Offsets | None], Iterator[NDArray[Any]]]
"""Encapsulated items, what they are to hold and where frames begin → stored values (j, i)."""


def stored_frames(
    data: bytes, offset: int, form: PixelFormat, image: Dataset, decode: Decode
) -> Iterator[NDArray[Any]]:
    """Yield the stored values (j, i) of each frame of the Pixel Data element at ``offset``.

    ``decode`` is asked for compressed ones.

    Raises
    ------
    NotWholeYet
        The element runs past the end of ``data``, or only zeros follow.
    Unusable
        The element does not hold what the header declares.
    """
    start = offset + (8 if form.syntax == ImplicitVRLittleEndian else 12)
    if only_zeros(data, start):
        raise NotWholeYet("pixels_empty")
    if form.syntax != ImplicitVRLittleEndian and data[offset + 4 : offset + 6] not in _PIXEL_VRS:
        raise Unusable("pixel_vr_unusable")
    if form.syntax.is_encapsulated:
        encoded = data[start : _end_of_items(data, start, form)]
        yield from _decoded(encoded, form, image, decode)
        return
    order: Literal["big", "little"] = "big" if form.dtype[0] == ">" else "little"
    length = int.from_bytes(data[start - 4 : start], order)
    if length == _UNDEFINED or length < form.frame_bytes * form.frames:
        raise Unusable(
            "pixels_too_short", n_bytes=length, n_frames=form.frames, frame_bytes=form.frame_bytes
        )
    if len(data) - start < length:
        raise NotWholeYet("pixels_cut", n_bytes=len(data) - start, n_declared=length)
    for n in range(form.frames):
        count, at = form.rows * form.columns, start + n * form.frame_bytes
        yield np.frombuffer(data, form.dtype, count, at).reshape(form.rows, form.columns)


def only_zeros(data: bytes, start: int) -> bool:
    """Say whether nothing but zeros, or nothing at all, lies from ``start`` on."""
    middle = (start + len(data)) // 2
    if data[start : start + 64].strip(b"\0") or data[middle : middle + 4096].strip(b"\0"):
        return False  # without looking at every byte: the corners of images are often zero
    return start >= len(data) or not np.frombuffer(data, np.uint8, offset=start).any()


def _end_of_items(data: bytes, start: int, form: PixelFormat) -> int:
    """Find the end of the encapsulated items; refuse what is cut off or larger than its image."""
    at, total = start, 0
    while data[at : at + 8] != _END_OF_ITEMS:
        if len(data) < at + 8 or only_zeros(data, at):
            raise NotWholeYet("compressed_cut")
        if data[at : at + 4] != _ITEM:
            raise Unusable("compressed_not_in_items")
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        at, total = at + 8 + length, total + length
        if total > form.frames * (2 * form.frame_bytes + ENCODED_SLACK_BYTES):
            raise Unusable("compressed_too_large")
    return at + 8


def _decoded(
    encoded: bytes, form: PixelFormat, image: Dataset, decode: Decode
) -> Iterator[NDArray[Any]]:
    """Check how many frames there are and how large each says it is, then have them decoded."""
    table, lengths = (
        value_of(image, keyword)
        for keyword in ("ExtendedOffsetTable", "ExtendedOffsetTableLengths")
    )
    offsets = (table, lengths) if table and lengths else None
    n_frames = 0
    for frame in generate_frames(encoded, number_of_frames=form.frames, extended_offsets=offsets):
        _check_codestream(frame, form)
        n_frames += 1
    if n_frames != form.frames:
        raise Unusable("compressed_frame_count_differs", n_frames=n_frames, n_declared=form.frames)
    yield from decode(encoded, form, offsets)


def decode_here(
    encoded: bytes, form: PixelFormat, offsets: Offsets | None
) -> Iterator[NDArray[Any]]:
    """Decode compressed frames (j, i) in this process, which a decoder's crash takes down."""
    options: dict[str, Any] = {"extended_offsets": offsets} if offsets else {}
    decoded = get_decoder(form.syntax).iter_array(
        encoded,
        raw=True,
        rows=form.rows,
        columns=form.columns,
        number_of_frames=form.frames,
        samples_per_pixel=1,
        photometric_interpretation="MONOCHROME2",
        bits_allocated=form.bits_allocated,
        bits_stored=form.bits_stored,
        pixel_representation=int(form.signed),
        pixel_keyword="PixelData",
        **options,
    )
    for values, _properties in decoded:
        yield values


def _check_codestream(frame: bytes, form: PixelFormat) -> None:
    """Refuse a codestream that declares another size than the header does, before decoding it."""
    if form.syntax == RLELossless:
        return
    if form.syntax in JPEG2000TransferSyntaxes:
        rows, columns = _jpeg_2000_size(frame)
    else:
        rows, columns = _jpeg_size(frame)
    if (rows, columns) != (form.rows, form.columns):
        raise Unusable(
            "compressed_size_differs",
            rows=rows,
            columns=columns,
            declared_rows=form.rows,
            declared_columns=form.columns,
        )


def _jpeg_2000_size(frame: bytes) -> tuple[int, int]:
    """Rows and columns. Source: ITU-T T.800 A.5.1."""
    found = _JPEG_2000_SIZE.search(frame)
    if not found:
        raise Unusable("not_jpeg_2000")
    right, bottom, left, top = (int.from_bytes(found[n], "big") for n in range(1, 5))
    return bottom - top, right - left


def _jpeg_size(frame: bytes) -> tuple[int, int]:
    """Rows and columns. Source: ITU-T T.81 B.2.2; T.87 C.2.2 for JPEG-LS."""
    at = 2
    while frame[:2] == b"\xff\xd8" and at + 9 <= len(frame) and frame[at] == 0xFF:  # noqa: PLR2004
        marker, length = frame[at + 1], int.from_bytes(frame[at + 2 : at + 4], "big")
        if marker in _JPEG_SIZE_MARKERS:
            size = frame[at + 5 : at + 9]
            return int.from_bytes(size[:2], "big"), int.from_bytes(size[2:], "big")
        at += 2 + length
    raise Unusable("not_jpeg")
