"""The seam to whatever runs the networks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from agent.errors import BadOutputError
from agent.records import Subtype

Floats = NDArray[np.float32]

N_CLASSES: Final = len(Subtype) + 1
"""No bleed, and the subtypes."""


@dataclass(frozen=True, slots=True, eq=False)
class VolumeOutput:
    """What the volume network gives.

    ``bleed`` (class, k, j, i), softmax over no bleed and the subtypes; ``anatomy`` (k, j, i),
    ``Region`` or 0; ``score``, the study's, 0…1.
    """

    bleed: Floats
    anatomy: NDArray[np.int32]
    score: float


@dataclass(frozen=True, slots=True)
class RunBy:
    """What runs networks, as a person would say it: a runtime with its version, and a device."""

    backend: str
    device: str

    def __str__(self) -> str:
        """Name both in one line."""
        return f"{self.backend}, {self.device}"


class Backend(Protocol):
    """Runs one bundle's two networks. Used by one thread at a time."""

    @property
    def run_by(self) -> RunBy:
        """What runs them."""
        ...

    @property
    def slabs_per_run(self) -> int:
        """How many slabs it takes at once."""
        ...

    def run_slices(self, batches: Iterable[Floats]) -> Iterator[Floats]:
        """Map batches (``slabs_per_run``, channel, row, column) to probabilities (…, class, …).

        One answer for each batch, in their order; the next batch may be asked for before the
        answer to this one is given, so that it is made while the networks run.

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


def sound(values: NDArray[Any], shape: tuple[int, ...], what: str) -> Floats:
    """Return a network's output; BadOutputError if its shape is another or a value is no number."""
    if values.shape != shape:
        raise BadOutputError(
            "output_shape", output=what, shape=str(values.shape), expected=str(shape)
        )
    if not np.isfinite(values).all():
        raise BadOutputError("output_not_finite", output=what)
    return values


def sound_volume(
    bleed: NDArray[Any], anatomy: NDArray[Any], score: NDArray[Any], shape_kji: tuple[int, int, int]
) -> VolumeOutput:
    """Return the volume network's outputs, each with a leading axis of 1; raises as ``sound``."""
    if anatomy.shape != (1, *shape_kji):
        raise BadOutputError(
            "output_shape",
            output="anatomy",
            shape=str(anatomy.shape),
            expected=str((1, *shape_kji)),
        )
    return VolumeOutput(
        bleed=sound(bleed, (1, N_CLASSES, *shape_kji), "bleed")[0],
        anatomy=anatomy[0].astype(np.int32, copy=False),
        score=float(sound(score, (1,), "score")[0]),
    )
