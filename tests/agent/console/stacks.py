"""Kept slices whose every pixel is known on paper."""

from __future__ import annotations

import numpy as np

from agent.draw.slices import encoded_slices, stack_of
from agent.measure import numbered_slices
from agent.records import HeadVolume
from tests import heads
from tests.agent.stored import Store

SIZE = 64
WINDOWS_HU = {"brain": (40, 80), "subdural": (80, 200), "bone": (500, 2000)}
"""Level and width."""
BLEED = slice(20, 40), slice(24, 44)
OUTLINED = 4, 5, 6


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
    keep(store, HeadVolume(hu.astype(np.int16), grid, ("",) * n, ()), labels, uid, revision)


def keep(
    store: Store, head: HeadVolume, labels: np.ndarray, uid: str = "1.2.3.4", revision: int = 1
) -> None:
    """Keep a head's slices with a result."""
    findings = numbered_slices(labels, head.grid.voxels_ml)
    for _ in store.agent.keep_slices(
        uid, revision, stack_of(head.grid, labels), encoded_slices(head, labels, findings)
    ):
        pass
