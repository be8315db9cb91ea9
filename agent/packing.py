"""A slice's HU as they are kept and sent: what the page unpacks is stored as it is.

Each value is told by its difference from the one before it, differences of either sign as one
number (0, -1, 1, -2 …), all low bytes before all high ones, in zlib's format. So a slice of 512²
takes some 0.15 MB, and 3 ms; JPEG-LS takes a quarter less room, but no browser reads it.
"""

from __future__ import annotations

import zlib
from typing import Final

import jpeg_ls
import numpy as np
from numpy.typing import NDArray

JPEG_LS: Final = b"\xff\xd8"
"""Slices that were kept before any was packed begin so."""

FORMER_ABOVE_HU: Final = -32768
"""They hold HU less this: JPEG-LS knows no negative values."""


def packed(hu: NDArray[np.int16]) -> bytes:
    """Pack the HU (row, column) of a slice."""
    rise = np.diff(hu.ravel(), prepend=np.int16(0))  # wraps, and back again
    folded = ((rise << 1) ^ (rise >> 15)).astype("<u2")
    planes = folded.view(np.uint8).reshape(-1, 2).T
    deflate = zlib.compressobj(1, zlib.DEFLATED, strategy=zlib.Z_RLE)
    return deflate.compress(planes.tobytes()) + deflate.flush()


def packed_anew(kept: bytes) -> bytes:
    """Return a slice as ``packed`` gives it, also one that was kept as JPEG-LS."""
    if not kept.startswith(JPEG_LS):
        return kept
    stored = np.frombuffer(jpeg_ls.decode_buffer(kept)[0], "<u2")
    return packed((stored.astype(np.int32) + FORMER_ABOVE_HU).astype(np.int16))
