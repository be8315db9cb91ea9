"""The seam to whatever runs the networks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class VolumeOutput:
    """What the volume network gives.

    ``bleed`` (class, k, j, i), softmax over no bleed and the subtypes; ``anatomy`` (k, j, i),
    ``Region`` or 0; ``score``, the study's, 0…1.
    """

    bleed: Floats
    anatomy: NDArray[np.int32]
    score: float


class Backend(Protocol):
    """Runs one bundle's two networks. Used by one thread at a time."""

    @property
    def name(self) -> str:
        """What runs them, as a person would say it."""
        ...

    def run_slices(self, slabs: Floats) -> Floats:
        """Map a batch (batch, channels, row, column) to probabilities (batch, class, row, column).

        Raises
        ------
        BadOutputError
            If a value is not finite or the shape is not the contract's.
        InferenceError
            If the runtime fails.
        """
        ...

    def run_volume(self, block: Floats) -> VolumeOutput:
        """Map a block (1, channels, k, j, i) to masks and score; raises as ``run_slices``."""
        ...
