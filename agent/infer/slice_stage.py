"""The slice stage: one series' slabs through the slice network, as they arrive.

What was computed is remembered by what computed it and the SOP UIDs that went into it, so that work
done while the scanner was still exporting is used again at the end if, and only if, it is the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, groupby, islice

import numpy as np
from numpy.typing import NDArray

from agent.infer.backend import Backend, Floats, RunBy
from agent.infer.contract import Contract
from agent.preprocess import field_from_slices, field_matrices, slab_number, slice_input
from agent.records import Grid, HeadVolume

Key = tuple[str, ...]
SampleKey = tuple[RunBy, tuple[Key, ...]]
"""What runs the networks, and the slabs that they see."""


@dataclass(frozen=True, slots=True)
class Slab:
    """Consecutive slices ``first_k`` … ``end_k - 1`` that the networks see as one."""

    first_k: int
    end_k: int
    key: Key


@dataclass(frozen=True, slots=True, eq=False)
class SliceOutput:
    """All slabs of a series: fields [HU] (slab, row, column) and probabilities (slab, class, …)."""

    slabs: tuple[Slab, ...]
    fields: Floats
    probabilities: Floats


class SliceStage:
    """The slice stage of one series."""

    def __init__(self, contract: Contract) -> None:
        """Start with nothing computed."""
        self._whole_contract = contract
        self._contract, self._mirrored = contract.slices, contract.reading.mirrored
        self._fields: dict[Key, Floats] = {}
        self._probabilities: dict[SampleKey, Floats] = {}

    def afresh(self) -> SliceStage:
        """Return a stage with nothing computed, for a series of which a slice has changed."""
        return SliceStage(self._whole_contract)

    def advance(self, head: HeadVolume, backend: Backend) -> int:
        """Run the full batches that later slices can no longer change; returns slabs run."""
        slabs = slabs_of(head, self._contract.slab_mm)
        unsettled = 1 + self._contract.neighbours  # at either end: the last slab and who sees it
        settled = range(unsettled, len(slabs) - unsettled)
        keys = self._sample_keys(slabs, backend)
        waiting = [n for n in settled if keys[n] not in self._probabilities]
        full = waiting[: len(waiting) // backend.slabs_per_run * backend.slabs_per_run]
        self._run(head, slabs, full, backend)
        return len(full)

    def finish(self, head: HeadVolume, backend: Backend) -> SliceOutput:
        """Run what is left, and return the whole series."""
        slabs = slabs_of(head, self._contract.slab_mm)
        keys = self._sample_keys(slabs, backend)
        missing = [n for n, key in enumerate(keys) if key not in self._probabilities]
        self._run(head, slabs, missing, backend)
        return SliceOutput(
            slabs=slabs,
            fields=np.stack([self._fields[slab.key] for slab in slabs]),
            probabilities=np.stack([self._probabilities[key] for key in keys]),
        )

    def _run(
        self, head: HeadVolume, slabs: tuple[Slab, ...], numbers: list[int], backend: Backend
    ) -> None:
        contract, matrices = self._contract, field_matrices(head.grid, self._contract)
        samples: Iterator[Floats] = (
            slice_input(
                tuple(self._field(head, slab, matrices) for slab in self._around(slabs, number)),
                contract,
            )
            for number in numbers
        )
        if self._mirrored:
            samples = _both_ways(samples)
        batches = _batches(samples, (backend.slabs_per_run, *contract.shape[1:]))
        answers: Iterator[Floats] = chain.from_iterable(backend.run_slices(batches))
        if self._mirrored:
            answers = _averaged(answers)
        keys = self._sample_keys(slabs, backend)
        for number, probabilities in zip(numbers, answers, strict=False):
            self._probabilities[keys[number]] = probabilities

    def _field(self, head: HeadVolume, slab: Slab, matrices: tuple[Floats, Floats]) -> Floats:
        if slab.key not in self._fields:
            hu = head.hu[slab.first_k : slab.end_k]
            self._fields[slab.key] = field_from_slices(hu, matrices)
        return self._fields[slab.key]

    def _around(self, slabs: tuple[Slab, ...], number: int) -> list[Slab]:
        reach = range(-self._contract.neighbours, self._contract.neighbours + 1)
        return [slabs[min(max(number + step, 0), len(slabs) - 1)] for step in reach]

    def _sample_keys(self, slabs: tuple[Slab, ...], backend: Backend) -> list[SampleKey]:
        around = (self._around(slabs, number) for number in range(len(slabs)))
        return [(backend.run_by, tuple(slab.key for slab in some)) for some in around]


def slabs_of(head: HeadVolume, slab_mm: float) -> tuple[Slab, ...]:
    """Group a series' slices into slabs, ascending."""
    numbers = [slab_number(height_mm, slab_mm) for height_mm in head.grid.heights_mm.tolist()]
    slabs = []
    for _, group in groupby(range(len(numbers)), key=numbers.__getitem__):
        ks = list(group)
        slabs.append(Slab(ks[0], ks[-1] + 1, head.sop_uids[ks[0] : ks[-1] + 1]))
    return tuple(slabs)


def slab_frame(
    grid: Grid, slabs: tuple[Slab, ...]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Heights (slab,) and slides (slab, 2) along j and i against the middle slab [mm]."""
    in_plane = np.array([grid.column_direction, grid.row_direction])
    slice_frame = np.column_stack([grid.heights_mm, grid.origins_lps_mm @ in_plane.T])
    frame = np.array([slice_frame[slab.first_k : slab.end_k].mean(axis=0) for slab in slabs])
    return frame[:, 0], frame[:, 1:] - frame[len(frame) // 2, 1:]


def _batches(samples: Iterator[Floats], shape: tuple[int, int, int, int]) -> Iterator[Floats]:
    """Put samples into batches; what is left of the last one is zero."""
    while chosen := list(islice(samples, shape[0])):
        batch = np.zeros(shape, dtype=np.float32)
        batch[: len(chosen)] = chosen
        yield batch


def _both_ways(samples: Iterator[Floats]) -> Iterator[Floats]:
    """Give each sample as it is, then mirrored."""
    for sample in samples:
        yield sample
        yield sample[..., ::-1]


def _averaged(answers: Iterator[Floats]) -> Iterator[Floats]:
    """Average the answers to each sample and to its mirror image, which follows it."""
    for seen, mirrored in zip(answers, answers, strict=False):  # a last batch may be half empty
        yield (seen + mirrored[..., ::-1]) * np.float32(0.5)
