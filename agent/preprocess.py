"""HU to network input, and network output back to the scanner's own pixels.

Pure, and the one place that fixes the frames the networks see. Training uses these very functions.

* *slab*: the mean of the slices whose height along the normal falls into one bin of ``slab_mm``, so
  that a 0.6 mm series costs no more than a 2.5 mm one; thicker slices are a slab each. Which slices
  share a slab depends on their positions alone, never on the order in which they arrive.
* *field*: a slab resampled to ``size_px`` square pixels of ``pixel_mm`` about the image's centre.
* *block*: the fixed volume (k, j, i) that the volume network sees, hung from the top of the head.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, NonNegativeInt, PositiveFloat, PositiveInt
from scipy.sparse import csr_array

from agent.records import Subtype
from agent.voxels import Grid

AIR_HU: Final = -1000.0

HEAD_HU: Final = -300.0
"""Above this a pixel is head, not air [HU]. Half way between air and scalp fat, rounded up."""

HEAD_AREA_MM2: Final = 1000.0
"""A slab with less head than this in it is above the vertex [mm²]. Ours: a disc of 36 mm."""

SUBSAMPLES: Final = 4
"""Points over which one output sample is averaged, so that shrinking does not alias."""

Floats = NDArray[np.float32]

Sparse: TypeAlias = "csr_array[np.float32]"
"""A matrix of which few weights are not 0."""


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
    taken, shares = _interpolated(at_mm, from_mm, width_mm)
    weights = np.zeros((len(at_mm), len(from_mm)), dtype=np.float32)
    rows = np.arange(len(at_mm))
    for each, share in zip(taken.T, shares.T, strict=True):
        weights[rows, each] += share
    return weights


def sparse_interpolation(
    at_mm: NDArray[np.float64], from_mm: NDArray[np.float64], width_mm: float
) -> Sparse:
    """Return ``interpolation_matrix``, of which few weights are not 0."""
    taken, shares = _interpolated(at_mm, from_mm, width_mm)
    ends = np.arange(0, taken.size + 1, taken.shape[1])
    weights = csr_array((shares.ravel(), taken.ravel(), ends), (len(at_mm), len(from_mm)))
    weights.sum_duplicates()
    return weights


def _interpolated(
    at_mm: NDArray[np.float64], from_mm: NDArray[np.float64], width_mm: float
) -> tuple[NDArray[np.intp], Floats]:
    """Return of which samples (at, some) each point is made, and their shares (at, some)."""
    offsets = axis_mm(SUBSAMPLES, width_mm / SUBSAMPLES)
    points = (at_mm[:, None] + offsets).ravel()
    if len(from_mm) == 1:
        inside = np.abs(points - from_mm[0]) <= width_mm / 2
        taken = np.zeros((len(points), 1), dtype=np.intp)
        shares = inside[:, None] * 1.0
    else:
        first, last = np.diff(from_mm)[[0, -1]] / 2
        inside = (points >= from_mm[0] - first) & (points <= from_mm[-1] + last)
        clipped = np.clip(points, from_mm[0], from_mm[-1])
        below = np.clip(np.searchsorted(from_mm, clipped, side="right") - 1, 0, len(from_mm) - 2)
        above = (clipped - from_mm[below]) / (from_mm[below + 1] - from_mm[below])
        taken = np.column_stack([below, below + 1])
        shares = np.column_stack([1.0 - above, above]) * inside[:, None]
    n_at = len(at_mm)
    return taken.reshape(n_at, -1), (shares / SUBSAMPLES).astype(np.float32).reshape(n_at, -1)


def field_matrices(grid: Grid, contract: SliceInput) -> tuple[Sparse, Sparse]:
    """Matrices (rows, columns) that take a slice of ``grid`` to its field: ``R @ slice @ C.T``."""
    at_mm = axis_mm(contract.size_px, contract.pixel_mm)
    rows_mm = axis_mm(grid.rows, grid.row_spacing_mm)
    columns_mm = axis_mm(grid.columns, grid.column_spacing_mm)
    return (
        sparse_interpolation(at_mm, rows_mm, contract.pixel_mm),
        sparse_interpolation(at_mm, columns_mm, contract.pixel_mm),
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


def field_from_slices(slices: NDArray[np.int16], matrices: tuple[Sparse, Sparse]) -> Floats:
    """Average the slices (n, rows, columns) [HU] of one slab and resample them to its field [HU].

    What lies outside the image is air.
    """
    rows, columns = matrices
    slab = slices.mean(axis=0, dtype=np.float32) - np.float32(AIR_HU)
    field: Floats = (columns @ (rows @ slab).T).T + np.float32(AIR_HU)
    return np.ascontiguousarray(field)


def head_area_mm2(field: Floats, contract: SliceInput) -> float:
    """Area of a field (row, column) [HU] that is head and not air [mm²]."""
    return int(np.count_nonzero(field > HEAD_HU)) * contract.pixel_mm**2


def windowed(hu: Floats, windows_hu: tuple[tuple[float, float], ...]) -> Floats:
    """Clip and scale to 0…1 by each window: (…, rows, columns) → (windows, …, rows, columns)."""
    channels = np.empty((len(windows_hu), *hu.shape), dtype=np.float32)
    for channel, (low, high) in zip(channels, windows_hu, strict=True):
        np.subtract(hu, low, out=channel)
        np.divide(channel, high - low, out=channel)
        np.clip(channel, 0.0, 1.0, out=channel)
    return channels


def slice_input(fields: tuple[Floats, ...], contract: SliceInput) -> Floats:
    """Build one sample (channels, row, column) from the fields [HU] of a slab and its neighbours.

    ``fields`` runs from the lowest neighbour to the highest; at an end of the stack the last slab
    stands in for the one that is not there.
    """
    return np.concatenate([windowed(field, contract.windows_hu) for field in fields])


def block_of(
    areas_mm2: NDArray[np.float64],
    slab_heights_mm: NDArray[np.float64],
    slide_ji_mm: NDArray[np.float64],
    volume: VolumeInput,
) -> Block:
    """Hang the volume network's block from the highest slab that still shows head.

    Parameters
    ----------
    areas_mm2 : (slab,)
        ``head_area_mm2`` of each slab's field, ascending.
    slab_heights_mm : (slab,)
        Their heights along the normal [mm].
    slide_ji_mm : (slab, 2)
        How far each slab's field centre lies from that of the middle slab, along j and i [mm].
    """
    with_head = np.flatnonzero(areas_mm2 >= HEAD_AREA_MM2)
    top_mm = float(slab_heights_mm[with_head[-1] if len(with_head) else -1])
    step_mm, count = volume.voxel_kji_mm[0], volume.shape_kji[0]
    heights_mm = top_mm - step_mm * np.arange(count - 1, -1, -1, dtype=np.float64)
    return Block(heights_mm, slab_heights_mm, slide_ji_mm)


def reached(block: Block, contracts: tuple[SliceInput, VolumeInput]) -> NDArray[np.bool_]:
    """Say which slabs (slab,) the block is made of, or says anything of; the others need not run.

    For those ``volume_input`` takes nothing, and ``FromBlock`` gives 0.
    """
    slices, volume = contracts
    makes = _along_k(block, volume).any(axis=0)
    told = interpolation_matrix(block.slab_heights_mm, block.heights_mm, slices.slab_mm).any(axis=1)
    return np.logical_or(makes, told)


def _along_k(block: Block, volume: VolumeInput) -> Floats:
    """Weights (k, slab) that make the block's levels of slabs."""
    return interpolation_matrix(block.heights_mm, block.slab_heights_mm, volume.voxel_kji_mm[0])


def block_columns(slide_i_mm: float, contracts: tuple[SliceInput, VolumeInput]) -> Sparse:
    """Matrix that takes a field's columns to the block's, for a slab that has slid along i."""
    return _to_block(2, slide_i_mm, contracts)


def narrowed(
    field: Floats, probabilities: Floats, columns: Sparse, contract: VolumeInput
) -> Floats:
    """Take one slab half the way to the block: (row, channel, i), on the block's columns.

    ``field`` (row, column) [HU]; ``probabilities`` (class, row, column) with class 0 no bleed. The
    other half, its rows, waits until all slabs are there: a tilted gantry makes slabs slide along
    j, and against which slab that counts is not known before.
    """
    channels = *probabilities[1:], *windowed(field, contract.windows_hu)
    return np.stack([(columns @ channel.T).T for channel in channels], axis=1)


def volume_input(
    block: Block, slabs: Mapping[int, Floats], contracts: tuple[SliceInput, VolumeInput]
) -> Floats:
    """Build the volume network's input (1, channels, k, j, i) of ``narrowed`` slabs, by number.

    Slabs are slid back under one another before they are stacked. All that the block is made of
    (``reached``) must be there.
    """
    volume = contracts[1]
    n, _, height, width = volume.shape[1:]
    along_k = _along_k(block, volume)
    slides_j_mm = block.slide_ji_mm[:, 0].tolist()
    rows = {slide_mm: _to_block(1, slide_mm, contracts) for slide_mm in set(slides_j_mm)}
    sample = np.zeros(volume.shape, dtype=np.float32)
    share = np.empty((n, height, width), dtype=np.float32)
    for slab in np.flatnonzero(along_k.any(axis=0)).tolist():
        shrunk = rows[slides_j_mm[slab]] @ slabs[slab].reshape(len(slabs[slab]), -1)
        by_channel = shrunk.reshape(height, n, width).swapaxes(0, 1)
        for k in np.flatnonzero(along_k[:, slab]).tolist():
            sample[0, :, k] += np.multiply(by_channel, along_k[k, slab], out=share)
    return sample


class FromBlock:
    """Brings what the volume network says back to the fields of slabs; 0 outside the block."""

    def __init__(self, block: Block, contracts: tuple[SliceInput, VolumeInput]) -> None:
        """Fit to a block."""
        self._block, (self._slices, self._volume) = block, contracts
        self._along_k = interpolation_matrix(
            block.slab_heights_mm, block.heights_mm, self._slices.slab_mm
        )
        self._within: dict[tuple[int, float], Floats] = {}
        """Weights (pixel of a field, voxel) by axis and slide: most slabs have the same."""

    def slab(self, number: int, values: Floats, part: tuple[slice, slice]) -> Floats:
        """Bring (class, k, j, i) to a ``part``, rows and columns, of the field of one slab.

        Returns (class, row, column).
        """
        slide_j_mm, slide_i_mm = self._block.slide_ji_mm[number].tolist()
        along_k = self._along_k[number]
        rows = self._weights(1, slide_j_mm)[part[0]]
        columns = self._weights(2, slide_i_mm)[part[1]]
        k, j, i = (_span(weights) for weights in (along_k[None], rows, columns))
        at_slab = np.tensordot(along_k[k], values[:, k, j, i], axes=(0, 1))
        field: Floats = rows[:, j] @ at_slab @ columns[:, i].T
        return field

    def _weights(self, axis: int, slide_mm: float) -> Floats:
        if (axis, slide_mm) not in self._within:
            field_mm = axis_mm(self._slices.size_px, self._slices.pixel_mm) + slide_mm
            self._within[axis, slide_mm] = interpolation_matrix(
                field_mm, _block_axis(self._volume, axis), self._slices.pixel_mm
            )
        return self._within[axis, slide_mm]


def _span(weights: Floats) -> slice:
    """Return the columns (at, from) of a matrix from the first to the last that weighs anything."""
    used = np.flatnonzero(weights.any(axis=0))
    return slice(int(used[0]), int(used[-1]) + 1) if len(used) else slice(0)


def nearest_in_block(
    block: Block,
    rows_mm: NDArray[np.float64],
    columns_mm: NDArray[np.float64],
    volume: VolumeInput,
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """Find the block voxels nearest to points of slabs' images, given from their centre [mm].

    Returns the block's k of each slab (slab,), the j of its rows (slab, row) and the i of its
    columns (slab, column); one past the last for what lies outside the block.
    """
    slide_j_mm, slide_i_mm = block.slide_ji_mm.T[:, :, None]
    return (
        _nearest(block.slab_heights_mm - block.heights_mm[0], volume, 0),
        _nearest(rows_mm + slide_j_mm - _block_axis(volume, 1)[0], volume, 1),
        _nearest(columns_mm + slide_i_mm - _block_axis(volume, 2)[0], volume, 2),
    )


def _nearest(
    from_first_mm: NDArray[np.float64], volume: VolumeInput, axis: int
) -> NDArray[np.intp]:
    count = volume.shape_kji[axis]
    nearest = np.rint(from_first_mm / volume.voxel_kji_mm[axis]).astype(np.intp)
    return np.where((nearest >= 0) & (nearest < count), nearest, count)


def _block_axis(volume: VolumeInput, axis: int) -> NDArray[np.float64]:
    return axis_mm(volume.shape_kji[axis], volume.voxel_kji_mm[axis])


def _to_block(axis: int, slide_mm: float, contracts: tuple[SliceInput, VolumeInput]) -> Sparse:
    """Matrix from a field to the block along one axis (1 for j, 2 for i)."""
    slices, volume = contracts
    field_mm = axis_mm(slices.size_px, slices.pixel_mm) + slide_mm
    at_mm = _block_axis(volume, axis)
    return sparse_interpolation(at_mm, field_mm, volume.voxel_kji_mm[axis])
