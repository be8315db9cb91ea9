"""Stored pixel bytes to HU, one frame at a time, without a float volume.

Uncompressed frames are views on the file's own bytes until the rescale. Compressed ones go to
pydicom's decoders, after the size that the codestream itself declares has been compared with the
header: a decoder allocates what the codestream says. The agent has them decoded in a process of
their own (``decoder``): a library that crashes on one takes nothing else down.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID, ExplicitVRBigEndian

from agent.assemble.codestreams import PLUGINS, Room, size_of
from agent.assemble.header import Unusable, value_of, whole
from agent.assemble.limits import ReadLimits
from agent.errors import NotWholeYet

ENCODED_SLACK_BYTES: Final = 64 * 1024
"""A compressed frame larger than twice its pixels and this is not what it says. Ours."""

UNDEFINED: Final = 0xFFFFFFFF


class PixelValue(NamedTuple):
    """Where the value of the Pixel Data element lies; ``length`` may be ``UNDEFINED``."""

    at: int
    length: int
    is_encapsulated: bool


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
    def room(self) -> Room:
        """What compressed frames may take."""
        most_bytes = self.frames * (2 * self.frame_bytes + ENCODED_SLACK_BYTES)
        return Room(self.frames, most_bytes)

    @property
    def dtype(self) -> str:
        """NumPy's name for a stored value."""
        order = ">" if self.syntax == ExplicitVRBigEndian else "<"
        return f"{order}{'i' if self.signed else 'u'}{self.bits_allocated // 8}"


def format_of(
    image: Dataset, syntax: UID, limits: ReadLimits, *, is_encapsulated: bool
) -> PixelFormat:
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
    low_bit = 0 if is_encapsulated else _low_bit(image, allocated, stored)
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


FURTHER_IMAGE: Final = 2
"""Pixels that take so many times the room of what the header declares are images that it does not
tell of. Less is padding. Ours."""

Decode: TypeAlias = Callable[[bytes, PixelFormat], Iterator[NDArray[Any]]]
"""Encapsulated frames, one fragment each, and what they are to hold → stored values (j, i)."""


def plain_frames(data: bytes, value: PixelValue, form: PixelFormat) -> Iterator[NDArray[Any]]:
    """Yield the stored values (j, i) of each frame of uncompressed pixels.

    Raises
    ------
    NotWholeYet
        The element runs past the end of ``data``, or only zeros follow.
    Unusable
        The element does not hold what the header declares.
    """
    needed, found = form.frame_bytes * form.frames, len(data) - value.at
    if min(value.length, found) < needed and only_zeros(data, value.at):
        raise NotWholeYet("pixels_empty")
    if value.length < needed:
        raise Unusable(
            "pixels_too_short",
            n_bytes=value.length,
            n_frames=form.frames,
            frame_bytes=form.frame_bytes,
        )
    if min(value.length, found) >= FURTHER_IMAGE * needed:
        raise Unusable(
            "pixels_too_long",
            n_bytes=min(value.length, found),
            n_frames=form.frames,
            frame_bytes=form.frame_bytes,
        )
    if found < needed:
        raise NotWholeYet("pixels_cut", n_bytes=found, n_declared=needed)
    for n in range(form.frames):
        count, at = form.rows * form.columns, value.at + n * form.frame_bytes
        yield np.frombuffer(data, form.dtype, count, at).reshape(form.rows, form.columns)


def decoded_frames(
    frames: Sequence[bytes], form: PixelFormat, decode: Decode
) -> Iterator[NDArray[Any]]:
    """Check how large compressed frames say that they are, then have them decoded.

    Raises
    ------
    Unusable
        They are of another size than declared, or cannot be decoded.
    """
    if form.syntax not in PLUGINS:  # each fragment is a frame as it is
        data = b"".join(frames)
        yield from plain_frames(data, PixelValue(0, len(data), is_encapsulated=False), form)
        return
    for frame in frames:
        _check_size(frame, form)
    yield from decode(encapsulate([*frames], has_bot=False), form)


def only_zeros(data: bytes, start: int) -> bool:
    """Say whether nothing but zeros, or nothing at all, lies from ``start`` on."""
    middle = (start + len(data)) // 2
    if data[start : start + 64].strip(b"\0") or data[middle : middle + 4096].strip(b"\0"):
        return False  # without looking at every byte: the corners of images are often zero
    return start >= len(data) or not np.frombuffer(data, np.uint8, offset=start).any()


def decode_here(encoded: bytes, form: PixelFormat) -> Iterator[NDArray[Any]]:
    """Decode compressed frames (j, i) in this process, which a decoder's crash takes down."""
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
        decoding_plugin=PLUGINS[form.syntax],
    )
    for values, _properties in decoded:
        yield values


def _check_size(frame: bytes, form: PixelFormat) -> None:
    """Refuse a codestream that declares another size than the header does, before decoding it."""
    size = size_of(frame, form.syntax)
    if size is not None and size != (form.rows, form.columns):
        raise Unusable(
            "compressed_size_differs",
            rows=size[0],
            columns=size[1],
            declared_rows=form.rows,
            declared_columns=form.columns,
        )
