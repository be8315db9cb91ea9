"""The wanted attributes of a data set, found by walking over the others.

pydicom reads any data set, but takes half a millisecond to step over what is not wanted: over 300
slices, most of the time that reading them takes; and it stops where a delimiter is missing. This
walks every encoding, believes no more than it needs, and leaves the values to pydicom.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from struct import Struct
from typing import Final, NamedTuple, cast

from pydicom.charset import convert_encodings
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement, empty_value_for_VR
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

from agent.assemble.encoding import IMPLICIT_LITTLE, LONG_VRS, SHORT_VRS, Encoding

FIRST_PIXEL_TAG: Final = 0x7FE00008
"""From here on come pixels: Float, Double Float and plain Pixel Data. Source: PS3.6."""

UNDEFINED: Final = 0xFFFFFFFF

ITEM: Final = 0xFFFEE000
END_OF_ITEM: Final = 0xFFFEE00D
END_OF_SEQUENCE: Final = 0xFFFEE0DD

DEEPEST: Final = 32
"""Sequences nested deeper than this are no image's. Ours: Enhanced CT nests three deep."""

_CHARSET: Final = BaseTag(0x00080005)


class Malformed(ValueError):
    """The elements lead nowhere."""


class Walked(NamedTuple):
    """A data set up to its pixels, whose element begins at ``at`` if ``stopped_by`` is their tag.

    ``stopped_by`` is 0 where zeros take over, and None where the data end.
    """

    image: Dataset
    at: int
    stopped_by: int | None


class _ValuePlace(NamedTuple):
    """Where one element's value lies."""

    tag: BaseTag
    vr: str
    at: int
    end: int


_UNPACK: Final = {
    little: tuple(Struct(order + form).unpack_from for form in ("HH", "H", "L"))
    for little, order in ((True, "<"), (False, ">"))
}
"""By byte order: how a tag is read, and lengths of two and of four bytes."""


def walk(
    data: bytes,
    start: int,
    wanted: Mapping[int, BaseTag],
    encoding: Encoding,
    until: int = FIRST_PIXEL_TAG,
) -> Walked:
    """Take the ``wanted`` attributes before ``until`` out of a data set.

    Whoever asks for one by the same object that is wanted here finds it without a comparison.

    Raises
    ------
    Malformed
        Sequences are nested without end.

    Source: PS3.5 sections 7.1.2, 7.1.3 and 7.5.
    """
    elements: dict[BaseTag, RawDataElement] = {}
    tag_of, short_of, long_of = _UNPACK[encoding.little]
    at, end, implicit = start, len(data), encoding.implicit
    while at + 8 <= end:
        group, number = tag_of(data, at)
        tag = group << 16 | number
        if tag == 0 or tag >= until:
            if tag == 0:
                _drop_half_written(elements)
            return Walked(_dataset(elements, encoding), at, tag)
        vr = b"" if implicit else data[at + 4 : at + 6]
        if vr in SHORT_VRS:
            (length,), value_at = short_of(data, at + 6), at + 8
        else:
            vr, value_at = (vr, at + 12) if _has_long_length(vr) else (b"", at + 8)
            if value_at > end:
                break
            (length,) = long_of(data, value_at - 4)
        value_end = at = value_at + length
        if length == UNDEFINED:
            inner = IMPLICIT_LITTLE if vr == b"UN" else encoding
            value_end, at = _ends_of_sequence(data, value_at, inner)
        if value_end > end:
            break  # and its value is not whole
        if (known := wanted.get(tag)) is not None:
            place = _ValuePlace(known, vr.decode(), value_at, value_end)
            elements[known] = _element(data, place, encoding)
    return Walked(_dataset(elements, encoding), end, None)


def _drop_half_written(elements: dict[BaseTag, RawDataElement]) -> None:
    """Take out the last element if zeros took over within its value: half a UID is another UID."""
    if elements:
        tag, last = next(reversed(elements.items()))
        if (last.value or b"").endswith(b"\0\0"):
            del elements[tag]


def _has_long_length(vr: bytes) -> bool:
    """Say so of a value representation, of one that is not known yet too; False if it is none."""
    return vr in LONG_VRS or (vr.isalpha() and vr.isupper())


def _ends_of_sequence(data: bytes, at: int, encoding: Encoding, depth: int = 0) -> tuple[int, int]:
    """Find where the items of a sequence of undefined length end, and the next element begins.

    A sequence whose delimiter was left out ends where no further item begins.
    """
    if depth > DEEPEST:
        raise Malformed
    tag_of, _, long_of = _UNPACK[encoding.little]
    while at + 8 <= len(data):
        group, number = tag_of(data, at)
        (length,) = long_of(data, at + 4)
        delimiter = group << 16 | number
        if delimiter == END_OF_SEQUENCE:
            return at, at + 8
        if delimiter != ITEM:
            return at, at
        at += 8
        at = at + length if length != UNDEFINED else _end_of_item(data, at, encoding, depth)
    return len(data), len(data)


def _end_of_item(data: bytes, at: int, encoding: Encoding, depth: int) -> int:
    """Step over the elements of an item of undefined length; its delimiter may be left out."""
    tag_of, short_of, long_of = _UNPACK[encoding.little]
    while at + 8 <= len(data):
        group, number = tag_of(data, at)
        tag = group << 16 | number
        if tag == END_OF_ITEM:
            return at + 8
        if tag in (ITEM, END_OF_SEQUENCE):
            return at
        if tag == 0:  # not written
            break
        vr = data[at + 4 : at + 6]
        if not encoding.implicit and vr in SHORT_VRS:
            at += 8 + short_of(data, at + 6)[0]
            continue
        is_long = not encoding.implicit and _has_long_length(vr)
        at += 8 if is_long else 4
        if at + 4 > len(data):
            break
        (length,) = long_of(data, at)
        at += 4
        if length != UNDEFINED:
            at += length
        else:
            inner = IMPLICIT_LITTLE if vr == b"UN" and is_long else encoding
            _, at = _ends_of_sequence(data, at, inner, depth + 1)
    return len(data)


def _element(data: bytes, place: _ValuePlace, encoding: Encoding) -> RawDataElement:
    tag, vr, at, end = place
    if vr in ("", "UN") and (vr == "" or _vr_of(tag) != "SQ"):
        vr = _vr_of(tag)
    value = data[at:end] if end > at else cast("bytes | None", empty_value_for_VR(vr, raw=True))
    return RawDataElement(tag, vr, end - at, value, at, *encoding)


@lru_cache(maxsize=256)
def _vr_of(tag: int) -> str:
    """Value representation that the dictionary gives a wanted tag."""
    return dictionary_VR(tag)


def _dataset(elements: dict[BaseTag, RawDataElement], encoding: Encoding) -> Dataset:
    image = Dataset({**elements})
    charset = elements.get(_CHARSET)
    names = [*_encodings(charset.value or b"" if charset else b"")]
    image.set_original_encoding(*encoding, names)
    return image


@lru_cache(maxsize=64)
def _encodings(charset: bytes) -> tuple[str, ...]:
    names = charset.decode("ascii", "replace").split("\\")
    return tuple(convert_encodings([name.strip(" \0") for name in names]))
