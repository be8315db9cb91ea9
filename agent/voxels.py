"""Values that hold arrays: where a head's voxels lie, what they show, how they are labelled.

Apart from ``agent.records``, because a command that only reads the store waits for no numpy. Array
axes are always (k, j, i) = (slice, row, column); positions are DICOM patient coordinates, LPS.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from agent.errors import BadOutputError, GeometryError
from agent.records import MM3_PER_ML, Gap, Region, Subtype, Vector


@dataclass(frozen=True)
class Grid:
    """Where the voxel centres of a stack of parallel slices lie.

    ``origins_lps_mm`` (k, 3) holds each slice's own voxel (0, 0), ascending along the normal, so
    that neither uneven spacing nor a tilted gantry (which shears the stack) is lost.
    ``row_spacing_mm`` is the distance between rows (along j), ``column_spacing_mm`` that between
    columns. ``end_thickness_mm`` is the nominal slice thickness, for a slice without a neighbour.
    ``slab_shares_mm`` (k,) is what each plane stands for where they are slabs of several slices.
    """

    origins_lps_mm: NDArray[np.float64]
    row_direction: Vector
    column_direction: Vector
    row_spacing_mm: float
    column_spacing_mm: float
    rows: int
    columns: int
    end_thickness_mm: float | None = None
    slab_shares_mm: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        """Refuse a stack that cannot give a volume."""
        if self.origins_lps_mm.ndim != 2 or self.origins_lps_mm.shape[1:] != (3,):  # noqa: PLR2004
            raise GeometryError("origins_malformed", shape=str(self.origins_lps_mm.shape))
        if not np.isfinite(self.origins_lps_mm).all():
            raise GeometryError("position_not_finite")
        spacings = (self.row_spacing_mm, self.column_spacing_mm)
        if not (np.isfinite(spacings).all() and min(spacings) > 0):
            raise GeometryError(
                "pixel_spacing_unusable",
                row_mm=self.row_spacing_mm,
                column_mm=self.column_spacing_mm,
            )
        if len(self.origins_lps_mm) > 1 and not (np.diff(self.heights_mm) > 0).all():
            raise GeometryError("slices_share_position")
        alone = len(self.origins_lps_mm) == 1 and self.slab_shares_mm is None
        if alone and not self.end_thickness_mm:
            raise GeometryError("thickness_unknown")

    @property
    def shape_kji(self) -> tuple[int, int, int]:
        """Slices, rows, columns."""
        return len(self.origins_lps_mm), self.rows, self.columns

    @cached_property
    def normal(self) -> NDArray[np.float64]:
        """Unit vector along which slices ascend (k grows)."""
        normal: NDArray[np.float64] = np.cross(self.row_direction, self.column_direction)
        return normal / float(np.linalg.norm(normal))

    @cached_property
    def heights_mm(self) -> NDArray[np.float64]:
        """Each slice's position along the normal [mm]."""
        heights: NDArray[np.float64] = self.origins_lps_mm @ self.normal
        return heights

    @cached_property
    def shares_mm(self) -> NDArray[np.float64]:
        """What each slice stands for along the normal [mm]: half the gap on either side."""
        if self.slab_shares_mm is not None:
            return self.slab_shares_mm
        if len(self.heights_mm) == 1:
            return np.array([self.end_thickness_mm], dtype=np.float64)
        gaps = np.diff(self.heights_mm)
        below, above = np.r_[gaps[0], gaps], np.r_[gaps, gaps[-1]]
        shares: NDArray[np.float64] = (below + above) / 2
        return shares

    @property
    def voxels_ml(self) -> NDArray[np.float64]:
        """Volume of one voxel of each slice (k,) [mL]."""
        return self.shares_mm * (self.row_spacing_mm * self.column_spacing_mm / MM3_PER_ML)

    def of_slabs(self, first_k: NDArray[np.intp]) -> Grid:
        """Return the grid of slabs of neighbouring slices, each from a ``first_k`` to the next.

        A slab stands for all that its slices do, and lies where the mean of that does: what is
        measured on slabs is what would be measured on slices that are alike within each.
        """
        if len(first_k) == len(self.origins_lps_mm):
            return self
        shares_mm = np.add.reduceat(self.shares_mm, first_k)
        weighted = np.add.reduceat(self.origins_lps_mm * self.shares_mm[:, None], first_k)
        return replace(self, origins_lps_mm=weighted / shares_mm[:, None], slab_shares_mm=shares_mm)

    @property
    def tilt_deg(self) -> float:
        """Angle between the slice normal and the line along which slices follow one another [deg].

        Taken from positions: the gantry tilt of (0018,1120) has no agreed sign and is often kept
        after a resampling that removed it. 0 for a single slice. Positive when slices slide
        towards smaller j as they ascend.
        """
        if len(self.origins_lps_mm) == 1:
            return 0.0
        travel = self.origins_lps_mm[-1] - self.origins_lps_mm[0]
        along_j = float(travel @ np.asarray(self.column_direction))
        return 0.0 - float(np.degrees(np.arctan2(along_j, float(travel @ self.normal))))

    def to_lps_mm(self, kji: NDArray[np.intp]) -> NDArray[np.float64]:
        """Map voxel indices (n, 3) to positions (n, 3) [mm, LPS]. Source: PS3.3 C.7.6.2.1-1."""
        along_rows = np.outer(kji[:, 2] * self.column_spacing_mm, self.row_direction)
        along_columns = np.outer(kji[:, 1] * self.row_spacing_mm, self.column_direction)
        positions: NDArray[np.float64] = self.origins_lps_mm[kji[:, 0]] + along_rows + along_columns
        return positions


@dataclass(frozen=True, slots=True, eq=False)
class HeadVolume:
    """One series as a volume: ``hu`` int16 (k, j, i), rows towards posterior, columns to the left.

    Assembly turns every axial series this way round, whatever the patient's position on the table,
    so that ``grid.row_direction`` points to the patient's left, ``grid.column_direction`` to the
    back and the normal to the head. ``sop_uids`` is in slice order.
    """

    hu: NDArray[np.int16]
    grid: Grid
    sop_uids: tuple[str, ...]
    gaps: tuple[Gap, ...]

    def __post_init__(self) -> None:
        """Refuse values that do not fill the grid."""
        if self.hu.shape != self.grid.shape_kji or len(self.sop_uids) != len(self.hu):
            raise GeometryError(
                "grid_not_filled", shape=str(self.hu.shape), grid_shape=str(self.grid.shape_kji)
            )


@dataclass(frozen=True, slots=True, eq=False)
class Regions:
    """A ``Region`` (or 0) for each voxel of some planes, which many voxels may share.

    ``labels`` (k, j, i) are all there are; ``k`` (plane,), ``j`` (plane, row) and ``i`` (plane,
    column) say which of them is a voxel's.
    """

    labels: NDArray[np.uint8]
    k: NDArray[np.intp]
    j: NDArray[np.intp]
    i: NDArray[np.intp]

    @classmethod
    def of_voxels(cls, labels: NDArray[np.uint8]) -> Regions:
        """Take a label of its own for each voxel (plane, row, column)."""
        n, rows, columns = labels.shape
        j, i = (np.broadcast_to(np.arange(count), (n, count)) for count in (rows, columns))
        return cls(labels, np.arange(n), j, i)

    @property
    def shape_kji(self) -> tuple[int, int, int]:
        """Planes, rows, columns."""
        return len(self.k), self.j.shape[1], self.i.shape[1]

    def plane(self, number: int, step: int = 1) -> NDArray[np.uint8]:
        """Return one plane (row, column), of that every ``step``-th pixel each way."""
        rows, columns = self.j[number, ::step], self.i[number, ::step]
        labels: NDArray[np.uint8] = self.labels[self.k[number]]
        return labels.take(rows, axis=0).take(columns, axis=1)

    def planes(self, step: int, step_k: int = 1) -> NDArray[np.uint8]:
        """Return every ``step_k``-th ``plane`` (plane, row, column)."""
        return np.stack([self.plane(k, step) for k in range(0, len(self.k), step_k)])

    def at(self, kji: NDArray[np.intp]) -> NDArray[np.uint8]:
        """Return the labels of voxels (n, 3)."""
        plane, row, column = kji.T
        labels: NDArray[np.uint8] = self.labels[
            self.k[plane], self.j[plane, row], self.i[plane, column]
        ]
        return labels

    def repeated(self, counts: NDArray[np.intp]) -> Regions:
        """Return each plane as often as ``counts`` (plane,) says."""
        at = (np.repeat(each, counts, axis=0) for each in (self.k, self.j, self.i))
        return Regions(self.labels, *at)


@dataclass(frozen=True, slots=True, eq=False)
class LabelMask:
    """A ``Subtype`` (or 0) and a ``Region`` (or 0) for each voxel (k, j, i), with the study score.

    ``probability`` (k, j, i), uint8 0…255, is that of any bleed. ``epidural_share`` likewise is
    epidural's of subdural and epidural together; None where labels alone are known. Planes may be
    slabs of slices that have one label: ``first_k`` (k,) is then the first slice of each, and
    ``grid`` the slabs' own.
    """

    subtypes: NDArray[np.uint8]
    regions: Regions
    probability: NDArray[np.uint8]
    grid: Grid
    score: float
    first_k: NDArray[np.intp] | None = None
    epidural_share: NDArray[np.uint8] | None = None

    def __post_init__(self) -> None:
        """Refuse labels that do not fill the grid or that nothing names."""
        voxels = self.subtypes, self.probability, self.epidural_share
        shapes = [values.shape for values in voxels if values is not None]
        for shape in (*shapes, self.regions.shape_kji):
            if shape != self.grid.shape_kji:
                raise BadOutputError(
                    "labels_off_grid", shape=str(shape), grid_shape=str(self.grid.shape_kji)
                )
        highest = int(self.subtypes.max(initial=0)), int(self.regions.labels.max(initial=0))
        if highest[0] > max(Subtype) or highest[1] > max(Region):
            raise BadOutputError("labels_unnamed", subtype=highest[0], region=highest[1])
        if not 0.0 <= self.score <= 1.0:
            raise BadOutputError("score_absurd", score=self.score)

    def slice_of(self, plane: int) -> int:
        """Return the number of a plane's slice, of a slab's lowest one."""
        return plane if self.first_k is None else int(self.first_k[plane])

    def slice_subtypes(self, grid: Grid) -> NDArray[np.uint8]:
        """Return the subtypes of the slices (k, j, i) of ``grid``."""
        if self.first_k is None:
            return self.subtypes
        of_slices = np.zeros(grid.shape_kji, dtype=np.uint8)
        ends_k = (*self.first_k[1:].tolist(), len(of_slices))
        for labels, first_k, end_k in zip(self.subtypes, self.first_k, ends_k, strict=True):
            if labels.any():  # pages that nobody writes cost nothing
                of_slices[first_k:end_k] = labels
        return of_slices

    def of_slices(self, grid: Grid) -> LabelMask:
        """Return the same labels for each slice of ``grid``."""
        if self.first_k is None:
            return self
        counts = np.diff(self.first_k, append=len(grid.heights_mm))
        subtypes, probability = (
            np.repeat(labels, counts, axis=0) for labels in (self.subtypes, self.probability)
        )
        regions = self.regions.repeated(counts)
        share = self.epidural_share
        epidural = None if share is None else np.repeat(share, counts, axis=0)
        return LabelMask(subtypes, regions, probability, grid, self.score, None, epidural)
