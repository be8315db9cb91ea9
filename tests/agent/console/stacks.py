"""Kept slices whose every pixel is known on paper."""

from __future__ import annotations

import numpy as np

from agent.draw.slices import encoded_slices, stack_of
from agent.measure import numbered_slices
from agent.voxels import HeadVolume
from tests import heads
from tests.agent.stored import Store

SIZE = 64
WINDOWS_HU = {"brain": (40, 80), "subdural": (80, 200), "bone": (500, 2000)}
"""Level and width."""
BLEED = slice(20, 40), slice(24, 44)
OUTLINED = 4, 5, 6
FIELD_MM = SIZE * 1.8
"""The networks' field is as large as the slice."""


def hu_of(k: int) -> int:
    """Return what all of slice ``k`` is filled with."""
    return 4 * k + 3


def grey_of(k: int, window: str) -> int:
    """Return the grey value that slice ``k`` has in a window."""
    level, width = WINDOWS_HU[window]
    return round(min(1.0, max(0.0, (hu_of(k) - level) / width + 0.5)) * 255)


def keep_stack(
    store: Store, uid: str = "1.2.3.4", revision: int = 1, n: int = 12, size: int = SIZE
) -> None:
    """Keep ``n`` slices 5 mm apart with a result, three of them with an outline."""
    grid = heads.axial_grid(5.0 * np.arange(n), rows=size, columns=size)
    hu = np.broadcast_to(np.array([hu_of(k) for k in range(n)])[:, None, None], grid.shape_kji)
    labels = np.zeros(grid.shape_kji, np.uint8)
    labels[OUTLINED[0] : OUTLINED[-1] + 1, BLEED[0], BLEED[1]] = 1
    head = HeadVolume(hu.astype(np.int16), grid, ("",) * n, ())
    maps = [None if first is None or first != k else MAPS for k, first in enumerate(mapped(n))]
    stack = stack_of(grid, labels).model_copy(update={"field_mm": FIELD_MM, "mapped": mapped(n)})
    slices = encoded_slices(head, labels, numbered_slices(labels, grid.voxels_ml), maps)
    for _ in store.agent.keep_slices(uid, revision, stack, slices):
        pass


MAPS = np.zeros((2, 8, 8), np.uint8)
"""The slice network sees blood in the upper half, the volume network in the left one."""
MAPS[0, :4] = MAPS[1, :, :4] = 255


def mapped(n: int) -> tuple[int | None, ...]:
    """Two slices share a map; of the lowest two the networks saw nothing."""
    return None, None, *(k // 2 * 2 for k in range(2, n))


def keep(
    store: Store,
    head: HeadVolume,
    labels: np.ndarray,
    uid: str = "1.2.3.4",
    revision: int = 1,
    *,
    vertex_mm: float | None = None,
) -> None:
    """Keep a head's slices with a result."""
    findings = numbered_slices(labels, head.grid.voxels_ml)
    stack = stack_of(head.grid, labels).model_copy(update={"vertex_mm": vertex_mm})
    for _ in store.agent.keep_slices(uid, revision, stack, encoded_slices(head, labels, findings)):
        pass
