"""Calcifications among what the slice network held for blood and the answer does not rest on. Pure.

The fit of what tells them, in ``build_engine.train.calcification``, looks at the same features.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import cc3d
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from agent.measure.bleeds import connected_parts, head_box_lps_mm, place_in
from agent.preprocess import Floats, SliceInput, axis_mm, field_from_slices, field_matrices
from agent.reasons import Reason
from agent.records import MM3_PER_ML, Calcification, Vector
from agent.voxels import HeadVolume, LabelMask

SMALLEST_ML: Final = 0.03
"""Smaller spots are specks [mL]. Ours: a ball of 4 mm."""

LARGEST_ML: Final = 2.0
"""What is larger is not told [mL]: of what was learned from, nothing calcified reaches 1.3 mL."""

MOST_TOLD: Final = 2
"""No more are told of a head, the largest first: who reads them looks at its slices. Ours."""

AROUND_PX: Final = 96
"""Side of the square about a spot that is looked at [field pixels, of 1 mm]."""

DENSEST_HU: Final = 100
"""Denser values count as this [HU]: exports cut to a brain window end there."""

BONE_HU: Final = 95
FEWEST_BONE_PX: Final = 100
"""What is as dense as that and as large in its slab is bone [HU, field pixels]; calcifications are
smaller. Ours, with noise in exports that end at 100 HU."""

BESIDE_PX: Final = 3
"""A calcification's middle lies so close to the part of it that looks like blood [field pixels]."""

MOST_OFF_PX: Final = 30.0
"""Further away from bone is all the same [field pixels]."""

Mask = NDArray[np.bool_]

Seen = tuple[dict[int, Floats], SliceInput]
"""The slice network's probability of a bleed on the field (row, column) of each slab that it saw,
by number; and what that field is."""


@dataclass(frozen=True, slots=True, eq=False)
class Spot:
    """A connected part that the slice network holds for fairly probable blood.

    ``pixels`` (row, column) is what its main slab, of number ``plane``, shows of it in the square
    ``at`` of the field; ``hu`` (3, row, column) is that square in the slab below, in this one and
    in the one above, and ``bone`` what is bone there. ``place`` is its centre's within the brain's
    bounding box, each 0…1.
    """

    plane: int
    at: tuple[slice, slice]
    volume_ml: float
    pixels: Mask
    hu: Floats
    bone: Mask
    place: Vector

    @property
    def highest_hu(self) -> float:
        """The densest of it and of what is beside it, bone left out [HU]."""
        beside = ndimage.binary_dilation(self.pixels, iterations=BESIDE_PX)
        values = self.hu[beside & ~ndimage.binary_dilation(self.bone, np.ones((1, 3, 3), bool))]
        return float(values.max()) if values.size else 0.0

    @property
    def axes_px(self) -> tuple[float, float]:
        """Length and breadth in its main slab, as of an ellipse, [field pixels]."""
        spread = np.cov(np.argwhere(self.pixels).T) if self.pixels.sum() > 1 else np.zeros((2, 2))
        short, long = np.sqrt(np.linalg.eigvalsh(spread + np.eye(2) / 12))  # a pixel is no point
        return 4.0 * float(long), 4.0 * float(short)


def features(spot: Spot) -> NDArray[np.float64]:
    """Return what ``Calcification.weights`` weigh, in their order."""
    bone = spot.bone[1]
    off_px = np.median(ndimage.distance_transform_edt(~bone)[spot.pixels]) if bone.any() else np.inf
    long, short = spot.axes_px
    x, y, z = spot.place
    return np.array(
        [
            min(spot.highest_hu, DENSEST_HU),
            np.log1p(min(off_px, MOST_OFF_PX)),
            min(long / short, 5.0),
            abs(x - 0.5),
            y,
            z,
        ]
    )


def calcifications(
    head: HeadVolume,
    mask: LabelMask,
    seen: Seen,
    how: Calcification,
) -> tuple[Reason, ...]:
    """Tell which spots in a head are calcified, the largest first.

    ``mask`` has the slabs of ``seen`` for planes.
    """
    told = []
    for spot in spots(head, mask, seen, how.probability):
        highest_hu = spot.highest_hu
        if highest_hu >= how.least_hu and how.probability_of(features(spot)) >= how.told_from:
            first, end = _slices_of(mask, spot.plane, head)
            told.append(
                Reason(
                    "calcification_no_bleed",
                    slice_number=(first + end - 1) // 2 + 1,
                    size_mm=round(spot.axes_px[0] * seen[1].pixel_mm, 1),
                    highest_hu=round(highest_hu, 1),
                )
            )
    return tuple(told[:MOST_TOLD])


def spots(head: HeadVolume, mask: LabelMask, seen: Seen, probability: float) -> Iterator[Spot]:
    """Give each spot at or above a probability, no specks and nothing large, the largest first."""
    bleed, field = seen
    bright = np.zeros((mask.grid.shape_kji[0], field.size_px, field.size_px), np.uint8)
    for number, values in bleed.items():
        if values.max() >= probability:
            bright[number] = np.where(values >= probability, values * 255, 0)
    shares_ml = mask.grid.shares_mm * field.pixel_mm**2 / MM3_PER_ML
    sized = [
        (float(shares_ml[kji[:, 0]].sum()), kji)
        for kji in connected_parts((bright > 0).view(np.uint8))
    ]
    fitting = [one for one in sized if SMALLEST_ML <= one[0] <= LARGEST_ML]
    box = head_box_lps_mm(mask) if fitting else None
    if box is None:
        return
    matrices = field_matrices(head.grid, field)
    for volume_ml, kji in sorted(fitting, key=lambda one: -one[0]):
        plane = int(np.bincount(kji[:, 0], bright[tuple(kji.T)]).argmax())
        at = _square_about(kji[kji[:, 0] == plane, 1:], field.size_px)
        rows, columns = (matrix[part] for matrix, part in zip(matrices, at, strict=True))
        used = [slice(one.indices.min(), one.indices.max() + 1) for one in (rows, columns)]
        within = rows[:, used[0]], columns[:, used[1]]
        planes = (min(max(plane + step, 0), len(bright) - 1) for step in (-1, 0, 1))
        slices = (head.hu[(slice(*_slices_of(mask, one, head)), *used)] for one in planes)
        hu = np.stack([field_from_slices(one, within) for one in slices])
        pixels = np.zeros(bright.shape[1:], bool)
        pixels[tuple(kji[kji[:, 0] == plane, 1:].T)] = True
        centre_lps_mm = mask.grid.to_lps_mm(_in_image(kji, mask, field)).mean(axis=0)
        yield Spot(plane, at, volume_ml, pixels[at], hu, _bone(hu), place_in(box, centre_lps_mm))


def _slices_of(mask: LabelMask, plane: int, head: HeadVolume) -> tuple[int, int]:
    """First slice of a plane, and the one after its last."""
    last = plane + 1 == mask.grid.shape_kji[0]
    return mask.slice_of(plane), len(head.hu) if last else mask.slice_of(plane + 1)


def _square_about(ji: NDArray[np.intp], size_px: int) -> tuple[slice, slice]:
    centre = np.rint(ji.mean(axis=0)).astype(int) - AROUND_PX // 2
    row, column = centre.clip(0, size_px - AROUND_PX).tolist()
    return slice(row, row + AROUND_PX), slice(column, column + AROUND_PX)


def _in_image(kji: NDArray[np.intp], mask: LabelMask, field: SliceInput) -> NDArray[np.intp]:
    """Take field pixels (n, 3) to the images' nearest ones."""
    at_mm, grid = axis_mm(field.size_px, field.pixel_mm), mask.grid
    row = at_mm[kji[:, 1]] / grid.row_spacing_mm + (grid.rows - 1) / 2
    column = at_mm[kji[:, 2]] / grid.column_spacing_mm + (grid.columns - 1) / 2
    return np.column_stack([kji[:, 0], np.rint(row).astype(int), np.rint(column).astype(int)])


def _bone(hu: Floats) -> Mask:
    """Find bone in each slab (slab, row, column)."""
    found = np.zeros(hu.shape, bool)
    for plane, into in zip(hu, found, strict=True):
        parts = cc3d.connected_components((plane >= BONE_HU).astype(np.uint8), connectivity=8)
        sizes = np.bincount(parts.ravel())
        sizes[0] = 0
        into[:] = (sizes >= FEWEST_BONE_PX)[parts]
    return found
