"""The wanted attributes of an explicit little-endian data set, found by walking over the others.

pydicom reads any data set, but takes half a millisecond to step over what is not wanted: over 300
slices, most of the time that reading them takes. This walks the one encoding in which nearly all
files come, believes nothing it does not know, and leaves the values to pydicom all the same.
"""

from __future__ import annotations

from functools import lru_cache
from struct import Struct
from typing import Final, NamedTuple, cast

from pydicom.charset import convert_encodings
from pydicom.dataelem import RawDataElement, empty_value_for_VR
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

FIRST_PIXEL_TAG: Final = 0x7FE00008
"""From here on come pixels: Float, Double Float and plain Pixel Data. Source: PS3.6."""

UNDEFINED: Final = 0xFFFFFFFF

_LONG_VRS: Final = frozenset(
    {b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"}
)
_SHORT_VRS: Final = frozenset(
    {b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"LO", b"LT", b"PN"}
    | {b"SH", b"SL", b"SS", b"ST", b"TM", b"UI", b"UL", b"US"}
)
_ELEMENT: Final = Struct("<HH2sH").unpack_from
_LENGTH: Final = Struct("<L").unpack_from
_ITEM: Final = b"\xfe\xff\x00\xe0"
_END_OF_SEQUENCE: Final = b"\xfe\xff\xdd\xe0"
_CHARSET: Final = BaseTag(0x00080005)


class Walked(NamedTuple):
    """A data set up to its pixels, which begin at ``at`` if ``stopped_by`` is their tag.

    ``stopped_by`` is 0 where zeros take over, and None where the data end.
    """

    image: Dataset
    at: int
    stopped_by: int | None


def walk(
    data: bytes, start: int, wanted: frozenset[int], until: int = FIRST_PIXEL_TAG
) -> Walked | None:
    """Take the ``wanted`` attributes before ``until`` out of an explicit little-endian data set.

    Returns
    -------
    None for anything out of the ordinary: pydicom reads that.

    Source: PS3.5 sections 7.1.2 and 7.5.
    """
    elements: dict[BaseTag, RawDataElement] = {}
    at, end = start, len(data)
    while at + 12 <= end:
        group, number, vr, length = _ELEMENT(data, at)
        tag = group << 16 | number
        if tag == 0 or tag >= until:
            return Walked(_dataset(elements), at, tag)
        value_at = at + 8
        if vr in _LONG_VRS:
            (length,) = _LENGTH(data, at + 8)
            value_at = at + 12
        elif vr not in _SHORT_VRS:
            return None
        if length == UNDEFINED:
            after = None if tag in wanted or vr != b"SQ" else _after_sequence(data, value_at)
            if after is None:
                return None
            at = after
            continue
        if tag in wanted:
            element = _element(BaseTag(tag), vr.decode(), data, value_at, length)
            elements[element.tag] = element
        at = value_at + length
    return Walked(_dataset(elements), end, None)


def _after_sequence(data: bytes, at: int) -> int | None:
    """Step over a sequence of undefined length whose items have a length; None for any other."""
    while at + 8 <= len(data):
        delimiter = data[at : at + 4]
        (length,) = _LENGTH(data, at + 4)
        if delimiter == _END_OF_SEQUENCE:
            return at + 8
        if delimiter != _ITEM or length == UNDEFINED:
            return None
        at += 8 + length
    return None


def _element(tag: BaseTag, vr: str, data: bytes, at: int, length: int) -> RawDataElement:
    empty = cast("bytes | None", empty_value_for_VR(vr, raw=True))
    value = data[at : at + length] if length else empty
    return RawDataElement(tag, vr, length, value, at, is_implicit_VR=False, is_little_endian=True)


def _dataset(elements: dict[BaseTag, RawDataElement]) -> Dataset:
    image = Dataset({**elements})
    charset = elements.get(_CHARSET)
    image.set_original_encoding(
        False, True, [*_encodings(charset.value or b"" if charset else b"")]
    )
    return image


@lru_cache(maxsize=64)
def _encodings(charset: bytes) -> tuple[str, ...]:
    names = charset.decode("ascii", "replace").split("\\")
    return tuple(convert_encodings([name.strip(" \0") for name in names]))
