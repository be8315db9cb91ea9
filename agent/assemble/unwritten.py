"""Zeros at the end of an image: not written yet, or air that the scanner set to zero? Pure.

A preallocated file has its header and its full size long before its pixels: they are zeros from
where the writer stands to the end. A scanner that blanks what surrounds the head leaves zeros as
well. Neither time nor the count of zeros tells them apart; where they begin does: a writer that
stopped within the head cuts it off straight, a head that is whole has closed before they begin.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter

PADDING_SHARE: Final = 1 / 8
"""So much of an image may be zeros below all that it shows [share of its rows]. Ours: what lies in
the lowest eighth of a head image is table and air."""

BLANKED_SHARE: Final = 0.95
"""The surroundings are blanked where so much is zero of what lies away from the head. Ours: where
they are not, noise is above the scanner's lowest value in half of them."""

AWAY_SHARE: Final = 1 / 16
"""So far from the head nothing belongs to it [share of the rows]. Ours: masks keep a few pixels."""

PASSED_SHARE: Final = 1 / 3
"""A blanked image is written down to here at least. Ours: above lie no heads, but what is before a
face: a tube, a mask."""

CLOSING_SHARE: Final = 0.55
CLOSING_ROWS: Final = 1 / 32
LEAST_CLOSING_ROWS: Final = 10
"""A head has closed where it has become this narrow within so many of the image's rows. Ours: one
of 150 pixels' radius does in its last 5 mm; one that is cut off further up does not."""

SLIVER_SHARE: Final = 1 / 20
NARROWING_SHARE: Final = 0.8
"""A small piece, of this share of the columns, need only become a little narrower. Ours: 12 mm."""


def is_unwritten(zero: NDArray[np.bool_], tissue: NDArray[np.bool_]) -> bool:
    """Say whether an image (j, i) whose last row is all ``zero`` was cut off by unwritten zeros.

    Only of images where a stored 0 means air, and that are not zero all over.
    """
    filled = np.flatnonzero(~zero.all(axis=1))
    top, last = int(filled[0]), int(filled[-1])
    tail = len(zero) - 1 - last
    cuts = _cuts_tissue(zero, tissue, last)
    if top and abs(top - tail) <= 1:  # padded all round, and what it cuts there is cut here too
        return cuts and not _cuts_tissue(zero[::-1], tissue[::-1], len(zero) - 1 - top)
    if cuts:
        return True
    if _blanked(zero[: last + 1], tissue[: last + 1]):
        return last < PASSED_SHARE * len(zero)
    return tail >= PADDING_SHARE * len(zero)


def _cuts_tissue(zero: NDArray[np.bool_], tissue: NDArray[np.bool_], last: int) -> bool:
    """Say whether zeros begin straight below tissue that does not close."""
    reach = max(LEAST_CLOSING_ROWS, round(CLOSING_ROWS * len(zero)))
    before = max(last - 1, 0)  # the row in which a writer stopped may be half a row
    n_cut = np.count_nonzero(tissue[last] | (tissue[before] & zero[last]))
    n_above = int(np.count_nonzero(tissue[max(before - reach, 0) : last], axis=1).max(initial=0))
    is_sliver = n_cut <= SLIVER_SHARE * zero.shape[1] and n_cut <= NARROWING_SHARE * n_above
    return bool(not is_sliver and n_cut > CLOSING_SHARE * n_above)


def _blanked(zero: NDArray[np.bool_], tissue: NDArray[np.bool_]) -> bool:
    """Say whether nearly all is zero that lies away from the tissue."""
    away = round(AWAY_SHARE * len(zero))
    far = ~maximum_filter(tissue, 2 * away + 1)
    return bool(far.any() and zero[far].mean() >= BLANKED_SHARE)
