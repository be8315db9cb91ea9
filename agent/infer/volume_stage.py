"""The volume stage: all slabs through the volume network, its answer onto the scanner's pixels."""

from __future__ import annotations

import math
import mmap
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agent.infer.backend import Backend, Floats, VolumeOutput
from agent.infer.contract import Contract
from agent.infer.slice_stage import SliceOutput, slab_frame
from agent.preprocess import (
    Block,
    FromBlock,
    SliceInput,
    axis_mm,
    block_of,
    image_matrices,
    nearest_in_block,
    volume_input,
)
from agent.records import Subtype
from agent.voxels import Grid, HeadVolume, LabelMask, Regions

BESIDE_PX: Final = 2
"""A pixel of an image is made of field pixels to one beyond its edges: two of these, that one
pixel is made of, lie so much further apart than the pixel is wide."""


@dataclass(frozen=True, slots=True, eq=False)
class SeenVolume:
    """What the volume network said of a head, and where its block lies."""

    block: Block
    output: VolumeOutput


def label_head(
    head: HeadVolume, slices: SliceOutput, contract: Contract, backend: Backend
) -> LabelMask:
    """Label what both stages see of a head: ``labels_of`` what ``run_volume`` gives.

    Raises
    ------
    InferenceError
        If the network fails, or gives what cannot be trusted.
    """
    return labels_of(head, slices, contract, run_volume(head, slices, contract, backend))


def run_volume(
    head: HeadVolume, slices: SliceOutput, contract: Contract, backend: Backend
) -> SeenVolume:
    """Show all slabs to the volume network.

    Raises
    ------
    InferenceError
        If the network fails, or gives what cannot be trusted.
    """
    heights_mm, slide_ji_mm = slab_frame(head.grid, slices.slabs)
    block = block_of(slices.areas_mm2, heights_mm, slide_ji_mm, contract.volume)
    narrowed = {number: one.narrowed for number, one in slices.seen.items()}
    inputs = contract.slices, contract.volume
    return SeenVolume(block, backend.run_volume(volume_input(block, narrowed, inputs)))


def labels_of(
    head: HeadVolume, slices: SliceOutput, contract: Contract, volume: SeenVolume
) -> LabelMask:
    """Refine, name and place what the slice stage saw, slab by slab.

    A voxel's bleed probability is the geometric mean of the two stages': the slice stage sees fine
    detail, the volume stage context, and a bleed needs both. The subtype is the volume stage's.
    """
    inputs, least = (contract.slices, contract.volume), contract.reading.bleed_probability
    block, output = volume.block, volume.output
    first_k = np.array([slab.first_k for slab in slices.slabs])
    grid = head.grid.of_slabs(first_k)
    subtypes, probability, epidural = (_zeros(grid.shape_kji) for _ in range(3))
    from_block, to_image = FromBlock(block, inputs), _ToImage.of(grid, contract.slices)
    for number, seen in slices.seen.items():
        # No certainty of the volume network would make bleed of the rest.
        part = to_image.about(seen.bleed >= least**2)
        if part is None:
            continue
        refined = from_block.slab(number, output.bleed, part)[1:]
        fused: Floats = np.sqrt(seen.bleed[part] * refined.sum(axis=0).clip(0.0, 1.0))
        at, image = to_image.image_of(fused, part)
        names = to_image.nearest(refined.argmax(axis=0).astype(np.uint8) + 1, part, at)
        subtypes[number][at] = np.where(image >= least, names, 0)
        epidural[number][at] = to_image.nearest(_epidural_share(refined), part, at)
        probability[number][at] = np.rint(image.clip(0.0, 1.0) * 255)
    regions = _regions(grid, block, output.anatomy.astype(np.uint8), contract)
    return LabelMask(subtypes, regions, probability, grid, output.score, first_k, epidural)


def _zeros(shape_kji: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Return zeros of which only what is written takes time; ``np.zeros`` may clear them all."""
    pages = mmap.mmap(-1, math.prod(shape_kji), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    return np.frombuffer(pages, dtype=np.uint8).reshape(shape_kji)


def _epidural_share(refined: Floats) -> NDArray[np.uint8]:
    """Epidural's share of what is extra-axial (j, i), 0…255, of probabilities (subtype, j, i)."""
    subdural, epidural = (refined[one - 1] for one in (Subtype.SUBDURAL, Subtype.EPIDURAL))
    share = epidural / np.maximum(subdural + epidural, np.finfo(np.float32).tiny)
    of_255: NDArray[np.uint8] = np.rint(share.clip(0.0, 1.0) * 255).astype(np.uint8)
    return of_255


Part = tuple[slice, slice]
"""Rows and columns."""


@dataclass(frozen=True, slots=True, eq=False)
class _ToImage:
    """From parts of a field to parts of an image.

    ``rows`` and ``columns`` are ``image_matrices``, ``nearest_row`` and ``nearest_column`` the
    field's pixel nearest to each of the image's.
    """

    rows: Floats
    columns: Floats
    nearest_row: NDArray[np.intp]
    nearest_column: NDArray[np.intp]
    beside_px: int

    @classmethod
    def of(cls, grid: Grid, contract: SliceInput) -> _ToImage:
        """Fit to the images of a grid."""
        sides = (grid.rows, grid.row_spacing_mm), (grid.columns, grid.column_spacing_mm)
        nearest_row, nearest_column = (
            np.rint(axis_mm(count, spacing_mm) / contract.pixel_mm + (contract.size_px - 1) / 2)
            .astype(np.intp)
            .clip(0, contract.size_px - 1)
            for count, spacing_mm in sides
        )
        widest_mm = max(grid.row_spacing_mm, grid.column_spacing_mm)
        beside_px = BESIDE_PX + int(np.ceil(widest_mm / contract.pixel_mm))
        rows, columns = image_matrices(grid, contract)
        return cls(rows, columns, nearest_row, nearest_column, beside_px)

    def about(self, wanted: NDArray[np.bool_]) -> Part | None:
        """Return the part of a field that holds all ``wanted`` pixels, and what is beside them.

        Every pixel of the image that a wanted one is part of is made of that part alone.
        """
        rows, columns = np.flatnonzero(wanted.any(axis=1)), np.flatnonzero(wanted.any(axis=0))
        if not len(rows):
            return None
        row, column = (
            slice(max(0, int(some[0]) - self.beside_px), int(some[-1]) + 1 + self.beside_px)
            for some in (rows, columns)
        )
        return row, column

    def image_of(self, values: Floats, part: Part) -> tuple[Part, Floats]:
        """Bring a part of a field to the image: where it lies there, and its values."""
        rows, columns = self.rows[:, part[0]], self.columns[:, part[1]]
        touched = [np.flatnonzero(weights.any(axis=1)) for weights in (rows, columns)]
        row, column = (
            slice(int(some[0]), int(some[-1]) + 1) if len(some) else slice(0) for some in touched
        )
        image: Floats = np.matmul(rows[row] @ values, columns[column].T)
        return (row, column), image

    def nearest(self, labels: NDArray[np.uint8], part: Part, at: Part) -> NDArray[np.uint8]:
        """Pick for each pixel of the image ``at`` the label of the field's nearest one."""
        picked = (
            (nearest[some] - within.start).clip(0, size - 1)
            for nearest, some, within, size in zip(
                (self.nearest_row, self.nearest_column), at, part, labels.shape, strict=True
            )
        )
        return labels[np.ix_(*picked)]


def _regions(grid: Grid, block: Block, anatomy: NDArray[np.uint8], contract: Contract) -> Regions:
    """Give each voxel of the slabs on the scanner's pixels the label of the block's nearest."""
    rows_mm = axis_mm(grid.rows, grid.row_spacing_mm)
    columns_mm = axis_mm(grid.columns, grid.column_spacing_mm)
    at = nearest_in_block(block, rows_mm, columns_mm, contract.volume)
    return Regions(np.pad(anatomy, (0, 1)), *at)  # nothing, one past each end
