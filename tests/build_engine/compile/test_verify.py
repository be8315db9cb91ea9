"""Two readings of the same heads, compared."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from agent.infer.backend import Backend, Floats, RunBy, VolumeOutput
from agent.infer.bundle import load_bundle
from agent.infer.golden import MOST_DIFFERENT
from agent.infer.onnx_backend import OnnxBackend
from agent.infer.slice_stage import SliceStage
from agent.infer.volume_stage import label_head
from build_engine.compile.verify import compare, head_ms
from build_engine.heads.known import generated_head
from tests.heads import SEEING, SEEING_BUNDLE, SeeingBackend
from tests.tiny import BUNDLE

ROUNDED = 1e-3
TOLERANCE = MOST_DIFFERENT["fp16"]


class Remembering:
    """A backend that runs each batch and block once, however often it is asked."""

    def __init__(self, backend: Backend) -> None:
        self.backend, self.run_by = backend, backend.run_by
        self.slabs_per_run = backend.slabs_per_run
        self.slices: dict[bytes, Floats] = {}
        self.volumes: dict[bytes, VolumeOutput] = {}

    def run_slices(self, batches: Iterable[Floats]) -> Iterator[Floats]:
        for batch in batches:
            key = sha256(batch).digest()
            if key not in self.slices:
                (self.slices[key],) = self.backend.run_slices([batch])
            yield self.slices[key]

    def run_volume(self, block: Floats) -> VolumeOutput:
        key = sha256(block).digest()
        if key not in self.volumes:
            self.volumes[key] = self.backend.run_volume(block)
        return self.volumes[key]


@dataclass
class Rounded:
    """A backend whose slice probabilities come out a little lower."""

    backend: Backend

    @property
    def run_by(self) -> RunBy:
        return self.backend.run_by

    @property
    def slabs_per_run(self) -> int:
        return self.backend.slabs_per_run

    def run_slices(self, batches: Iterable[Floats]) -> Iterator[Floats]:
        for probabilities in self.backend.run_slices(batches):
            bleed = probabilities[:, 1:] * (1 - ROUNDED)
            yield np.concatenate([1 - bleed.sum(axis=1, keepdims=True), bleed], axis=1)

    def run_volume(self, block: Floats) -> VolumeOutput:
        return self.backend.run_volume(block)


@pytest.mark.slow
def test_a_slab_that_rounding_takes_below_the_cut_is_no_difference(engines: Path):
    """It was left out of one mask and not of the other: as if its probability were 0."""
    bundle = load_bundle(engines / BUNDLE)
    head, reference = generated_head(2).head, Remembering(OnnxBackend(bundle, threads=1))
    slices = SliceStage(bundle.contract).finish(head, reference)
    seen = label_head(head, slices, bundle.contract.uncut, reference)
    highest = np.zeros(len(slices.slabs))
    highest[list(slices.seen)] = [one.bleed.max() for one in slices.seen.values()]
    told = seen.probability.max(axis=(1, 2))
    slab = int(np.where(highest < 0.6, told, 0).argmax())
    just_below = float(np.sqrt(highest[slab] * (1 - ROUNDED / 2)))
    reading = replace(bundle.contract.reading, bleed_probability=just_below)
    contract = replace(bundle.contract, reading=reading)

    (found,) = compare([head], contract, (Rounded(reference), reference), (), TOLERANCE)

    assert told[slab] > 255 * TOLERANCE  # it would be seen to differ
    assert found.fault is None


def test_the_time_of_a_head_counts_the_mirrored_runs():
    """It was told for one run a slab, whatever the bundle's reading."""
    slabs_run = []
    for mirrored in (False, True):
        backend, reading = SeeingBackend(SEEING_BUNDLE), replace(SEEING.reading, mirrored=mirrored)
        assert head_ms(replace(SEEING, reading=reading), backend) is not None
        slabs_run.append(backend.slices_run)

    assert slabs_run[1] == 2 * slabs_run[0]
