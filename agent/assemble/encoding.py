"""How a file's bytes are to be read, found from the bytes: what a file says of itself may be wrong.

Archives and network stores drop the preamble and the file meta information, and transcode the data
set without saying so. The first elements of a data set tell how it was written.
"""

from __future__ import annotations

from struct import unpack_from
from typing import Final, NamedTuple

from pydicom.uid import (
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

MAGIC: Final = b"DICM"
PREAMBLE_BYTES: Final = 128

META_GROUP: Final = 0x0002
FIRST_GROUPS: Final = frozenset({META_GROUP, 0x0004, 0x0008})
"""A data set begins with one of these groups: file meta information, a directory, or an image."""

LONGEST_FIRST_BYTES: Final = 1024
"""No first element of a data set is longer than this. Ours: they hold UIDs and code strings."""

LONG_VRS: Final = frozenset(
    {b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"}
)
"""Value representations whose length has four bytes. Source: PS3.5 section 7.1.2."""

SHORT_VRS: Final = frozenset(
    {b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"LO", b"LT", b"PN"}
    | {b"SH", b"SL", b"SS", b"ST", b"TM", b"UI", b"UL", b"US"}
)
"""The others, whose length has two."""


class Encoding(NamedTuple):
    """How the elements of a data set are written."""

    implicit: bool
    little: bool

    @property
    def order(self) -> str:
        """Byte order, as ``struct`` names it."""
        return "<" if self.little else ">"

    @property
    def syntax(self) -> UID:
        """Transfer syntax of a data set with uncompressed pixels."""
        if self.implicit:
            return ImplicitVRLittleEndian
        return ExplicitVRLittleEndian if self.little else ExplicitVRBigEndian


EXPLICIT_LITTLE: Final = Encoding(implicit=False, little=True)
IMPLICIT_LITTLE: Final = Encoding(implicit=True, little=True)
EXPLICIT_BIG: Final = Encoding(implicit=False, little=False)
IMPLICIT_BIG: Final = Encoding(implicit=True, little=False)
"""A maker's own (GE's 1.2.840.113619.5.2), and what an image transcoded without care becomes."""


class Beginning(NamedTuple):
    """Where elements begin: those of the meta information, or of the data set where none is."""

    at: int
    encoding: Encoding
    has_meta: bool


def beginning_of(data: bytes) -> Beginning | None:
    """Find where the elements of a file begin, None where it is no DICOM file.

    With preamble and magic, with the magic alone, with the preamble alone, or without either.
    """
    if data[PREAMBLE_BYTES : PREAMBLE_BYTES + 4] == MAGIC:
        at = PREAMBLE_BYTES + 4
    elif data[:4] == MAGIC:
        at = 4
    else:
        plain = (at for at in (0, PREAMBLE_BYTES) if encoding_at(data, at))
        first = next(plain, None)
        if first is None:
            return None
        at = first
    encoding = encoding_at(data, at) or EXPLICIT_LITTLE
    (group,) = unpack_from(encoding.order + "H", data.ljust(at + 2, b"\0"), at)
    return Beginning(at, encoding, has_meta=group == META_GROUP)


def encoding_at(data: bytes, at: int) -> Encoding | None:
    """Say how the element at ``at`` is written if it may be the first of a data set, else None."""
    head = data[at : at + 8]
    if len(head) < 8:  # noqa: PLR2004 - tag and length
        return None
    for little in (True, False):
        order = "<" if little else ">"
        group, _number = unpack_from(order + "HH", head)
        if group not in FIRST_GROUPS:
            continue
        if head[4:6] in SHORT_VRS | LONG_VRS:
            return Encoding(implicit=False, little=little)
        (length,) = unpack_from(order + "L", head, 4)
        if length <= LONGEST_FIRST_BYTES:
            return Encoding(implicit=True, little=little)
    return None
