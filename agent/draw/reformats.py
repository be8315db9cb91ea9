"""Coronal and sagittal reformats through a bleed, in patient coordinates whatever the tilt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from agent.draw.key_slice import WINDOW_HU, brain_grey, outlined_png
from agent.records import Vector
from agent.voxels import Grid, HeadVolume

Reformat: TypeAlias = Literal["coronal", "sagittal"]

ACROSS_LPS: Final[dict[Reformat, Vector]] = {
    "coronal": (1.0, 0.0, 0.0),
    "sagittal": (0.0, 1.0, 0.0),
}
"""Direction of each view's columns: to the patient's left; to the back. Rows run to the feet."""

DOWN_LPS: Final = 0.0, 0.0, -1.0

SIDES: Final[dict[Reformat, tuple[str, str]]] = {"coronal": ("R", "L"), "sagittal": ("A", "P")}

LONGEST_PX: Final = 320
"""Longer edge of a picture [pixels]: 0.75 mm a pixel over a field of view of 240 mm. The page shows
it no larger, and the alert waits until it is drawn. Ours."""


@dataclass(frozen=True, slots=True)
class Plane:
    """Where a picture's pixels lie: square ones of ``pixel_mm``, (0, 0) at ``corner_lps_mm``."""

    corner_lps_mm: NDArray[np.float64]
    across: NDArray[np.float64]
    down: NDArray[np.float64]
    pixel_mm: float
    height_px: int
    width_px: int

    def positions_lps_mm(self) -> NDArray[np.float64]:
        """Position of every pixel's centre (row, column, 3) [mm]."""
        rows, columns = np.arange(self.height_px), np.arange(self.width_px)
        along_rows = (rows * self.pixel_mm)[:, None, None] * self.down
        along_columns = (columns * self.pixel_mm)[None, :, None] * self.across
        positions: NDArray[np.float64] = self.corner_lps_mm + along_rows + along_columns
        return positions


def plane_through(centre_lps_mm: Vector, grid: Grid, view: Reformat) -> Plane:
    """Return the plane through a point, as wide and as high as the slices extend."""
    across, down = np.array(ACROSS_LPS[view]), np.array(DOWN_LPS)
    ends = [np.array([0, size - 1]) for size in grid.shape_kji]
    corners_lps_mm = grid.to_lps_mm(np.array(list(product(*ends))))
    from_centre_mm = corners_lps_mm - centre_lps_mm
    first_mm, last_mm = (
        np.array([reach(from_centre_mm @ across), reach(from_centre_mm @ down)])
        for reach in (np.min, np.max)
    )
    pixel_mm = float((last_mm - first_mm).max()) / (LONGEST_PX - 1)
    width_px, height_px = (int(n) + 1 for n in np.rint((last_mm - first_mm) / pixel_mm))
    corner_lps_mm = np.array(centre_lps_mm) + first_mm[0] * across + first_mm[1] * down
    return Plane(corner_lps_mm, across, down, pixel_mm, height_px, width_px)


@dataclass(frozen=True, slots=True, eq=False)
class Feet:
    """Where positions lie in a slice of their own each: slice, and row and column between voxels.

    ``weight`` is the slice's part in what is interpolated there.
    """

    k: NDArray[np.intp]
    j: NDArray[np.float32]
    i: NDArray[np.float32]
    weight: NDArray[np.float32]


def render_reformat(
    head: HeadVolume, labels: NDArray[np.uint8], centre_lps_mm: Vector, view: Reformat
) -> bytes:
    """Draw a plane through ``centre_lps_mm`` as PNG, brain window, the bleed outlined.

    ``labels`` (k, j, i) is 0 where there is no bleed.

    Interpolated linearly within the two slices that a pixel lies between, at its foot in each along
    the normal, and then between these by its distances: so neither uneven spacing nor a tilted
    gantry, which shears the stack, displaces anything.
    """
    positions_lps_mm = plane_through(centre_lps_mm, head.grid, view).positions_lps_mm()
    below, above = feet_of(positions_lps_mm, head.grid)
    known = _is_known(positions_lps_mm, head.grid, (below, above))
    hu = sum(_smooth(head.hu, feet) * feet.weight for feet in (below, above))
    part = sum((_nearest(labels, feet) > 0) * feet.weight for feet in (below, above))
    grey = brain_grey(np.where(known, hu, WINDOW_HU[0]))
    return outlined_png(grey, known & (np.asarray(part) >= 0.5), SIDES[view])  # noqa: PLR2004 - half


def feet_of(positions_lps_mm: NDArray[np.float64], grid: Grid) -> tuple[Feet, Feet]:
    """Return the feet of positions (…, 3) [mm, LPS] in the slices below and above each."""
    heights_mm = positions_lps_mm @ grid.normal
    k = np.interp(heights_mm, grid.heights_mm, np.arange(len(grid.heights_mm)))
    below = np.floor(k).astype(np.intp)
    above = np.minimum(below + 1, len(grid.heights_mm) - 1)
    share_above = (k - below).astype(np.float32)
    rows = _index_of_slice(positions_lps_mm, grid, grid.column_direction, grid.row_spacing_mm)
    columns = _index_of_slice(positions_lps_mm, grid, grid.row_direction, grid.column_spacing_mm)
    return (
        Feet(below, rows(below), columns(below), 1 - share_above),
        Feet(above, rows(above), columns(above), share_above),
    )


def _index_of_slice(
    positions_lps_mm: NDArray[np.float64], grid: Grid, direction: Vector, spacing_mm: float
) -> Callable[[NDArray[np.intp]], NDArray[np.float32]]:
    """Return each position's index along ``direction`` in its slice."""
    along = positions_lps_mm @ direction / spacing_mm
    first = grid.origins_lps_mm @ direction / spacing_mm
    return lambda k: (along - first[k]).astype(np.float32)


def _is_known(
    positions_lps_mm: NDArray[np.float64], grid: Grid, both: tuple[Feet, Feet]
) -> NDArray[np.bool_]:
    """Return which positions lie within the slices, edges included."""
    heights_mm, ends = positions_lps_mm @ grid.normal, [0, -1]
    lowest_mm, highest_mm = grid.heights_mm[ends] + np.array([-0.5, 0.5]) * grid.shares_mm[ends]
    known: NDArray[np.bool_] = (heights_mm >= lowest_mm) & (heights_mm <= highest_mm)
    for feet in both:
        known &= (np.abs(feet.j - (grid.rows - 1) / 2) <= grid.rows / 2) & (
            np.abs(feet.i - (grid.columns - 1) / 2) <= grid.columns / 2
        )
    return known


def _smooth(values: NDArray[np.int16], feet: Feet) -> NDArray[np.float32]:
    """Interpolate linearly within the slices."""
    interpolated: NDArray[np.float32] = ndimage.map_coordinates(
        values, (feet.k, feet.j, feet.i), np.float32, order=1, mode="nearest", prefilter=False
    )
    return interpolated


def _nearest(values: NDArray[np.uint8], feet: Feet) -> NDArray[np.uint8]:
    j, i = (
        np.clip(np.rint(index), 0, size - 1).astype(np.intp)
        for index, size in zip((feet.j, feet.i), values.shape[1:], strict=True)
    )
    sampled: NDArray[np.uint8] = values[feet.k, j, i]
    return sampled
