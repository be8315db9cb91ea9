"""What the processor does after a series' last slice beside running the networks.

Measured in the benchmark's own process: the stages work slice by slice as the agent's do, one
thread, and what the networks take is counted apart.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from threadpoolctl import threadpool_limits

from agent.assemble.dicom_file import ReadSlice, read_slices
from agent.assemble.head_facts import facts_of
from agent.assemble.limits import ReadLimits
from agent.assemble.series import GrowingSeries
from agent.infer.backend import Backend, Floats, VolumeOutput
from agent.infer.contract import Contract
from agent.infer.slice_stage import SliceStage
from agent.infer.volume_stage import label_head
from agent.measure import measure

RUNS: Final = 5

Result = TypeVar("Result")


class Counted:
    """A backend that counts the processor time [s] that it takes."""

    def __init__(self, backend: Backend) -> None:
        """Count from 0."""
        self.run_by, self.slabs_per_run = backend.run_by, backend.slabs_per_run
        self.taken_s = 0.0
        self._backend = backend

    def run_slices(self, batches: Iterable[Floats]) -> Iterator[Floats]:
        """See ``Backend``; making the batches is not counted."""
        for batch in batches:
            yield self._counted(partial(self._run_batch, batch))

    def run_volume(self, block: Floats) -> VolumeOutput:
        """See ``Backend``."""
        return self._counted(partial(self._backend.run_volume, block))

    def _run_batch(self, batch: Floats) -> Floats:
        return next(iter(self._backend.run_slices([batch])))

    def _counted(self, work: Callable[[], Result]) -> Result:
        began_s = time.process_time()
        result = work()
        self.taken_s += time.process_time() - began_s
        return result


def after_last_slice_ms(
    paths: Sequence[Path], contract: Contract, backend: Backend
) -> dict[str, float]:
    """Return the processor time of each stage after the last slice, without networks [ms].

    The median of some runs. ``paths`` are a series' files in the order in which they come.
    """
    slices = [one for path in paths for one in read_slices(path, ReadLimits())]
    with threadpool_limits(limits=1, user_api="blas"):  # as the agent has it
        runs = [_one_run(slices, contract, Counted(backend)) for _ in range(RUNS)]
    return {stage: round(statistics.median(run[stage] for run in runs), 1) for stage in runs[0]}


def _one_run(slices: Sequence[ReadSlice], contract: Contract, backend: Counted) -> dict[str, float]:
    taken_ms: dict[str, float] = {}

    def timed(stage: str, work: Callable[[], Result]) -> Result:
        began_s, networks_s = time.process_time(), backend.taken_s
        result = work()
        taken_s = time.process_time() - began_s - (backend.taken_s - networks_s)
        taken_ms[stage] = 1000 * taken_s
        return result

    series, stage, advanced = GrowingSeries(), SliceStage(contract), 0
    for n, one in enumerate(slices, start=1):
        series.add(one.header, one.hu)
        per_run = stage.slices_per_run(one.header.thickness_mm)
        if advanced + per_run <= n < len(slices):
            advanced = n
            stage.advance(series.volume(), backend)
    series.sort()
    head = series.volume()
    timed("evidence", lambda: facts_of(head))
    seen = timed("slice stage", lambda: stage.finish(head, backend))
    mask = timed("volume stage", lambda: label_head(head, seen, contract, backend))
    shift_in = head if contract.reading.midline_shift else None
    timed("measuring", lambda: measure(mask, contract.interval, shift_in=shift_in))
    return taken_ms
