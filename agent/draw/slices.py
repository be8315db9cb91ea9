"""All slices of a suspicion, as they are kept to be scrolled through."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from itertools import repeat
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agent.packing import outline_png, packed
from agent.records import EncodedSlice
from agent.report import SliceStack
from agent.voxels import Grid, HeadVolume

VOLUME_DECIMALS: Final = 10
"""Of a voxel's volume in mL: a millionth of the smallest."""


def stack_of(grid: Grid, labels: NDArray[np.uint8]) -> SliceStack:
    """Describe the slices of a head; ``labels`` (k, j, i) is 0 where there is no bleed."""
    return SliceStack(
        rows=grid.rows,
        columns=grid.columns,
        spacing_mm=(grid.row_spacing_mm, grid.column_spacing_mm),
        heights_mm=tuple(np.round(grid.heights_mm, 2).tolist()),
        outlined=tuple(np.flatnonzero(labels.any(axis=(1, 2))).tolist()),
        voxels_ml=tuple(np.round(grid.voxels_ml, VOLUME_DECIMALS).tolist()),
    )


def encoded_slices(
    head: HeadVolume,
    labels: NDArray[np.uint8],
    findings: Iterable[NDArray[np.uint8] | None],
    maps: Iterable[NDArray[np.uint8] | None] | None = None,
) -> Iterator[EncodedSlice]:
    """Encode slice after slice, lowest first; ``labels`` as for ``stack_of``.

    ``findings`` holds for each slice the number of each pixel's finding, None where there is none;
    ``maps`` likewise the probabilities by each network (network, row, column), on their own matrix.
    """
    maps = repeat(None, len(head.hu)) if maps is None else maps
    slices = zip(head.hu, labels, findings, maps, strict=True)
    for k, (hu, within, numbers, both) in enumerate(slices):
        outline = outline_png(within > 0, hu) if within.any() else None
        yield EncodedSlice(k, packed(hu), outline, _deflated(numbers), _deflated(both))


def _deflated(values: NDArray[np.uint8] | None) -> bytes | None:
    return None if values is None else zlib.compress(values.tobytes())
