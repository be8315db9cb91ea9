"""The volume stage: all slabs through the volume network, both answers onto the scanner's grid."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agent.infer.backend import Backend
from agent.infer.contract import Contract
from agent.infer.slice_stage import SliceOutput, slab_frame
from agent.preprocess import (
    Block,
    SliceInput,
    VolumeInput,
    axis_mm,
    block_of,
    image_matrices,
    nearest_in_block,
    slab_from_block,
    volume_input,
)
from agent.records import HeadVolume, LabelMask


def label_head(
    head: HeadVolume, slices: SliceOutput, contract: Contract, backend: Backend
) -> LabelMask:
    """Refine, name and place what the slice stage saw.

    A voxel's bleed probability is the geometric mean of the two stages': the slice stage sees fine
    detail, the volume stage context, and a bleed needs both. The subtype is the volume stage's.

    Raises
    ------
    InferenceError
        If the network fails, or gives what cannot be trusted.
    """
    inputs, least = (contract.slices, contract.volume), contract.reading.bleed_probability
    heights_mm, slide_ji_mm = slab_frame(head.grid, slices.slabs)
    block = block_of(slices.fields, heights_mm, slide_ji_mm, inputs)
    output = backend.run_volume(volume_input(block, slices.fields, slices.probabilities, inputs))
    subtypes = np.zeros(head.grid.shape_kji, dtype=np.uint8)
    probability = np.zeros(head.grid.shape_kji, dtype=np.uint8)
    regions = np.zeros(head.grid.shape_kji, dtype=np.uint8)
    to_image = image_matrices(head.grid, contract.slices)
    to_pixels = _nearest_field_pixels(head, contract.slices)
    anatomy = np.pad(output.anatomy.astype(np.uint8), (0, 1))  # nothing, one past each end
    for number, slab in enumerate(slices.slabs):
        regions[slab.first_k : slab.end_k] = _regions(head, block, number, anatomy, contract.volume)
        bleed = (1.0 - slices.probabilities[number, 0]).clip(0.0, 1.0)
        if bleed.max() < least**2:
            continue  # no certainty of the volume network would make it bleed
        refined = slab_from_block(block, number, output.bleed, inputs)
        fused = np.sqrt(bleed * refined[1:].sum(axis=0).clip(0.0, 1.0))
        names = refined[1:].argmax(axis=0).astype(np.uint8) + 1
        image = to_image[0] @ fused @ to_image[1].T
        subtypes[slab.first_k : slab.end_k] = np.where(image >= least, names[to_pixels], 0)
        probability[slab.first_k : slab.end_k] = np.rint(image.clip(0.0, 1.0) * 255)
    return LabelMask(subtypes, regions, probability, head.grid, output.score)


def _nearest_field_pixels(
    head: HeadVolume, contract: SliceInput
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Index arrays that pick, for every pixel of an image, the nearest one of its field."""
    rows, columns = (
        np.rint(axis_mm(count, spacing_mm) / contract.pixel_mm + (contract.size_px - 1) / 2)
        .astype(np.intp)
        .clip(0, contract.size_px - 1)
        for count, spacing_mm in (
            (head.grid.rows, head.grid.row_spacing_mm),
            (head.grid.columns, head.grid.column_spacing_mm),
        )
    )
    return rows[:, None], columns[None, :]


def _regions(
    head: HeadVolume, block: Block, number: int, anatomy: NDArray[np.uint8], contract: VolumeInput
) -> NDArray[np.uint8]:
    """Anatomy labels of one slab on the scanner's pixels; ``anatomy`` is one longer each way."""
    grid = head.grid
    k, j, i = nearest_in_block(
        block,
        number,
        axis_mm(grid.rows, grid.row_spacing_mm),
        axis_mm(grid.columns, grid.column_spacing_mm),
        contract,
    )
    labels: NDArray[np.uint8] = anatomy[k][j][:, i]
    return labels
