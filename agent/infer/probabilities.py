"""What either network holds for probable at each point of a head, to be shown beside its slices.

Nothing of it is computed before somebody asks: the answer does not wait for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent.infer.backend import Floats
from agent.infer.contract import Contract
from agent.infer.slice_stage import Slab, SliceOutput
from agent.infer.volume_stage import SeenVolume
from agent.preprocess import Block, FromBlock, SliceInput, VolumeInput

WHOLE = slice(None), slice(None)
"""All rows and columns of a field."""


@dataclass(frozen=True, slots=True, eq=False)
class Probabilities:
    """The probability of any bleed, by each network.

    ``by_slices`` (row, column) is the slice network's on the field of each slab that it saw, by
    number; ``by_volume`` (class, k, j, i) is what the volume network gave on its ``block``.
    """

    slabs: tuple[Slab, ...]
    by_slices: dict[int, Floats]
    by_volume: Floats
    block: Block
    inputs: tuple[SliceInput, VolumeInput]

    @classmethod
    def of(cls, slices: SliceOutput, volume: SeenVolume, contract: Contract) -> Probabilities:
        """Hold what both stages gave."""
        return cls(
            slabs=slices.slabs,
            by_slices={number: one.bleed for number, one in slices.seen.items()},
            by_volume=volume.output.bleed,
            block=volume.block,
            inputs=(contract.slices, contract.volume),
        )

    @property
    def field_mm(self) -> float:
        """Side of the square about each slice's centre that a map covers [mm]."""
        return self.inputs[0].size_px * self.inputs[0].pixel_mm

    @property
    def vertex_mm(self) -> float:
        """Height of the highest slab that shows head [mm]."""
        return float(self.block.heights_mm[-1])

    @property
    def first_k(self) -> tuple[int | None, ...]:
        """For each slice the first one of its slab, None where the networks saw nothing of it."""
        return tuple(
            slab.first_k if number in self.by_slices else None
            for number, slab in enumerate(self.slabs)
            for _ in range(slab.first_k, slab.end_k)
        )

    def maps(self) -> Iterator[NDArray[np.uint8] | None]:
        """Give for each slice, lowest first, a map (network, row, column) of 0…255.

        The slice network's is the first. None but at the first slice of each slab that was seen.
        """
        from_block = FromBlock(self.block, self.inputs)
        any_bleed = self.by_volume[1:].sum(axis=0, keepdims=True)
        for number, slab in enumerate(self.slabs):
            seen = self.by_slices.get(number)
            if seen is None:
                yield None
            else:
                both = np.stack([seen, from_block.slab(number, any_bleed, WHOLE)[0]])
                yield np.rint(both.clip(0.0, 1.0) * 255).astype(np.uint8)
            yield from (None for _ in range(slab.first_k + 1, slab.end_k))
