"""Stored values to HU, and what a cut-off image looks like."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from agent.assemble.header import Unusable, number, text
from agent.assemble.pixels import PixelFormat
from agent.errors import NotWholeYet

SLOPE: Final = 1e-3, 100.0
"""Between these a rescale slope is believed. Ours: CT uses 1, rarely 0.1 … 10."""

INTERCEPT_HU: Final = 65536.0
"""Above this an intercept is absurd [HU]: no 16-bit value could come back to HU. Ours."""

AIR_HU: Final = -900.0
"""Where a stored 0 means less than this, it is air or padding, so a row of it may be real [HU]."""

PADDING_FRACTION: Final = 1 / 8
"""A settled file may end in this share of air rows; with more it was cut off. Ours: what lies
in the lowest eighth of a head image is table and air."""


OF_HU: Final = frozenset({"", "HU", "US"})
"""Rescale Types of HU: said, taken for granted, or "unspecified", which the values must then show.
Source: PS3.3 C.11.1.1.2."""

OTHER_TYPES: Final = frozenset({"OD", "MGML", "Z_EFF", "ED", "EDW", "HU_MOD", "PCT"})
"""Types of other quantities than HU, by name; any other text is not repeated."""


@dataclass(frozen=True, slots=True)
class Rescale:
    """Stored value to HU. Checked."""

    slope: float
    intercept: float


def rescale_of(frame: Dataset) -> Rescale:
    """Read and check the rescale, which is mandatory for CT.

    Raises
    ------
    Unusable
        Missing or absurd, or what comes of it is no HU.
    """
    slope, intercept = number(frame, "RescaleSlope"), number(frame, "RescaleIntercept")
    if slope is None or intercept is None:
        raise Unusable("rescale_missing")
    rescale_type = text(frame, "RescaleType").upper()
    if rescale_type not in OF_HU:
        named = rescale_type if rescale_type in OTHER_TYPES else "another"
        raise Unusable("rescale_of_other", rescale_type=named)
    if not SLOPE[0] <= slope <= SLOPE[1] or abs(intercept) > INTERCEPT_HU:
        raise Unusable("rescale_absurd", slope=slope, intercept_hu=intercept)
    return Rescale(slope, intercept)


def hu_from_stored(stored: NDArray[Any], form: PixelFormat, rescale: Rescale) -> NDArray[np.int16]:
    """Map stored values (j, i) to HU, rounded and clipped to int16."""
    values: NDArray[Any] = np.asarray(stored, dtype=stored.dtype.newbyteorder("="))
    if form.low_bit:
        values = values >> form.low_bit
    low, high = int(values.min()), int(values.max())
    spare_bits = form.bits_allocated - form.bits_stored
    most = 1 << form.bits_stored - form.signed
    if low < -most or high >= most:
        values = (values << spare_bits) >> spare_bits
        low, high = int(values.min()), int(values.max())
    shift = int(rescale.intercept)
    if rescale.slope != 1 or rescale.intercept != shift:
        scaled = np.rint(values.astype(np.float32) * rescale.slope + rescale.intercept)
        return clipped(scaled)
    if low + shift < -32768 or high + shift > 32767:  # noqa: PLR2004
        return clipped(values.astype(np.int32) + shift)
    if form.bits_allocated == 8:  # noqa: PLR2004
        values = values.astype(np.int16)
    # The sum fits int16, so arithmetic modulo 65536 is exact whether or not values are signed.
    modulo: NDArray[np.int16] = values.view(np.int16)
    return modulo if shift == 0 else modulo + np.uint16(shift & 0xFFFF).view(np.int16)


def clipped(hu: NDArray[Any]) -> NDArray[np.int16]:
    """Clip to what int16 holds."""
    bounded: NDArray[np.int16] = np.clip(hu, -32768, 32767).astype(np.int16)
    return bounded


def check_tail(stored: NDArray[Any], form: PixelFormat, rescale: Rescale, *, settled: bool) -> None:
    """Refuse an uncompressed frame whose last rows were allocated and not yet written.

    A preallocated file has its header and its full size long before its pixels: they are zeros from
    where the writer stands to the end. Rows of zeros at the bottom can be real only where a
    stored 0 means air or padding, and an image padded by the scanner is padded at the top as
    well. So a tail of zero rows is taken for unwritten unless as many rows at the top are zero too.
    Where 0 means air, a ``settled`` file, which has not changed for long, may end in a small tail.

    Raises
    ------
    NotWholeYet
        The tail looks unwritten.
    """
    if stored[-1].any():
        return
    filled = np.flatnonzero((stored != 0).any(axis=1))
    if not filled.size:
        raise NotWholeYet("pixels_all_zero")
    top, tail = int(filled[0]), form.rows - 1 - int(filled[-1])
    if rescale.intercept <= AIR_HU:
        if top and abs(top - tail) <= 1:
            return
        if settled and tail < PADDING_FRACTION * form.rows:
            return
    raise NotWholeYet("rows_not_written", n_rows=tail)
