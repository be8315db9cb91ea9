"""Encapsulated pixels: the frames in them, by what they are rather than by what is said of them.

Archives transcode pixels and leave the header as it was, and writers forget delimiters. The first
bytes of a frame tell how it was compressed, and its last ones whether it is whole.
"""

from __future__ import annotations

from struct import unpack_from
from typing import Final, NamedTuple, TypeAlias

from pydicom.encaps import generate_frames
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from agent.assemble.header import Unusable
from agent.errors import NotWholeYet

RAW: Final = UID("1.2.840.10008.1.2.1.98")
"""Encapsulated Uncompressed Explicit VR Little Endian: each fragment is a frame as it is."""

PLUGINS: Final = {
    RLELossless: "pydicom",
    JPEGBaseline8Bit: "pylibjpeg",
    JPEGExtended12Bit: "pylibjpeg",
    JPEGLossless: "pylibjpeg",
    JPEGLosslessSV1: "pylibjpeg",
    JPEGLSLossless: "pyjpegls",
    JPEGLSNearLossless: "pyjpegls",
    JPEG2000: "pylibjpeg",
    JPEG2000Lossless: "pylibjpeg",
    HTJ2K: "pylibjpeg",
    HTJ2KLossless: "pylibjpeg",
    HTJ2KLosslessRPCL: "pylibjpeg",
}
"""Transfer syntax of compressed pixels → which of pydicom's plugins decodes it."""

_JPEG_LS: Final = (JPEGLSLossless, JPEGLSNearLossless)
_FAMILIES: Final = (
    (JPEGLossless, JPEGLosslessSV1),
    _JPEG_LS,
    (JPEG2000, JPEG2000Lossless),
    (HTJ2K, HTJ2KLossless, HTJ2KLosslessRPCL),
)
"""Syntaxes that a codestream does not tell apart, and that are decoded alike."""

_DISCRETE_COSINE: Final = frozenset({JPEGBaseline8Bit, JPEGExtended12Bit})
"""Whatever is compressed so has losses. Source: PS3.5 sections 8.2.1 and A.4.1."""

_WAVELETS: Final = frozenset({JPEG2000, JPEG2000Lossless, HTJ2K, HTJ2KLossless, HTJ2KLosslessRPCL})

Offsets: TypeAlias = tuple[bytes, bytes]
"""Extended Offset Table, and its lengths."""

_ITEM: Final = b"\xfe\xff\x00\xe0"
_END_OF_ITEMS: Final = b"\xfe\xff\xdd\xe0"
_UNDEFINED: Final = 0xFFFFFFFF

_START_OF_IMAGE: Final = b"\xff\xd8"
_END_OF_IMAGE: Final = b"\xff\xd9"
_JPEG_2000: Final = b"\xff\x4f\xff\x51"
_HIGH_THROUGHPUT: Final = b"\xff\x50"
"""Marker of extended capabilities, which follows the size. Source: ITU-T T.814 A.2."""

_BY_FRAME_MARKER: Final = {
    0xC0: JPEGBaseline8Bit,
    0xC1: JPEGExtended12Bit,
    0xC2: JPEGExtended12Bit,
    0xC3: JPEGLossless,
    0xF7: JPEGLSLossless,
}
"""Source: ITU-T T.81 table B.1; T.87 C.1.1. Progressive JPEG is decoded as the extended one is."""

_CODING_STYLE: Final = 0x52
_START_OF_SCAN: Final = 0xDA

_TRANSFORM: Final = 9
_IRREVERSIBLE: Final = 0
"""Where the coding style of JPEG 2000 names its transform, and which one has losses. Source: ITU-T
T.800 tables A.13, A.15 and A.20."""

_NEAR: Final = -3
"""Where a scan of JPEG-LS says how far values may be off. Source: ITU-T T.87 C.2.3."""

_FRAME_MARKERS: Final = frozenset({*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC})
_LONGEST_BOXES_BYTES: Final = 1024
"""A codestream begins within the boxes of a JP2 file that somebody put around it. Ours."""

_RLE_HEADER_BYTES: Final = 64
_MOST_RLE_SEGMENTS: Final = 15
"""Source: PS3.5 section G.5."""


class Room(NamedTuple):
    """How many frames are declared, and how many bytes all of them may have at most."""

    n_frames: int
    most_bytes: int


class Frames(NamedTuple):
    """Compressed frames, and how they are compressed."""

    frames: tuple[bytes, ...]
    syntax: UID

    @property
    def lossy(self) -> bool:
        """Whether the first frame was compressed with losses, whatever the header says.

        JPEG 2000 of which layers were left out does not tell.
        """
        frame = self.frames[0]
        if self.syntax in _JPEG_LS:
            return any(_segment(frame, len(_START_OF_IMAGE), _START_OF_SCAN)[_NEAR:-2])
        if self.syntax in _WAVELETS:
            coding = _segment(frame, frame.index(_JPEG_2000) + 2, _CODING_STYLE)
            return coding[_TRANSFORM : _TRANSFORM + 1] == bytes([_IRREVERSIBLE])
        return self.syntax in _DISCRETE_COSINE


def frames_in(
    data: bytes, start: int, room: Room, declared: UID, offsets: Offsets | None
) -> Frames:
    """Take the frames out of encapsulated pixels that begin at ``start``.

    Raises
    ------
    NotWholeYet
        They end too early.
    Unusable
        There are not as many as declared, or they are compressed in a way that is not read.
    """
    fragments, end, is_closed = _fragments(data, start, room.most_bytes)
    frames = _grouped(fragments, data[start:end], room.n_frames, offsets)
    if len(frames) != room.n_frames:
        if not is_closed:
            raise NotWholeYet("compressed_cut")
        raise Unusable(
            "compressed_frame_count_differs", n_frames=len(frames), n_declared=room.n_frames
        )
    if not is_closed and not frames[-1][-8:].strip(b"\0"):
        raise NotWholeYet("compressed_cut")
    syntax = syntax_of(frames[0], declared)
    if not is_closed and syntax in PLUGINS and not _is_whole(frames[-1], syntax):
        raise NotWholeYet("compressed_cut")
    if syntax in _JPEG_LS and any(_END_OF_IMAGE not in frame for frame in frames):
        raise Unusable("pixels_undecodable")  # its decoder would search for the end for seconds
    return Frames(frames, syntax)


def _fragments(data: bytes, start: int, most_bytes: int) -> tuple[list[bytes], int, bool]:
    """Find the fragments, where they end, and whether anything says that they do."""
    at = start
    fragments: list[bytes] = []
    while len(data) >= at + 8:
        tag, length = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        if tag != _ITEM:
            is_closed = not _ITEM.startswith(data[at : at + 8].rstrip(b"\0"))
            if not fragments and is_closed:
                raise Unusable("compressed_not_in_items")
            return fragments, at, is_closed
        if length == _UNDEFINED:
            raise Unusable("compressed_not_in_items")
        if at + length - start > most_bytes:
            raise Unusable("compressed_too_large")
        if len(data) < at + 8 + length:
            raise NotWholeYet("compressed_cut")
        fragments.append(data[at + 8 : at + 8 + length])
        at += 8 + length
    return fragments, at, False


def _grouped(
    fragments: list[bytes], encoded: bytes, n_frames: int, offsets: Offsets | None
) -> tuple[bytes, ...]:
    """Put fragments together to frames; the first one is the offset table, if it is no frame."""
    of_frames = fragments if fragments and _is_codestream(fragments[0]) else fragments[1:]
    if n_frames == 1 and of_frames:
        return (b"".join(of_frames),)
    if len(of_frames) <= n_frames:
        return tuple(of_frames)
    ended = encoded + _END_OF_ITEMS + b"\0\0\0\0"
    return tuple(generate_frames(ended, number_of_frames=n_frames, extended_offsets=offsets))


def _is_codestream(fragment: bytes) -> bool:
    return fragment.startswith((_START_OF_IMAGE, _JPEG_2000))


def syntax_of(frame: bytes, declared: UID) -> UID:
    """Say how a frame is compressed; Unusable where that is not read."""
    if declared == RAW:
        return ExplicitVRLittleEndian
    shown = _syntax_shown(frame)
    if shown is None and declared in PLUGINS:
        raise Unusable("pixels_undecodable")
    if shown is None:
        name = declared.name if declared.name != declared else "unknown"
        raise Unusable("transfer_syntax_unread", syntax=name)
    family = next((each for each in _FAMILIES if shown in each), (shown,))
    return declared if declared in family else shown


def _syntax_shown(frame: bytes) -> UID | None:
    if frame.startswith(_START_OF_IMAGE):
        return _BY_FRAME_MARKER.get(_jpeg_frame(frame)[0])
    at = frame.find(_JPEG_2000, 0, _LONGEST_BOXES_BYTES)
    if at >= 0:
        after = at + 4 + int.from_bytes(frame[at + 4 : at + 6], "big")
        return HTJ2K if frame[after : after + 2] == _HIGH_THROUGHPUT else JPEG2000
    return RLELossless if _is_rle(frame) else None


def size_of(frame: bytes, syntax: UID) -> tuple[int, int] | None:
    """Rows and columns that a frame declares, None where it declares none.

    Source: ITU-T T.81 B.2.2; T.87 C.2.2 for JPEG-LS; T.800 A.5.1 for JPEG 2000.
    """
    if syntax in (RLELossless, ExplicitVRLittleEndian):
        return None
    if frame.startswith(_START_OF_IMAGE):
        return _jpeg_frame(frame)[1]
    at = frame.index(_JPEG_2000) + 8
    right, bottom, left, top = (
        int.from_bytes(frame[at + 4 * n : at + 4 * n + 4], "big") for n in range(4)
    )
    return bottom - top, right - left


def _jpeg_frame(frame: bytes) -> tuple[int, tuple[int, int]]:
    """Marker that begins the frame, and its rows and columns."""
    at = 2
    while at + 9 <= len(frame) and frame[at] == 0xFF:  # noqa: PLR2004 - begins a marker
        marker, length = frame[at + 1], int.from_bytes(frame[at + 2 : at + 4], "big")
        if marker in _FRAME_MARKERS:
            size = frame[at + 5 : at + 9]
            return marker, (int.from_bytes(size[:2], "big"), int.from_bytes(size[2:], "big"))
        at += 2 + length
    raise Unusable("not_jpeg")


def _segment(frame: bytes, at: int, wanted: int) -> bytes:
    """Return what the first marker segment of a kind holds from ``at`` on, or nothing."""
    while at + 4 <= len(frame) and frame[at] == 0xFF:  # noqa: PLR2004 - begins a marker
        length = int.from_bytes(frame[at + 2 : at + 4], "big")
        if frame[at + 1] == wanted:
            return frame[at + 4 : at + 2 + length]
        at += 2 + length
    return b""


def _is_rle(frame: bytes) -> bool:
    """Say whether a frame begins with an RLE header. Source: PS3.5 section G.5."""
    if len(frame) < _RLE_HEADER_BYTES:
        return False
    n_segments, *at = unpack_from("<16L", frame)
    used = at[:n_segments]
    return (
        0 < n_segments <= _MOST_RLE_SEGMENTS
        and used[0] == _RLE_HEADER_BYTES
        and used == sorted(used)
        and not any(at[n_segments:])
        and used[-1] < len(frame)
    )


def _is_whole(frame: bytes, syntax: UID) -> bool:
    """Say whether a frame that nothing closes has been written to its end; RLE does not tell."""
    return syntax == RLELossless or _END_OF_IMAGE in frame[-4:]  # a byte of padding may be any
