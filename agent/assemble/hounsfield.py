"""Stored values to HU, and what a cut-off image looks like."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from agent.assemble.header import Unusable, number, text
from agent.assemble.pixels import PixelFormat
from agent.assemble.unwritten import is_unwritten
from agent.errors import NotWholeYet

SLOPE: Final = 1e-3, 100.0
"""Between these a rescale slope is believed. Ours: CT uses 1, rarely 0.1 … 10."""

INTERCEPT_HU: Final = 65536.0
"""Above this an intercept is absurd [HU]: no 16-bit value could come back to HU. Ours."""

AIR_HU: Final = -900.0
"""Where a stored 0 means less than this, it is air or padding, so a row of it may be real [HU]."""

BRIGHTEST_HU: Final = 3071
"""No value of 12 bits is denser [HU]. 4095 with an intercept of -1024."""

PADDING_HU: Final = -1024
"""What padding is read as, where it would be denser than anything [HU]: air."""

TISSUE_HU: Final = -300
"""Above this a pixel is tissue [HU]. Half way between air and scalp fat, rounded up."""


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


def padded_with_air(
    hu: NDArray[np.int16],
    stored: NDArray[Any],
    form: PixelFormat,
    rescale: Rescale,
    padding: int | None,
) -> NDArray[np.int16]:
    """Take padding that reads as denser than any tissue for air: it lies outside the image.

    -2000 of 16 bits, said to be unsigned, is 63536. Padding that reads darker is left as it is.
    """
    if padding is None:
        return hu
    value = padding if form.signed else padding % (1 << form.bits_allocated)
    if value * rescale.slope + rescale.intercept <= BRIGHTEST_HU:
        return hu
    return np.where(stored == value, np.int16(PADDING_HU), hu)


def clipped(hu: NDArray[Any]) -> NDArray[np.int16]:
    """Clip to what int16 holds."""
    bounded: NDArray[np.int16] = np.clip(hu, -32768, 32767).astype(np.int16)
    return bounded


def check_written(stored: NDArray[Any], hu: NDArray[np.int16], rescale: Rescale) -> None:
    """Refuse an uncompressed frame whose last rows were allocated and not yet written.

    An image of nothing but zeros is one where these mean air: its series knows whether the scanner
    blanks what surrounds the head.

    Raises
    ------
    NotWholeYet
        The tail looks unwritten.
    """
    if stored[-1].any():
        return
    zero = stored == 0
    n_rows = int(zero[::-1].all(axis=1).argmin()) or len(zero)
    if rescale.intercept > AIR_HU:
        raise NotWholeYet("rows_not_written", n_rows=n_rows)
    if n_rows < len(zero) and is_unwritten(zero, hu > TISSUE_HU):
        raise NotWholeYet("rows_not_written", n_rows=n_rows)
