"""Learn from generated heads how a calcification is told from blood.

By hand, some 5 s a head: ``python -m build_engine.train.calcification engines/default/2.0.0``
prints the ``[calcification]`` of ``bundle.toml``. Heads from ``FIRST_TEST_SEED`` on are not used.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import tomli_w
from numpy.typing import NDArray
from scipy import ndimage
from scipy.optimize import minimize

from agent.infer.backend import Backend
from agent.infer.bundle import load_bundle
from agent.infer.contract import Contract
from agent.infer.onnx_backend import OnnxBackend
from agent.infer.slice_stage import SliceStage
from agent.infer.volume_stage import label_head
from agent.measure.calcifications import Spot, features, spots
from agent.records import Calcification, Subtype
from agent.voxels import HeadVolume
from build_engine.heads.fields import grid_of, labels_on_fields, random_recipe
from build_engine.heads.known import TEST_DEFORMATION
from build_engine.synth.head import HeadRecipe, SynthHead, make_head
from build_engine.synth.lookalike import LookAlike

FIRST_SEED: Final = 310_000
HEADS: Final = 150

LOOK_ALIKES: Final = (
    LookAlike.CALCIFICATION,
    LookAlike.DENSE_VESSEL,
    LookAlike.METAL,
    LookAlike.PARTIAL_VOLUME,
    LookAlike.CALCIFICATION,
    LookAlike.FALX,
    LookAlike.CALCIFICATION,
    None,
)
"""In turn. Each third eight of heads has a bleed of ``BLEEDS_ML`` too."""

BLEEDS_ML: Final = 0.2, 1.5

PROBABILITY: Final = 0.3
LEAST_HU: Final = 80.0
TOLD_FROM: Final = 0.7
"""Chosen on the heads that were fitted to: nine of ten that are told so are calcified."""

CALCIFIED_SHARE: Final = 0.3
BLEEDING_SHARE: Final = 0.1
"""A spot is calcified where so much of it touches calcium, in its main slab, and less is blood."""

RIDGE: Final = 1.0
"""What half of the squared weights of standardised features costs, against the log-loss."""


def fitted(rows: NDArray[np.float64], calcified: NDArray[np.bool_]) -> Calcification:
    """Fit by ridge regression to the features (spot, feature) of spots, and what they are."""
    mean, spread = rows.mean(axis=0), np.maximum(rows.std(axis=0), np.finfo(float).tiny)
    standard = (rows - mean) / spread

    def loss(line: NDArray[np.float64]) -> float:
        told = line[0] + standard @ line[1:]
        fit = np.sum(np.logaddexp(0.0, told) - calcified * told)
        return float(fit + RIDGE / 2 * np.sum(line[1:] ** 2))

    line = minimize(loss, np.zeros(1 + rows.shape[1])).x
    high, off_bone, long, aside, back, up = (line[1:] / spread).round(3).tolist()
    weights = high, off_bone, long, aside, back, up
    intercept = round(float(line[0] - mean @ np.array(weights)), 2)
    return Calcification(PROBABILITY, LEAST_HU, TOLD_FROM, intercept, weights)


def learned(
    seeds: range, contract: Contract, backend: Backend
) -> Iterator[tuple[NDArray[np.float64], bool]]:
    """Give the features of each spot in generated heads, and whether it is calcified."""
    for seed in seeds:
        recipe, spacing_kji_mm = _recipe(seed)
        synth = make_head(recipe, spacing_kji_mm)
        names = tuple(f"{seed}.{k}" for k in range(len(synth.hu)))
        head = HeadVolume(synth.hu, grid_of(synth), names, ())
        slices = SliceStage(contract).finish(head, backend)
        mask = label_head(head, slices, contract, backend)
        seen = {number: one.bleed for number, one in slices.seen.items()}, contract.slices
        for spot in spots(head, mask, seen, PROBABILITY):
            first, end = mask.slice_of(spot.plane), slices.slabs[spot.plane].end_k
            yield features(spot), _is_calcified(spot, synth, (first, end), contract)


def _recipe(seed: int) -> tuple[HeadRecipe, tuple[float, float, float]]:
    rng = np.random.default_rng((seed, 24))
    look_alike = LOOK_ALIKES[seed % len(LOOK_ALIKES)]
    recipe = HeadRecipe(seed, None, look_alike=look_alike, deformation=TEST_DEFORMATION)
    if seed // len(LOOK_ALIKES) % 3 == 2:  # noqa: PLR2004 - each third
        low_ml, high_ml = np.log(BLEEDS_ML)
        volume_ml = float(np.exp(rng.uniform(low_ml, high_ml)))
        subtype = tuple(Subtype)[int(rng.integers(len(Subtype)))]
        recipe = replace(recipe, bleed=subtype, volume_ml=volume_ml)
    return recipe, random_recipe(seed)[1]


def _is_calcified(
    spot: Spot, synth: SynthHead, between: tuple[int, int], contract: Contract
) -> bool:
    of_slab = [one[slice(*between)].max(axis=0) for one in (synth.calcified, synth.subtypes > 0)]
    on_field = labels_on_fields(np.array(of_slab, np.uint8), grid_of(synth), contract.slices)
    calcium, blood = on_field[:, spot.at[0], spot.at[1]] > 0
    touched = ndimage.binary_dilation(calcium, np.ones((3, 3), bool))[spot.pixels].mean()
    return bool(touched >= CALCIFIED_SHARE and blood[spot.pixels].mean() < BLEEDING_SHARE)


def main() -> None:
    """Learn, and print the table."""
    bundle = load_bundle(Path(sys.argv[1]))
    seeds = range(FIRST_SEED, FIRST_SEED + HEADS)
    rows, calcified = zip(
        *learned(seeds, bundle.contract, OnnxBackend(bundle, threads=1)), strict=True
    )
    sys.stderr.write(f"{sum(calcified)} of {len(calcified)} spots are calcified\n")
    how = fitted(np.array(rows), np.array(calcified))
    table = {name: getattr(how, name) for name in Calcification.__slots__}
    sys.stdout.write(tomli_w.dumps({"calcification": table}))


if __name__ == "__main__":
    main()
