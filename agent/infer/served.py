"""A bundle on a Triton server: what its two models are called, say of themselves and take.

``engine publish`` writes it, the agent holds a server to it. Of each slab a server is sent what the
widest of its windows shows, from which it computes the others: less than a third of the bytes.
Where the bundle is read mirrored, the server mirrors and averages too: half of what is left.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from agent.infer.backend import Floats
from agent.infer.bundle import Bundle
from agent.infer.contract import Contract
from agent.preprocess import SliceInput

DIGEST: Final = "bleedwatch_bundle"
"""Parameter in a model's configuration: the digest of the bundle that it is of."""

PRECISION: Final = "bleedwatch_precision"
"""Parameter in a model's configuration: "fp32" or "fp16"."""

FIELDS: Final = "slab_fields"
"""Input of the slice model, (slab, neighbour, row, column): see ``on_the_wire``. It was "fields"
when mirror images were sent too: a model of then is refused by this name, not misread."""

BLOCK: Final = "block"
"""Input of the volume model."""


@dataclass(frozen=True, slots=True)
class ModelNames:
    """Names of a bundle's models. They hold its digest, so that bundles lie beside each other."""

    slices: str
    volume: str


def model_names(bundle: Bundle) -> ModelNames:
    """Name a bundle's models."""
    contract = bundle.contract
    stem = f"{contract.name}-{contract.version}-{bundle.digest[:12]}"
    return ModelNames(f"{stem}-slices", f"{stem}-volume")


def widest_window(contract: SliceInput) -> int | None:
    """Return the number of the window that shows all that any other shows; None if none does."""
    windows = contract.windows_hu
    lowest_hu, highest_hu = min(low for low, _ in windows), max(high for _, high in windows)
    covering = (lowest_hu, highest_hu)
    return windows.index(covering) if covering in windows else None


def on_the_wire(slabs: Floats, contract: Contract) -> Floats:
    """Take of slabs (slab, neighbour and window, row, column) what a server is sent.

    Returns
    -------
    (slab, neighbour, row, column)
        Through the widest window, 0…1; without the mirror images, which follow each slab.

    Raises
    ------
    ValueError
        If no window covers all: such a bundle cannot be published.
    """
    window = widest_window(contract.slices)
    if window is None:
        raise ValueError("no window covers all others")
    runs = contract.reading.runs_per_slab
    return np.ascontiguousarray(slabs[::runs, window :: len(contract.slices.windows_hu)])


def with_mirrored(answers: Floats, contract: Contract) -> Floats:
    """Give each slab's answer to its mirror image as well: the server has averaged both already."""
    if contract.reading.runs_per_slab == 1:
        return answers
    both = np.stack([answers, answers[..., ::-1]], axis=1)
    return both.reshape(-1, *answers.shape[1:])
