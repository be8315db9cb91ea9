"""The golden batch: a made head on which a plan must read as the reference does before it is used.

``engine verify`` reads fifty heads; this is what costs a start a second. It is done at every start,
since a driver may have changed, and a report beside a plan is a file that anybody may have written.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from agent.infer.backend import Backend, Floats
from agent.infer.contract import Contract
from agent.infer.plan import Precision
from agent.infer.slice_stage import SliceStage
from agent.infer.volume_stage import label_head
from agent.voxels import Grid, HeadVolume

MOST_DIFFERENT: Final[dict[Precision, float]] = {"fp32": 0.01, "fp16": 0.05}
"""How far a pixel's probability may lie from the reference's. Rounding alone, done with ONNX
Runtime on 42 golden heads with bundle default 1.4.0, moved one by 0.004 (FP16)."""

N_SLICES, SLICE_MM = 4, 5.0
SIZE_PX, PIXEL_MM = 128, 2.0
AIR_HU, BONE_HU, BRAIN_HU, BLOOD_HU = -1000, 900, 35, 72
RADII_MM, SKULL = (72.0, 90.0), 1.08
BLEED_MM = 24.0
NOISE_HU = 4.0


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """What a backend makes of the golden batch: probabilities of slabs and of voxels, score."""

    slabs: Floats
    voxels: Floats
    score: float

    def difference(self, other: Reading) -> float:
        """How far any number lies from the other's, at most."""
        return max(
            float(np.abs(self.slabs - other.slabs).max()),
            float(np.abs(self.voxels - other.voxels).max()),
            abs(self.score - other.score),
        )


def read_golden(contract: Contract, backend: Backend) -> Reading:
    """Take the golden batch through both stages.

    Raises
    ------
    InferenceError
        If the backend fails, or gives no numbers.
    """
    head = golden_batch()
    slices = SliceStage(contract).finish(head, backend)
    mask = label_head(head, slices, contract.uncut, backend)
    voxels = mask.probability.astype(np.float32) / np.float32(255)
    return Reading(slices.probabilities, voxels, mask.score)


def golden_batch() -> HeadVolume:
    """Make a round head in a skull, alike every time; its bleed fades: little is certain."""
    across_mm = (np.arange(SIZE_PX) - (SIZE_PX - 1) / 2) * PIXEL_MM
    y_mm, x_mm = np.meshgrid(across_mm, across_mm, indexing="ij")
    z_mm = ((np.arange(N_SLICES) - (N_SLICES - 1) / 2) * SLICE_MM)[:, None, None]
    from_middle = np.hypot(x_mm / RADII_MM[0], y_mm / RADII_MM[1])
    hu = np.select([from_middle > SKULL, from_middle > 1], [AIR_HU, BONE_HU], BRAIN_HU)
    from_bleed_mm = np.sqrt((x_mm - 30) ** 2 + (y_mm + 10) ** 2 + z_mm**2)
    blood_hu = (BLOOD_HU - BRAIN_HU) * np.maximum(0, 1 - from_bleed_mm / BLEED_MM)
    noise = np.random.default_rng(0).normal(0, NOISE_HU, (N_SLICES, SIZE_PX, SIZE_PX))
    volume = hu + blood_hu + noise
    corner_mm = float(across_mm[0])
    origins = [(corner_mm, corner_mm, SLICE_MM * k) for k in range(N_SLICES)]
    grid = Grid(
        np.array(origins), (1, 0, 0), (0, 1, 0), PIXEL_MM, PIXEL_MM, SIZE_PX, SIZE_PX, SLICE_MM
    )
    return HeadVolume(volume.astype(np.int16), grid, tuple(map(str, range(N_SLICES))), ())
