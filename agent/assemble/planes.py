"""The images of a series that can be stacked on one another: parallel, of one matrix. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agent.assemble.geometry import AXIAL_DEG, normal_of, plane_difference
from agent.assemble.stacks import Stack, stack_of
from agent.reasons import Reason
from agent.records import SliceHeader

FIRST_IMAGES: Final = 4
RESERVED_BYTES: Final = 512 * 1024 * 1024
"""Room for so many images at first, which is enough for strays; then for as much as a series may
have. Ours: pages that are never written cost nothing, a copy into a larger buffer does."""

HEAD_HU: Final = -300
"""Above this a pixel is head [HU]. Half way between air and scalp fat, rounded up."""

COARSE: Final = 4
"""Only every fourth pixel each way is looked at to tell head from air. Ours: it is an area."""


BORDER_SHARE: Final = 0.99
"""The surroundings of an image are blanked where so much of its border has its lowest value.
Ours: a round field of view leaves a tenth of the border to noise."""


class Plane:
    """Images in parallel planes of one matrix, spacing and frame of reference, as they come."""

    def __init__(self, first: SliceHeader) -> None:
        """Begin for images that can be stacked on ``first``."""
        self.first = first
        self.headers: list[SliceHeader] = []
        """By buffer index, as the lists below."""
        self.heights_mm: list[float] = []
        self.head_px: list[int] = []
        self.came: list[int] = []
        """How many images were here before each of them."""
        self.normal = normal_of(first)
        self.buffer = np.empty((0, 0, 0), np.int16)
        self._n_blanked = 0
        self._dropped: set[int] = set()
        self._is_shared = False

    @property
    def is_axial(self) -> bool:
        """Whether heads are looked for in such planes."""
        return float(np.degrees(np.arccos(min(1.0, self.normal[2])))) <= AXIAL_DEG

    @property
    def n_images(self) -> int:
        """How many images lie here."""
        return len(self.headers) - len(self._dropped)

    @property
    def pixels_bytes(self) -> int:
        """How much the pixels of the images here take."""
        return len(self.headers) * self.buffer[:1].nbytes

    def drop_pixels(self) -> None:
        """Forget all pixels; nothing may be added any more."""
        self.buffer = np.empty((0, 0, 0), np.int16)

    @property
    def kept_headers(self) -> list[SliceHeader]:
        """Headers of the images that lie here, in no order."""
        return [header for k, header in enumerate(self.headers) if k not in self._dropped]

    @property
    def is_blanked(self) -> bool:
        """Whether the scanner blanks what surrounds the head in most images."""
        return 2 * self._n_blanked > len(self.headers)

    def difference(self, header: SliceHeader) -> Reason | None:
        """Say in what an image differs from those here, None where it belongs to them."""
        return plane_difference(self.first, header)

    def add(self, header: SliceHeader, hu: NDArray[np.int16]) -> None:
        """Take in an image that belongs here."""
        n = len(self.headers)
        if n == len(self.buffer):
            capacity = max(RESERVED_BYTES // hu.nbytes, 2 * n) if n else FIRST_IMAGES
            grown = np.empty((capacity, *hu.shape), np.int16)
            grown[:n] = self.buffer.reshape(n, *hu.shape)
            self.buffer = grown
        self.buffer[n] = hu
        self.headers.append(header)
        self.heights_mm.append(float(self.normal @ header.position_lps_mm))
        self.came.append(n)
        self.head_px.append(int(np.count_nonzero(hu[::COARSE, ::COARSE] > HEAD_HU)))
        self._n_blanked += _has_blank_border(hu)

    def drop(self, sop_uid: str) -> None:
        """Take an image out, if it lies here: its file has changed."""
        self._dropped |= {k for k, header in enumerate(self.headers) if header.sop_uid == sop_uid}

    def sort(self, first: Sequence[int]) -> bool:
        """Move these images to the front, in this order; False where another shares the pixels.

        Nobody may hold a view on the pixels.
        """
        if self._is_shared:
            return False
        order = [*first, *sorted(set(range(len(self.headers))) - set(first))]
        _permute(self.buffer, order)
        self.headers = [self.headers[k] for k in order]
        self.heights_mm = [self.heights_mm[k] for k in order]
        self.head_px = [self.head_px[k] for k in order]
        self.came = [self.came[k] for k in order]
        self._dropped = {n for n, k in enumerate(order) if k in self._dropped}
        return True

    @property
    def as_they_came(self) -> list[int]:
        """Buffer indices in the order in which the images came."""
        return sorted(range(len(self.came)), key=self.came.__getitem__)

    def stack(self) -> Stack:
        """Choose the images that make up one scan; GeometryError where nothing tells which do."""
        kept = [k for k in self.as_they_came if k not in self._dropped]
        chosen = stack_of([self.headers[k] for k in kept], self.heights_of(kept))
        return Stack(
            *(tuple(kept[k] for k in some) for some in (chosen.order, chosen.strays, chosen.again))
        )

    def heights_of(self, indices: Sequence[int]) -> NDArray[np.float64]:
        """Positions of images along the normal [mm]."""
        return np.array([self.heights_mm[index] for index in indices])

    def continued(self) -> Plane:
        """Go on in a second one, which shares the pixels: what lies in the buffer stays."""
        self._is_shared = True
        second = copy(self)
        for name, value in vars(self).items():
            if isinstance(value, list | set):
                setattr(second, name, copy(value))
        return second


def _permute(buffer: NDArray[np.int16], order: Sequence[int]) -> None:
    """Move image ``order[n]`` to place ``n`` for each n, one at a time."""
    is_moved = [False] * len(order)
    for start in range(len(order)):
        if is_moved[start] or order[start] == start:
            continue
        first, place = buffer[start].copy(), start
        while order[place] != start:
            buffer[place] = buffer[order[place]]
            is_moved[place] = True
            place = order[place]
        buffer[place], is_moved[place] = first, True


def _has_blank_border(hu: NDArray[np.int16]) -> bool:
    first = hu[0]
    if np.count_nonzero(first != first.min()) > (1 - BORDER_SHARE) * 2 * sum(hu.shape):
        return False  # as in most images
    border = np.concatenate((hu[0], hu[-1], hu[:, 0], hu[:, -1]))
    return bool(np.count_nonzero(border == border.min()) >= BORDER_SHARE * border.size)
