"""Where slices lie: which way round, in which order, and where some are missing. Pure."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from agent.errors import NotEligible
from agent.reasons import Reason
from agent.records import Gap, SliceHeader, Vector
from agent.voxels import Grid

AXIAL_DEG: Final = 40.0
"""A slice plane further than this from axial is not an axial head [deg]. Ours: gantries tilt by
30° at most; a coronal or sagittal plane lies at 90°."""

ORIENTATION_DEG: Final = 0.5
"""Slices of one series are parallel within this [deg]. Ours: what rounded direction cosines leave
open is a hundred times smaller."""

SPACING_TOLERANCE: Final = 1e-3
"""By this share pixel spacings of one series may differ. Ours: half a pixel over the image."""

GAP_RATIO: Final = 1.5
"""A spacing this many times the usual one has a slice missing from it. Ours: half way to 2."""

SEAM_RATIO: Final = 1.3
"""The same where slice thickness changes. Ours: the usual spacing there is the mean of both sides,
and one thin slice missing between thin and thick ones gives only 1.4 times that."""

NUMBERED_GAP_RATIO: Final = 1.2
"""The same where the image numbers jump as well. Ours."""

TOUCH_RATIO: Final = 1.05
"""Slices touch that are no further apart than so many times their thickness. Ours: positions and
thicknesses are rounded."""

APART_RATIO: Final = 1.8
"""Slices that all lie so many times their thickness apart leave out as much as they show. Ours:
every other slice of a gapless scan gives 2; scans with gaps between slices 1.5 at most."""

SAID_TOLERANCE: Final = 0.1
"""By this share slices may lie otherwise than the header says. Ours: with a tilted gantry distances
along the table and along the normal differ by 6 %."""

NEIGHBOURS: Final = 3
"""How many spacings on either side say what is usual. Ours: outvotes one odd spacing."""

_UNKNOWN_THICKNESS: Final = 0.0

_Scalar = TypeVar("_Scalar", bound=np.generic)


@dataclass(frozen=True, slots=True)
class Orientation:
    """How to turn a scanner's image so that columns run to the patient's left and rows to the back.

    ``swap`` exchanges rows and columns first; the directions and flips are those after it.
    """

    swap: bool
    flip_j: bool
    flip_i: bool
    row_direction: Vector
    column_direction: Vector

    def turn(self, values: NDArray[_Scalar]) -> NDArray[_Scalar]:
        """Turn ``values`` (…, j, i) without copying them."""
        turned = values.swapaxes(-1, -2) if self.swap else values
        step_j, step_i = -1 if self.flip_j else 1, -1 if self.flip_i else 1
        return turned[..., ::step_j, ::step_i]

    def origin_lps_mm(self, header: SliceHeader) -> NDArray[np.float64]:
        """Position of what is voxel (0, 0) after turning (3,) [mm]."""
        origin = np.array(header.position_lps_mm)
        rows, columns, row_spacing_mm, column_spacing_mm = self._size(header)
        if self.flip_i:
            origin -= np.array(self.row_direction) * (columns - 1) * column_spacing_mm
        if self.flip_j:
            origin -= np.array(self.column_direction) * (rows - 1) * row_spacing_mm
        return origin

    def grid(self, headers: Sequence[SliceHeader]) -> Grid:
        """Lay out slices, given lowest first."""
        rows, columns, row_spacing_mm, column_spacing_mm = self._size(headers[0])
        return Grid(
            origins_lps_mm=np.array([self.origin_lps_mm(header) for header in headers]),
            row_direction=self.row_direction,
            column_direction=self.column_direction,
            row_spacing_mm=row_spacing_mm,
            column_spacing_mm=column_spacing_mm,
            rows=rows,
            columns=columns,
            end_thickness_mm=headers[0].thickness_mm,
        )

    def _size(self, header: SliceHeader) -> tuple[int, int, float, float]:
        if self.swap:
            spacings = header.column_spacing_mm, header.row_spacing_mm
            return header.columns, header.rows, *spacings
        return header.rows, header.columns, header.row_spacing_mm, header.column_spacing_mm


def normal_of(header: SliceHeader) -> NDArray[np.float64]:
    """Return the unit normal of the image plane that points towards the head (3,)."""
    normal: NDArray[np.float64] = np.cross(header.row_direction, header.column_direction)
    return normal if normal[2] >= 0 else -normal


def orientation_of(header: SliceHeader) -> Orientation:
    """Find how to turn the images of a series.

    Raises
    ------
    NotEligible
        The images are coronal, sagittal or oblique.
    """
    angle_deg = float(np.degrees(np.arccos(min(1.0, normal_of(header)[2]))))
    if angle_deg > AXIAL_DEG:
        raise NotEligible("not_axial", angle_deg=angle_deg)
    row, column = np.array(header.row_direction), np.array(header.column_direction)
    swap = bool(abs(row[0]) < abs(row[1]))
    if swap:
        row, column = column, row
    flip_i, flip_j = bool(row[0] < 0), bool(column[1] < 0)
    row, column = -row if flip_i else row, -column if flip_j else column
    return Orientation(swap, flip_j, flip_i, _vector(row), _vector(column))


def _vector(values: NDArray[np.float64]) -> Vector:
    return float(values[0]), float(values[1]), float(values[2])


def plane_difference(first: SliceHeader, other: SliceHeader) -> Reason | None:
    """Say why one image cannot be stacked on another, None where it can."""
    if (other.rows, other.columns) != (first.rows, first.columns):
        return Reason(
            "matrix_differs",
            rows=first.rows,
            columns=first.columns,
            other_rows=other.rows,
            other_columns=other.columns,
        )
    spacings = [(header.row_spacing_mm, header.column_spacing_mm) for header in (first, other)]
    if any(abs(b - a) > SPACING_TOLERANCE * a for a, b in zip(*spacings, strict=True)):
        return Reason("pixel_spacing_differs")
    cosine = math.cos(math.radians(ORIENTATION_DEG))
    for before, after in (
        (first.row_direction, other.row_direction),
        (first.column_direction, other.column_direction),
    ):
        if sum(a * b for a, b in zip(before, after, strict=True)) < cosine:
            return Reason("orientation_differs")
    if first.frame_of_reference_uid != other.frame_of_reference_uid:
        return Reason("frames_of_reference_differ")
    return None


def apartness(headers: Sequence[SliceHeader], heights_mm: NDArray[np.float64]) -> Reason | None:
    """Say that slices, given lowest first, leave out as much of the head as they show.

    Numbers tell nothing of it where slices were left out and the others numbered anew. Where the
    header says that slices lie so far apart, or has all of them counted, the scanner left nothing
    out but what its protocol does.
    """
    steps = [
        (above_mm - below_mm, max(below.thickness_mm or 0.0, above.thickness_mm or 0.0))
        for (below, above), (below_mm, above_mm) in zip(
            pairwise(headers), pairwise(heights_mm.tolist()), strict=True
        )
    ]
    if not steps or not all(thickness_mm for _, thickness_mm in steps):
        return None
    apart_mm, thickness_mm = sorted(steps, key=lambda step: step[0] / step[1])[len(steps) // 2]
    if apart_mm < APART_RATIO * thickness_mm or _said_so(headers, apart_mm):
        return None
    return Reason("slices_apart", apart_mm=apart_mm, thickness_mm=thickness_mm)


def _said_so(headers: Sequence[SliceHeader], apart_mm: float) -> bool:
    said_mm = [header.spacing_between_mm for header in headers]
    counts = {header.expected_images or header.images_in_acquisition for header in headers}
    return counts == {len(headers)} or all(
        one_mm and abs(one_mm - apart_mm) <= SAID_TOLERANCE * apart_mm for one_mm in said_mm
    )


def find_gaps(headers: Sequence[SliceHeader], heights_mm: NDArray[np.float64]) -> tuple[Gap, ...]:
    """Name the places where slices are missing from a series, given lowest first.

    A change from thin to thick slices is no gap: what is usual is asked of slices of the same
    thickness. Nor is one where slices still touch, as from overlapping ones to others, unless image
    numbers jump there. Where the spacing alone is in doubt, such a jump decides.
    """
    spacings = np.diff(heights_mm).tolist()
    if len(spacings) < 2 or max(spacings) <= NUMBERED_GAP_RATIO * min(spacings):  # noqa: PLR2004
        return ()
    thicknesses = [round(h.thickness_mm or _UNKNOWN_THICKNESS, 2) for h in headers]
    skips = _skipped_numbers(headers)
    alike: dict[float, list[int]] = {thickness: [] for thickness in thicknesses}
    for p, (lower, upper) in enumerate(pairwise(thicknesses)):
        if lower == upper:
            alike[lower].append(p)
    gaps = []
    for p, spacing in enumerate(spacings):
        if not skips[p] and spacing <= TOUCH_RATIO * sum(thicknesses[p : p + 2]) / 2:
            continue
        below, above = (_usual(spacings, alike[t], p, t) for t in thicknesses[p : p + 2])
        missing = _n_missing(spacing, below, above, skips[p], thicknesses[p : p + 2])
        if missing:
            gaps.append(Gap(float(heights_mm[p]), float(heights_mm[p + 1]), missing))
    return tuple(gaps)


def _usual(spacings: list[float], alike: list[int], p: int, thickness: float) -> float:
    """Spacing [mm] that is usual near ``p`` between slices of one ``thickness``.

    ``alike`` numbers, ascending, the spacings between two such slices. Found by bisection: a series
    that comes shuffled is full of gaps, and asks this of every slice whenever one has come.
    The two sides may differ. Slices of one known thickness are taken to be as far apart as on the
    closer side, so that holes near one another do not excuse each other; where no thickness tells
    thin slices from thick ones, the wider side counts.
    """
    below = alike[: bisect_left(alike, p)][-NEIGHBOURS:]
    above = alike[bisect_right(alike, p) :][:NEIGHBOURS]
    usual = [median(spacings[q] for q in side) for side in (below, above) if side]
    if not usual:
        return thickness or median(spacings)
    return min(usual) if thickness else max(usual)


def _n_missing(
    spacing: float, below: float, above: float, skipped: int, thicknesses: list[float]
) -> int:
    ratio = GAP_RATIO if thicknesses[0] == thicknesses[1] else SEAM_RATIO
    usual, least = (below + above) / 2, min(below, above)
    if spacing > ratio * usual:
        return max(1, round(spacing / usual) - 1)
    fits = spacing / (skipped + 1) > least / 2
    return skipped if fits and spacing > NUMBERED_GAP_RATIO * least else 0


def _skipped_numbers(headers: Sequence[SliceHeader]) -> list[int]:
    """How many image numbers are left out between each slice and the next; 0 where not known."""
    numbers = [header.instance_number for header in headers]
    steps = [0 if a is None or b is None else abs(b - a) for a, b in pairwise(numbers)]
    usual = median([step for step in steps if step] or [1])
    return [max(0, round(step / usual) - 1) for step in steps]
