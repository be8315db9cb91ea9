"""The slice stage: one series' slabs through the slice network, as they arrive.

Of a slab that has run only what the volume stage needs is kept, shrunk as far as it can be then.
What was computed is remembered by what computed it and the SOP UIDs that went into it, so that work
done while the scanner was still exporting is used again at the end if, and only if, it is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, groupby, islice, takewhile
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agent.infer.backend import Backend, Floats, RunBy
from agent.infer.contract import Contract
from agent.preprocess import (
    block_columns,
    block_of,
    field_from_slices,
    field_matrices,
    head_area_mm2,
    narrowed,
    reached,
    slab_number,
    windowed,
)
from agent.records import Subtype
from agent.voxels import Grid, HeadVolume

Key = tuple[str, ...]
SampleKey = tuple[RunBy, tuple[Key, ...], float]
"""What runs the networks, the slabs that they see, and how far the middle one has slid along i."""

Sample = tuple[Floats, ...]
"""The channels (window, row, column) of a slab and its neighbours, from the lowest."""

SLIDE_DIGITS: Final = 2
"""To so many digits a slab's slide along i is told [mm]: a gantry does not tilt that way, and what
positions that are written to some 0.001 mm leave of it is none. Ours."""


@dataclass(frozen=True, slots=True)
class Slab:
    """Consecutive slices ``first_k`` … ``end_k - 1`` that the networks see as one."""

    first_k: int
    end_k: int
    key: Key


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """A slab as the networks see it [HU] (row, column), and how much of it is head [mm²]."""

    hu: Floats
    head_mm2: float


@dataclass(frozen=True, slots=True, eq=False)
class SeenSlab:
    """What the volume stage needs of a slab that has run.

    ``bleed`` (row, column) is the probability of any bleed, ``narrowed`` the slab on the block's
    columns (row, channel, i), as ``preprocess.narrowed`` gives it.
    """

    bleed: Floats
    narrowed: Floats


@dataclass(frozen=True, slots=True, eq=False)
class SliceOutput:
    """All slabs of a series; ``areas_mm2`` (slab,) is how much of each is head.

    ``seen`` are those that the block reaches, by number, ascending; the others were not run.
    """

    slabs: tuple[Slab, ...]
    areas_mm2: NDArray[np.float64]
    seen: dict[int, SeenSlab]

    @property
    def probabilities(self) -> Floats:
        """All that is read of the probabilities of slabs that ran, to be compared (slab, …)."""
        n_subtypes = len(Subtype)
        return np.stack(
            [
                np.concatenate([one.bleed.ravel(), one.narrowed[:, :n_subtypes].ravel()])
                for one in self.seen.values()
            ]
        )


class SliceStage:
    """The slice stage of one series."""

    def __init__(self, contract: Contract) -> None:
        """Start with nothing computed."""
        self._whole_contract = contract
        self._contract, self._volume = contract.slices, contract.volume
        self._runs_per_slab = contract.reading.runs_per_slab
        self._fields: dict[Key, Field] = {}
        self._seen: dict[SampleKey, SeenSlab] = {}
        self._ends: tuple[Key, Key] | None = None
        """The lowest and the highest slab when slabs were run last."""

    def afresh(self) -> SliceStage:
        """Return a stage with nothing computed, for a series of which a slice has changed."""
        return SliceStage(self._whole_contract)

    def slices_per_run(self, thickness_mm: float | None) -> int:
        """Of how many slices of this thickness the slabs of one batch are made, at least."""
        per_slab = int(self._contract.slab_mm // thickness_mm) if thickness_mm else 1
        slabs = self._contract.batch // self._runs_per_slab
        return max(1, per_slab) * max(1, slabs)

    def advance(
        self, head: HeadVolume, backend: Backend, wanted: Callable[[], bool] = lambda: True
    ) -> int:
        """Run the full batches that later slices should change no longer; returns slabs run.

        An export grows at one end. At an end that is as it was the last time, nothing is waited
        for; if a slice comes there all the same, what it changes is run again. The highest slabs
        go first, since the block may not reach the lowest. It is asked before each batch whether
        more is ``wanted``.
        """
        slabs = slabs_of(head, self._contract.slab_mm)
        slides_mm = slab_frame(head.grid, slabs)[1]
        keys = self._sample_keys(slabs, slides_mm, backend)
        ends = slabs[0].key, slabs[-1].key
        low, high = (now != then for now, then in zip(ends, self._ends or ((), ()), strict=True))
        self._ends = ends
        if slides_mm[:, 1].any():
            return 0  # against the middle slab, which is another with every slice
        unsettled = 1 + self._contract.neighbours  # at an end: the last slab and who sees it
        settled = range(low * unsettled, len(slabs) - high * unsettled)
        needed = self._needed(head, slabs, settled)
        waiting = [n for n in reversed(needed) if keys[n] not in self._seen]
        per_run = max(1, backend.slabs_per_run // self._runs_per_slab)
        full = waiting[: len(waiting) // per_run * per_run]
        return self._run(head, slabs, {n: keys[n] for n in full}, backend, wanted)

    def finish(self, head: HeadVolume, backend: Backend) -> SliceOutput:
        """Run what is left, and return the whole series; of others nothing is kept."""
        slabs = slabs_of(head, self._contract.slab_mm)
        keys = self._sample_keys(slabs, slab_frame(head.grid, slabs)[1], backend)
        needed = self._needed(head, slabs, range(len(slabs)))
        missing = {n: keys[n] for n in needed if keys[n] not in self._seen}
        self._run(head, slabs, missing, backend)
        self._seen = {keys[n]: self._seen[keys[n]] for n in needed}
        self._fields = self._fields_of(head, slabs)
        return SliceOutput(
            slabs=slabs,
            areas_mm2=np.array([field.head_mm2 for field in self._fields.values()]),
            seen={n: self._seen[keys[n]] for n in needed},
        )

    def _needed(self, head: HeadVolume, slabs: tuple[Slab, ...], among: range) -> list[int]:
        """Return which slabs the block reaches, as far as ``among`` show where it hangs."""
        fields = self._fields_of(head, [slabs[number] for number in among])
        areas_mm2 = np.zeros(len(slabs))
        areas_mm2[list(among)] = [field.head_mm2 for field in fields.values()]
        block = block_of(areas_mm2, *slab_frame(head.grid, slabs), self._volume)
        within = reached(block, (self._contract, self._volume))
        return [number for number in among if within[number]]

    def _run(
        self,
        head: HeadVolume,
        slabs: tuple[Slab, ...],
        chosen: dict[int, SampleKey],
        backend: Backend,
        wanted: Callable[[], bool] = lambda: True,
    ) -> int:
        """Run the ``chosen`` slabs, by their numbers, and keep what the volume stage needs.

        Ends early where no more is ``wanted``; returns slabs run.
        """
        if not chosen:
            return 0
        contracts = self._contract, self._volume
        around = (slab for number in chosen for slab in self._around(slabs, number))
        fields = self._fields_of(head, around)
        samples = self._samples([key[1] for key in chosen.values()], fields)
        batches = _batches(samples, (backend.slabs_per_run, *self._contract.shape[1:]))
        batches = takewhile(lambda _: wanted(), batches)
        answers: Iterator[Floats] = chain.from_iterable(backend.run_slices(batches))
        if self._runs_per_slab > 1:
            answers = _averaged(answers)
        n_run = 0
        for (number, key), probabilities in zip(chosen.items(), answers, strict=False):
            n_run += 1
            self._seen[key] = SeenSlab(
                bleed=(1.0 - probabilities[0]).clip(0.0, 1.0),
                narrowed=narrowed(
                    fields[slabs[number].key].hu,
                    probabilities,
                    block_columns(key[2], contracts),
                    self._volume,
                ),
            )
        return n_run

    def _fields_of(self, head: HeadVolume, slabs: Iterable[Slab]) -> dict[Key, Field]:
        """Return the field of each slab by its key, in their order."""
        by_key = {slab.key: slab for slab in slabs}
        missing = [slab for key, slab in by_key.items() if key not in self._fields]
        if missing:
            matrices = field_matrices(head.grid, self._contract)
            for slab in missing:
                hu = field_from_slices(head.hu[slab.first_k : slab.end_k], matrices)
                self._fields[slab.key] = Field(hu, head_area_mm2(hu, self._contract))
        return {key: self._fields[key] for key in by_key}

    def _samples(self, around: list[tuple[Key, ...]], fields: dict[Key, Field]) -> Iterator[Sample]:
        """Build the slice network's samples; where it is read mirrored, each the other way too."""
        ways: dict[Key, tuple[Floats, ...]] = {}
        for keys in around:  # one sample has most slabs in common with the next
            ways = {key: ways[key] if key in ways else self._ways(fields[key]) for key in keys}
            for way in range(self._runs_per_slab):
                yield tuple(ways[key][way] for key in keys)

    def _ways(self, field: Field) -> tuple[Floats, ...]:
        """Return a slab's channels, and where slabs are read mirrored, those mirrored."""
        channels = windowed(field.hu, self._contract.windows_hu)
        mirrored = np.ascontiguousarray(channels[..., ::-1])
        return (channels, mirrored)[: self._runs_per_slab]

    def _around(self, slabs: tuple[Slab, ...], number: int) -> list[Slab]:
        reach = range(-self._contract.neighbours, self._contract.neighbours + 1)
        return [slabs[min(max(number + step, 0), len(slabs) - 1)] for step in reach]

    def _sample_keys(
        self, slabs: tuple[Slab, ...], slides_mm: NDArray[np.float64], backend: Backend
    ) -> list[SampleKey]:
        return [
            (
                backend.run_by,
                tuple(slab.key for slab in self._around(slabs, number)),
                float(slides_mm[number, 1]),
            )
            for number in range(len(slabs))
        ]


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
    slides_mm = frame[:, 1:] - frame[len(frame) // 2, 1:]
    slides_mm[:, 1] = slides_mm[:, 1].round(SLIDE_DIGITS)
    return frame[:, 0], slides_mm


def _batches(samples: Iterator[Sample], shape: tuple[int, int, int, int]) -> Iterator[Floats]:
    """Put samples into batches; what is left of the last one is zero."""
    while chosen := list(islice(samples, shape[0])):
        batch = np.empty(shape, dtype=np.float32)
        for sample, into in zip(chosen, batch, strict=False):
            np.concatenate(sample, out=into)
        batch[len(chosen) :] = 0.0
        yield batch


def _averaged(answers: Iterator[Floats]) -> Iterator[Floats]:
    """Average the answers to each sample and to its mirror image, which follows it."""
    for seen, mirrored in zip(answers, answers, strict=False):  # a last batch may be half empty
        averaged = seen + mirrored[..., ::-1]
        averaged *= np.float32(0.5)
        yield averaged
