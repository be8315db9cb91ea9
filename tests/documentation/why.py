"""Whether the page's map of probability follows blood that is moved, in heads whose truth is known.

``python -m tests.documentation.why`` makes the same generated heads with the bleed on either side,
prints the table of ``console.md`` and draws ``why.png`` beside it. It also paints the bleed over
with brain, and as much of the other side for comparison, and says what becomes of the score.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from agent.config import PACKAGED_ENGINES, InferConfig
from agent.infer.bundle import load_bundle
from agent.infer.contract import Contract
from agent.infer.onnx_backend import OnnxBackend
from agent.infer.probabilities import Probabilities
from agent.infer.slice_stage import SliceStage
from agent.infer.volume_stage import run_volume
from agent.preprocess import image_matrices
from agent.records import Side, Subtype
from agent.voxels import HeadVolume
from build_engine.heads.fields import grid_of
from build_engine.synth.head import HeadRecipe, make_head

DOCS: Final = Path(__file__).parents[2] / ".docs"
SEEDS: Final = {
    Subtype.INTRAPARENCHYMAL: 20_001,
    Subtype.SUBDURAL: 20_002,
    Subtype.EPIDURAL: 20_003,
}
VOLUME_ML: Final = 20.0
SLICE_MM: Final = 5.0
BRAIN_HU: Final = 32
NEAR_MM: Final = 5.0

Values = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """A head with its true bleed, both networks' probabilities on its voxels, and its score."""

    head: HeadVolume
    blood: NDArray[np.bool_]
    both: Values
    score: float

    @property
    def shown(self) -> Values:
        """What the page shows as the probability (k, j, i)."""
        fused: Values = np.sqrt(self.both[0] * self.both[1])
        return fused

    @property
    def near_share(self) -> float:
        """How much of what is shown lies in the blood, or at most ``NEAR_MM`` from it."""
        spacing_mm = SLICE_MM, self.head.grid.row_spacing_mm, self.head.grid.column_spacing_mm
        near = ndimage.distance_transform_edt(~self.blood, sampling=spacing_mm) <= NEAR_MM
        return float(self.shown[near].sum() / self.shown.sum())

    @property
    def blood_share(self) -> float:
        """The mean of what is shown in the blood."""
        return float(self.shown[self.blood].mean())


def seen(head: HeadVolume, blood: NDArray[np.bool_], contract: Contract, on: OnnxBackend) -> Seen:
    """Take a head through both networks."""
    slices = SliceStage(contract).finish(head, on)
    volume = run_volume(head, slices, contract, on)
    rows, columns = image_matrices(head.grid, contract.slices)
    both = np.zeros((2, *head.hu.shape), np.float32)
    for k, one in enumerate(Probabilities.of(slices, volume, contract).maps()):
        if one is not None:
            both[:, k] = rows @ (one / np.float32(255)) @ columns.T
    return Seen(head, blood, both, volume.output.score)


def made(subtype: Subtype, side: Side) -> tuple[HeadVolume, NDArray[np.bool_]]:
    """Make one head with its bleed on a side; but for that it is the same."""
    recipe = HeadRecipe(SEEDS[subtype], subtype, VOLUME_ML, side)
    synth = make_head(recipe, (SLICE_MM, 1.0, 1.0))
    names = tuple(map(str, range(len(synth.hu))))
    return HeadVolume(synth.hu, grid_of(synth), names, ()), synth.subtypes > 0


def painted_over(head: HeadVolume, where: NDArray[np.bool_]) -> HeadVolume:
    """Put brain where it says, with its noise; never on bone."""
    noise = np.random.default_rng(1).normal(BRAIN_HU, 4, head.hu.shape)
    grown = ndimage.binary_dilation(where, iterations=2) & (head.hu < 100) & (head.hu > -20)
    return replace(head, hu=np.where(grown, noise, head.hu).astype(np.int16))


def picture(one: Seen) -> NDArray[np.uint8]:
    """Draw the slice with most blood, beside it again under what is shown of it."""
    k = int(one.blood.sum(axis=(1, 2)).argmax())
    grey = np.repeat(np.clip(one.head.hu[k] / 80.0, 0, 1)[..., None], 3, axis=2) * 255
    shown = one.shown[k][..., None]
    hot = np.array([255.0, 150.0, 20.0])
    return np.hstack([grey, grey * (1 - 0.7 * shown) + hot * 0.7 * shown]).astype(np.uint8)


def main() -> None:
    """Print the table, and draw the figure."""
    bundle = load_bundle(PACKAGED_ENGINES / InferConfig().bundle)
    backend, rows = OnnxBackend(bundle, threads=1), []
    for subtype in SEEDS:
        pictures = []
        for side in (Side.RIGHT, Side.LEFT):
            head, blood = made(subtype, side)
            one = seen(head, blood, bundle.contract, backend)
            pictures.append(picture(one))
            over, beside = (
                seen(painted_over(head, where), blood, bundle.contract, backend).score
                for where in (blood, blood[..., ::-1])
            )
            numbers = f"{one.near_share:.0%} | {one.blood_share:.2f} | {one.score:.2f}"
            row = f"{subtype.word}, {side.value} | {numbers} | {over:.2f} | {beside:.2f}"
            print(f"| {row} |", flush=True)
        rows.append(np.hstack(pictures))
    width = min(row.shape[1] for row in rows)
    Image.fromarray(np.vstack([row[:, :width] for row in rows])).save(DOCS / "why.png")


if __name__ == "__main__":
    main()
