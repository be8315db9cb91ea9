"""The midline, from anatomy labels: the side of a point, the falx, and the level of the septum."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent.records import LEFT_REGIONS, RIGHT_REGIONS, Region
from agent.voxels import LabelMask

FEWEST_SIDED_VOXELS = 100
"""Fewest labelled samples on each side from which the midline is determined. Ours."""

DEEP_REGIONS = (
    Region.VENTRICLES,
    Region.LEFT_THALAMUS,
    Region.RIGHT_THALAMUS,
    Region.LEFT_BASAL_GANGLIA,
    Region.RIGHT_BASAL_GANGLIA,
)
"""Where these are largest lies the level of the third ventricle."""

FEWEST_DEEP_MM2 = 300.0
"""Least deep anatomy in a slice at that level [mm²]. Ours."""

SHORTEST_MIDLINE_MM = 90.0
"""Shortest traced midline, front to back, that determines the skull's [mm]. Ours."""

UNSURE_MM = 2.0
"""A row weighs half where labels without a side are this wide between the sides [mm], and an end of
the midline weighs half at this distance from the skull's. Ours."""

REWEIGHTED = 10
"""Rounds of re-weighting, in which ends far from the skull's midline lose weight."""

SMOOTHED_MM = 8.0
"""The traced midline is smoothed over about this [mm]. Ours."""

STEP = 4
"""In-plane pixels per sample of the traced boundary, which is smooth. Ours."""

COARSE = 4
"""In-plane pixels per sample for fitting the midplane: thousands remain. Ours."""

FEW_SLICES = 60
"""Slices that it is fitted to, however many there are."""

LEAST_STEP_MM = 4.0
"""Slices closer than this to the last traced one are skipped: they show the same [mm]. Ours."""


def _table(regions: tuple[Region, ...]) -> NDArray[np.bool_]:
    """Look-up table over label values: a hundred times faster on a volume than ``np.isin``."""
    table = np.zeros(256, dtype=np.bool_)
    table[list(regions)] = True
    return table


IS_LEFT, IS_RIGHT, IS_DEEP = _table(LEFT_REGIONS), _table(RIGHT_REGIONS), _table(DEEP_REGIONS)


@dataclass(frozen=True, slots=True, eq=False)
class Midplane:
    """The plane between the sides: ``(position, 1) @ weights`` is positive on the left."""

    weights: NDArray[np.float64]

    def left_of(self, positions_lps_mm: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return for each position (n, 3) whether it is on the patient's left."""
        left: NDArray[np.bool_] = positions_lps_mm @ self.weights[:3] + self.weights[3] > 0
        return left


def midplane_of(mask: LabelMask) -> Midplane | None:
    """Fit the plane that parts left from right labels (least squares on ±1); None if unknown."""
    step = np.array([mask.grid.shape_kji[0] // FEW_SLICES + 1, COARSE, COARSE])
    regions = mask.regions.planes(COARSE, step_k=int(step[0]))
    left, right = (_some(table.take(regions)) * step for table in (IS_LEFT, IS_RIGHT))
    if min(len(left), len(right)) < FEWEST_SIDED_VOXELS:
        return None
    positions_lps_mm = mask.grid.to_lps_mm(np.concatenate([left, right]))
    centre = positions_lps_mm.mean(axis=0)
    design = np.column_stack([positions_lps_mm - centre, np.ones(len(positions_lps_mm))])
    target = np.r_[np.full(len(left), 1.0 / len(left)), np.full(len(right), -1.0 / len(right))]
    weights = np.linalg.lstsq(design, target * len(target), rcond=None)[0]
    weights[3] -= centre @ weights[:3]
    return Midplane(weights)


def _some(mask: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Return at most some 20,000 of the voxels' indices (n, 3), evenly taken."""
    voxels = np.flatnonzero(mask)
    return np.column_stack(np.unravel_index(voxels[:: len(voxels) // 20_000 + 1], mask.shape))


def deep_level_mm(mask: LabelMask) -> float | None:
    """Height of the plane that shows most deep anatomy [mm]; None where none shows enough."""
    pixel_mm2 = mask.grid.row_spacing_mm * mask.grid.column_spacing_mm * COARSE**2
    areas_mm2 = [
        np.count_nonzero(IS_DEEP[labels]) * pixel_mm2 for labels in mask.regions.planes(COARSE)
    ]
    k = int(np.argmax(areas_mm2))
    return float(mask.grid.heights_mm[k]) if areas_mm2[k] >= FEWEST_DEEP_MM2 else None


@dataclass(frozen=True, slots=True, eq=False)
class FalxPlane:
    """Where the falx lies: ``(height, y, 1) @ weights`` is how far to the left [mm].

    Within a plane of a head x is along its rows to the left and y along its columns to the back.
    """

    weights: NDArray[np.float64]

    def x_mm(self, height_mm: float, y_mm: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return x of the falx at a height, for each y."""
        by_height, by_y, at_0_mm = self.weights
        x_mm: NDArray[np.float64] = height_mm * by_height + y_mm * by_y + at_0_mm
        return x_mm


def falx_plane_of(mask: LabelMask) -> FalxPlane | None:
    """Fit the plane through the ends of the brain's midline; None where it is not traceable.

    In each slice the boundary between left and right is traced row by row and smoothed; rows in
    which labels without a side part the two, as a ventricle does, say little of where it runs. The
    falx holds the ends of these lines, in front and behind.
    """
    ends, traced_mm = [], -np.inf
    for k, height_mm in enumerate(mask.grid.heights_mm):
        if height_mm - traced_mm < LEAST_STEP_MM:
            continue
        traced_mm = height_mm
        if (of_slice := _ends(mask, k)) is not None:
            ends.append(of_slice)
    return FalxPlane(_plane(np.concatenate(ends))) if ends else None


def _ends(mask: LabelMask, k: int) -> NDArray[np.float64] | None:
    """Height, y and x (2, 3) of the midline's front and back end in one slice [mm]."""
    grid, regions = mask.grid, mask.regions.plane(k, STEP)
    row_mm, column_mm = grid.row_spacing_mm * STEP, grid.column_spacing_mm * STEP
    left, right = IS_LEFT[regions], IS_RIGHT[regions]
    rows = np.flatnonzero(left.any(axis=1) & right.any(axis=1))
    if len(rows) * row_mm < SHORTEST_MIDLINE_MM:
        return None
    columns, unsure_columns = _boundary(left[rows], right[rows])
    weight = _weight(unsure_columns * column_mm)
    x_mm = _smoothed(columns * column_mm, weight, SMOOTHED_MM / row_mm)
    origin_x_mm, origin_y_mm = (
        float(grid.origins_lps_mm[k] @ np.array(direction))
        for direction in (grid.row_direction, grid.column_direction)
    )
    tenth = max(1, len(rows) // 10)
    return np.array(
        [
            (
                grid.heights_mm[k],
                origin_y_mm + rows[part].mean() * row_mm,
                origin_x_mm + x_mm[part].mean(),
            )
            for part in (slice(None, tenth), slice(-tenth, None))
        ]
    )


def _plane(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fit x = (height, y, 1) · plane to points (n, 3), robustly: outliers weigh little."""
    design = np.column_stack([points[:, :2], np.ones(len(points))])
    weight: NDArray[np.floating] = np.ones(len(points))
    plane = np.zeros(3)
    for _ in range(REWEIGHTED):
        root = np.sqrt(weight)
        plane[:] = np.linalg.lstsq(design * root[:, None], points[:, 2] * root, rcond=None)[0]
        weight = _weight(points[:, 2] - design @ plane)
    return plane


def _weight(off_mm: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return the weight of a value this uncertain or this far off; at ``UNSURE_MM`` it is half."""
    weight: NDArray[np.floating] = 1.0 / (1.0 + np.square(off_mm / UNSURE_MM))
    return weight


def _boundary(
    left: NDArray[np.bool_], right: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Column, for each row, that leaves the fewest labels on the wrong side; the middle of ties.

    Also how many columns tie. Columns run towards the patient's left.
    """
    # Labels on the wrong side, but for a number that is each column's.
    wrong = np.cumsum(left.astype(np.int8) - right.astype(np.int8), axis=1, dtype=np.int16)
    best = wrong == wrong.min(axis=1, keepdims=True)
    ties = np.count_nonzero(best, axis=1)
    middle: NDArray[np.float64] = (best @ np.arange(wrong.shape[1])) / ties + 0.5
    return middle, ties - 1


def _smoothed(
    values: NDArray[np.floating], weight: NDArray[np.floating], rows: float
) -> NDArray[np.floating]:
    """Smooth over about this many rows. Source: Whittaker, Proc Edinb Math Soc 1922."""
    bends = np.diff(np.eye(len(values)), n=2, axis=0)
    return np.linalg.solve(np.diag(weight) + rows**4 * bends.T @ bends, weight * values)
