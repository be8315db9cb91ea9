"""HU to network input, and network output back to the scanner's own pixels.

Pure, and the one place that fixes the frames the networks see. Training uses these very functions.

* *slab*: the mean of the slices whose height along the normal falls into one bin of ``slab_mm``, so
  that a 0.6 mm series costs no more than a 2.5 mm one; thicker slices are a slab each. Which slices
  share a slab depends on their positions alone, never on the order in which they arrive.
* *field*: a slab resampled to ``size_px`` square pixels of ``pixel_mm`` about the image's centre.
* *block*: the fixed volume (k, j, i) that the volume network sees, hung from the top of the head.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, NonNegativeInt, PositiveFloat, PositiveInt
from scipy.sparse import csr_array

from agent.records import Grid, Subtype

AIR_HU: Final = -1000.0

HEAD_HU: Final = -300.0
"""Above this a pixel is head, not air [HU]. Half way between air and scalp fat, rounded up."""

HEAD_AREA_MM2: Final = 1000.0
"""A slab with less head than this in it is above the vertex [mm²]. Ours: a disc of 36 mm."""

SUBSAMPLES: Final = 4
"""Points over which one output sample is averaged, so that shrinking does not alias."""

Floats = NDArray[np.float32]


def _rising(window_hu: tuple[float, float]) -> tuple[float, float]:
    if window_hu[0] >= window_hu[1]:
        raise ValueError(f"the window {window_hu} HU does not rise")
    return window_hu


Window = Annotated[tuple[float, float], AfterValidator(_rising)]
"""HU that become 0 and 1."""


@dataclass(frozen=True, slots=True)
class SliceInput:
    """What the slice network takes: (batch, channels, size_px, size_px), float32.

    Channels run over slabs from ``neighbours`` below to ``neighbours`` above, and within each over
    ``windows_hu``; each window is clipped and scaled to 0…1.
    """

    pixel_mm: PositiveFloat
    size_px: PositiveInt
    slab_mm: PositiveFloat
    neighbours: NonNegativeInt
    windows_hu: tuple[Window, ...]
    batch: PositiveInt

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Batch, channel, row, column."""
        channels = (2 * self.neighbours + 1) * len(self.windows_hu)
        return self.batch, channels, self.size_px, self.size_px


@dataclass(frozen=True, slots=True)
class VolumeInput:
    """What the volume network takes: (1, channels, *shape_kji), float32.

    Channels are the five subtype probabilities of the slice network, then ``windows_hu`` as above.
    """

    voxel_kji_mm: tuple[PositiveFloat, PositiveFloat, PositiveFloat]
    shape_kji: tuple[PositiveInt, PositiveInt, PositiveInt]
    windows_hu: tuple[Window, ...]

    @property
    def shape(self) -> tuple[int, int, int, int, int]:
        """Batch of one, channel, k, j, i."""
        return 1, len(Subtype) + len(self.windows_hu), *self.shape_kji


@dataclass(frozen=True, slots=True)
class Block:
    """Where a series' block lies: heights along the normal, and each slab's slide within the plane.

    ``heights_mm`` (k,) ascends. ``slide_ji_mm`` (slab, 2) is how far each slab's field centre lies
    from that of the reference slab, along j and i: a tilted gantry makes slabs slide.
    """

    heights_mm: NDArray[np.float64]
    slab_heights_mm: NDArray[np.float64]
    slide_ji_mm: NDArray[np.float64]


def slab_number(height_mm: float, slab_mm: float) -> int:
    """Name the slab that a slice at ``height_mm`` along the normal belongs to."""
    return int(np.floor(height_mm / slab_mm))


def axis_mm(count: int, spacing_mm: float) -> NDArray[np.float64]:
    """Centres of ``count`` samples about 0 [mm]."""
    centres = np.arange(count, dtype=np.float64) - (count - 1) / 2
    return centres * spacing_mm


def interpolation_matrix(
    at_mm: NDArray[np.float64], from_mm: NDArray[np.float64], width_mm: float
) -> Floats:
    """Weights (at, from) that average linear interpolation over ``width_mm`` about each point.

    ``from_mm`` must ascend. A point further outside than half the spacing at that end weighs 0.
    """
    offsets = axis_mm(SUBSAMPLES, width_mm / SUBSAMPLES)
    points = (at_mm[:, None] + offsets).ravel()
    weights = np.zeros((len(points), len(from_mm)), dtype=np.float32)
    if len(from_mm) == 1:
        weights[np.abs(points - from_mm[0]) <= width_mm / 2, 0] = 1.0
    else:
        first, last = np.diff(from_mm)[[0, -1]] / 2
        inside = np.flatnonzero((points >= from_mm[0] - first) & (points <= from_mm[-1] + last))
        clipped = np.clip(points[inside], from_mm[0], from_mm[-1])
        below = np.clip(np.searchsorted(from_mm, clipped, side="right") - 1, 0, len(from_mm) - 2)
        share = (clipped - from_mm[below]) / (from_mm[below + 1] - from_mm[below])
        weights[inside, below] = 1.0 - share
        weights[inside, below + 1] = share
    averaged: Floats = weights.reshape(len(at_mm), SUBSAMPLES, len(from_mm)).mean(axis=1)
    return averaged


def field_matrices(grid: Grid, contract: SliceInput) -> tuple[Floats, Floats]:
    """Matrices (rows, columns) that take a slice of ``grid`` to its field: ``R @ slice @ C.T``."""
    at_mm = axis_mm(contract.size_px, contract.pixel_mm)
    rows_mm = axis_mm(grid.rows, grid.row_spacing_mm)
    columns_mm = axis_mm(grid.columns, grid.column_spacing_mm)
    return (
        interpolation_matrix(at_mm, rows_mm, contract.pixel_mm),
        interpolation_matrix(at_mm, columns_mm, contract.pixel_mm),
    )


def image_matrices(grid: Grid, contract: SliceInput) -> tuple[Floats, Floats]:
    """Matrices (rows, columns) that take a field back to the pixels of a slice of ``grid``."""
    from_mm = axis_mm(contract.size_px, contract.pixel_mm)
    rows_mm = axis_mm(grid.rows, grid.row_spacing_mm)
    columns_mm = axis_mm(grid.columns, grid.column_spacing_mm)
    return (
        interpolation_matrix(rows_mm, from_mm, grid.row_spacing_mm),
        interpolation_matrix(columns_mm, from_mm, grid.column_spacing_mm),
    )


def field_from_slices(slices: NDArray[np.int16], matrices: tuple[Floats, Floats]) -> Floats:
    """Average the slices (n, rows, columns) [HU] of one slab and resample them to its field [HU].

    What lies outside the image is air.
    """
    rows, columns = matrices
    slab = slices.mean(axis=0, dtype=np.float32) - np.float32(AIR_HU)
    field: Floats = rows @ slab @ columns.T + np.float32(AIR_HU)
    return field


def windowed(hu: Floats, windows_hu: tuple[tuple[float, float], ...]) -> Floats:
    """Clip and scale to 0…1 by each window: (…, rows, columns) → (windows, …, rows, columns)."""
    return np.stack([np.clip((hu - low) / (high - low), 0.0, 1.0) for low, high in windows_hu])


def slice_input(fields: tuple[Floats, ...], contract: SliceInput) -> Floats:
    """Build one sample (channels, row, column) from the fields [HU] of a slab and its neighbours.

    ``fields`` runs from the lowest neighbour to the highest; at an end of the stack the last slab
    stands in for the one that is not there.
    """
    return np.concatenate([windowed(field, contract.windows_hu) for field in fields])


def block_of(
    fields: Floats,
    slab_heights_mm: NDArray[np.float64],
    slide_ji_mm: NDArray[np.float64],
    contracts: tuple[SliceInput, VolumeInput],
) -> Block:
    """Hang the volume network's block from the highest slab that still shows head.

    Parameters
    ----------
    fields : (slab, row, column)
        Fields of all slabs, ascending [HU].
    slab_heights_mm : (slab,)
        Their heights along the normal [mm].
    slide_ji_mm : (slab, 2)
        How far each slab's field centre lies from that of the middle slab, along j and i [mm].
    """
    slices, volume = contracts
    areas_mm2 = (fields > HEAD_HU).sum(axis=(1, 2)) * slices.pixel_mm**2
    with_head = np.flatnonzero(areas_mm2 >= HEAD_AREA_MM2)
    top_mm = float(slab_heights_mm[with_head[-1] if len(with_head) else -1])
    step_mm, count = volume.voxel_kji_mm[0], volume.shape_kji[0]
    heights_mm = top_mm - step_mm * np.arange(count - 1, -1, -1, dtype=np.float64)
    return Block(heights_mm, slab_heights_mm, slide_ji_mm)


def volume_input(
    block: Block, fields: Floats, probabilities: Floats, contracts: tuple[SliceInput, VolumeInput]
) -> Floats:
    """Build the volume network's input (1, channels, k, j, i).

    ``fields`` (slab, row, column) [HU]; ``probabilities`` (slab, class, row, column) with class 0
    no bleed. Slabs are slid back under one another before they are stacked.
    """
    slices, volume = contracts
    hu = windowed(fields, volume.windows_hu)
    stack = np.concatenate([probabilities[:, 1:], hu.swapaxes(0, 1)], axis=1)
    matrices = _block_matrices(block, slices, volume)
    shrunk = np.stack([_both_ways(*pair, slab) for pair, slab in zip(matrices, stack, strict=True)])
    step_mm = volume.voxel_kji_mm[0]
    along_k = interpolation_matrix(block.heights_mm, block.slab_heights_mm, step_mm)
    sample: Floats = np.tensordot(along_k, shrunk, axes=(1, 0)).swapaxes(0, 1)
    return np.ascontiguousarray(sample[None])


def _both_ways(rows: Floats, columns: Floats, channels: Floats) -> Floats:
    """Work out ``rows @ channels @ columns.T`` (channel, row, column); few weights are not 0."""
    n, _, width = channels.shape
    down = csr_array(rows) @ channels.swapaxes(0, 1).reshape(-1, n * width)
    across = csr_array(columns) @ down.reshape(-1, n, width).transpose(2, 1, 0).reshape(width, -1)
    both: Floats = across.reshape(len(columns), n, -1).transpose(1, 2, 0)
    return both


def slab_from_block(
    block: Block, slab: int, values: Floats, contracts: tuple[SliceInput, VolumeInput]
) -> Floats:
    """Bring the volume network's (class, k, j, i) back to the field of one slab.

    Returns (class, row, column); 0 outside the block.
    """
    slices, volume = contracts
    height_mm = block.slab_heights_mm[slab : slab + 1]
    along_k = interpolation_matrix(height_mm, block.heights_mm, slices.slab_mm)[0]
    used = np.flatnonzero(along_k)
    at_slab = np.tensordot(along_k[used], values[:, used], axes=(0, 1))
    field_mm = axis_mm(slices.size_px, slices.pixel_mm)
    slide_j_mm, slide_i_mm = block.slide_ji_mm[slab]
    rows, columns = (
        interpolation_matrix(field_mm + slide_mm, _block_axis(volume, axis), slices.pixel_mm)
        for axis, slide_mm in ((1, slide_j_mm), (2, slide_i_mm))
    )
    field: Floats = rows @ at_slab @ columns.T
    return field


def nearest_in_block(
    block: Block,
    slab: int,
    rows_mm: NDArray[np.float64],
    columns_mm: NDArray[np.float64],
    volume: VolumeInput,
) -> tuple[int, NDArray[np.intp], NDArray[np.intp]]:
    """Find the block voxels nearest to points of a slab's images, given from their centre [mm].

    Returns the block's k, the j of each row and the i of each column; one past the last for what
    lies outside the block.
    """
    step_mm = volume.voxel_kji_mm[0]
    k = round((block.slab_heights_mm[slab] - block.heights_mm[0]) / step_mm)
    slide_j_mm, slide_i_mm = block.slide_ji_mm[slab]
    return (
        k if 0 <= k < volume.shape_kji[0] else volume.shape_kji[0],
        _nearest(rows_mm + slide_j_mm, volume, 1),
        _nearest(columns_mm + slide_i_mm, volume, 2),
    )


def _nearest(points_mm: NDArray[np.float64], volume: VolumeInput, axis: int) -> NDArray[np.intp]:
    first_mm, count = _block_axis(volume, axis)[0], volume.shape_kji[axis]
    nearest = np.rint((points_mm - first_mm) / volume.voxel_kji_mm[axis]).astype(np.intp)
    return np.where((nearest >= 0) & (nearest < count), nearest, count)


def _block_axis(volume: VolumeInput, axis: int) -> NDArray[np.float64]:
    return axis_mm(volume.shape_kji[axis], volume.voxel_kji_mm[axis])


def _block_matrices(
    block: Block, slices: SliceInput, volume: VolumeInput
) -> list[tuple[Floats, Floats]]:
    field_mm = axis_mm(slices.size_px, slices.pixel_mm)
    return [
        (
            interpolation_matrix(
                _block_axis(volume, 1), field_mm + slide_j_mm, volume.voxel_kji_mm[1]
            ),
            interpolation_matrix(
                _block_axis(volume, 2), field_mm + slide_i_mm, volume.voxel_kji_mm[2]
            ),
        )
        for slide_j_mm, slide_i_mm in block.slide_ji_mm
    ]
