"""Golden heads: generated ones, to verify a plan on and to calibrate INT8 with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Final

from agent.infer.backend import Backend, Floats, VolumeOutput
from agent.infer.bundle import Bundle
from agent.infer.slice_stage import SliceStage
from agent.infer.volume_stage import label_head
from agent.records import HeadVolume
from build_engine.heads.known import generated_head

CALIBRATION_HEADS: Final = 16
"""Heads that INT8 is calibrated on. Ours: all protocols and subtypes come in them."""

KEPT_BATCH: Final = 3
"""One batch of slabs in so many is calibrated on: neighbours are much alike, memory is not free."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """What both networks are fed with, made when it is asked for: batches of slabs, and blocks."""

    slabs: Callable[[], Iterable[Floats]]
    blocks: Callable[[], Iterable[Floats]]


def golden_heads(count: int) -> Iterator[HeadVolume]:
    """Make ``count`` heads, half without a bleed, of scanners beyond those of training."""
    return (generated_head(number).head for number in range(count))


def calibration_from(
    heads: Iterable[HeadVolume], bundle: Bundle, reference: Backend
) -> Calibration:
    """Feed heads to the reference, once it is asked for, and keep what its networks were given."""

    @cache
    def fed() -> _Eavesdropper:
        backend = _Eavesdropper(reference)
        for head in heads:
            slices = SliceStage(bundle).finish(head, backend)
            label_head(head, slices, bundle, backend)
        return backend

    return Calibration(lambda: fed().slabs, lambda: fed().blocks)


@dataclass
class _Eavesdropper:
    """A backend that keeps what it is given: every block, and some batches of slabs."""

    backend: Backend
    slabs: list[Floats] = field(default_factory=list)
    blocks: list[Floats] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.backend.name

    @property
    def slabs_per_run(self) -> int:
        return self.backend.slabs_per_run

    def run_slices(self, batches: Iterable[Floats]) -> Iterator[Floats]:
        return self.backend.run_slices(self._kept(batches))

    def run_volume(self, block: Floats) -> VolumeOutput:
        self.blocks.append(block)
        return self.backend.run_volume(block)

    def _kept(self, batches: Iterable[Floats]) -> Iterator[Floats]:
        for number, batch in enumerate(batches):
            if number % KEPT_BATCH == 0:
                self.slabs.append(batch)
            yield batch
