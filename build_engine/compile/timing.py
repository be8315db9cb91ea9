"""Timing compiled networks on the card, beside what its arithmetic and memory allow."""

from __future__ import annotations

import statistics
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Final

import numpy as np

from agent.infer.backend import Floats
from agent.infer.bundle import Bundle
from agent.infer.plan import Precision
from agent.infer.tensorrt_api import TensorRt
from agent.infer.tensorrt_backend import SLICE_LANES, Lane
from build_engine.compile.build import compile_network, slice_graph, volume_graph
from build_engine.compile.timing_cache import TimingCache
from build_engine.judge.cost import Cost, cost_of

WARM_UPS: Final = 3
RUNS: Final = 20
IN_A_ROW: Final = 12
"""Batches of which the throughput is told."""

OPS_PER_CLOCK: Final[dict[str, tuple[int, int]]] = {
    "7.5": (128, 1024),
    "8.0": (128, 2048),
    "8.6": (256, 1024),
    "8.7": (256, 2048),
    "8.9": (256, 1024),
    "9.0": (256, 4096),
    "10.0": (256, 8192),
    "12.0": (256, 1024),
}
"""Operations that one multiprocessor does in a clock, at compute capability, in FP32 (CUDA cores),
FP16 (tensor cores, dense); a multiply-add counts twice. Source: NVIDIA's architecture
white papers (Turing, Ampere GA100 and GA102, Orin, Ada, Hopper, Blackwell)."""


@dataclass(frozen=True, slots=True)
class BenchRow:
    """One network in one precision. ``share`` is of the card's limit; None if it is not known."""

    network: str
    precision: Precision
    batch: int
    latency_ms: float
    per_s: float
    share: float | None


@dataclass(frozen=True, slots=True)
class Bencher:
    """What is compiled and timed, and on what; ``timings`` are TensorRT's own."""

    bundle: Bundle
    gpu: TensorRt
    timings: TimingCache

    def rows(
        self, precisions: tuple[Precision, ...], batches: tuple[int, ...]
    ) -> Iterator[BenchRow]:
        """Compile and time one after another."""
        bundle = self.bundle
        for precision in precisions:
            slices = slice_graph(bundle, precision, self.gpu.trt)
            for batch in batches:
                shape = (batch, *bundle.contract.slices.shape[1:])
                yield self._row(("slice", precision), slices, shape, SLICE_LANES)
            volume = volume_graph(bundle, precision, self.gpu.trt)
            yield self._row(("volume", precision), volume, bundle.contract.volume.shape, 1)

    def _row(
        self, what: tuple[str, Precision], graph: bytes, shape: tuple[int, ...], n_lanes: int
    ) -> BenchRow:
        name, precision = what
        compiled = compile_network(self.gpu, graph, shape, precision, self.timings)
        values = np.random.default_rng(0).random(shape, dtype=np.float32)
        engine = self.gpu.engine(compiled.engine)
        with ExitStack() as stack:
            lanes = [Lane(self.gpu, engine, shape) for _ in range(n_lanes)]
            for lane in lanes:
                stack.callback(lane.close)
            latency_s = _median_s(lambda: _through(lanes[:1], values, 1))
            per_batch_s = _median_s(lambda: _through(lanes, values, IN_A_ROW)) / IN_A_ROW
        limit_s = _limit_s(self.gpu, cost_of(graph, shape[0]), precision)
        share = limit_s / per_batch_s if limit_s is not None else None
        per_s = shape[0] / per_batch_s
        return BenchRow(name, precision, shape[0], 1000 * latency_s, per_s, share)


def _through(lanes: list[Lane], values: Floats, count: int) -> None:
    """Run the same input ``count`` times through lanes in turn."""
    running: deque[Lane] = deque()
    for lane in islice(cycle(lanes), count):
        if len(running) == len(lanes):
            running.popleft().finish()
        lane.start(values)
        running.append(lane)
    while running:
        running.popleft().finish()


def _median_s(work: Callable[[], None]) -> float:
    taken_s = []
    for _ in range(WARM_UPS + RUNS):
        started_s = time.perf_counter()
        work()
        taken_s.append(time.perf_counter() - started_s)
    return statistics.median(taken_s[WARM_UPS:])


def _limit_s(gpu: TensorRt, cost: Cost, precision: Precision) -> float | None:
    """Time that the card's arithmetic or its memory needs at least; None for a card not known."""
    known = OPS_PER_CLOCK.get(gpu.machine.compute_capability)
    if known is None:
        return None
    wanted, get = gpu.cuda.device_attribute, gpu.device.get_attribute
    per_clock = known[("fp32", "fp16").index(precision)] * gpu.machine.multiprocessors
    ops_per_s = per_clock * get(wanted.CLOCK_RATE) * 1e3
    bytes_per_clock = 2 * get(wanted.GLOBAL_MEMORY_BUS_WIDTH) / 8
    bytes_per_s = bytes_per_clock * get(wanted.MEMORY_CLOCK_RATE) * 1e3
    moved = cost.weight_bytes + cost.activation_bytes
    return float(max(cost.flops / ops_per_s, moved / bytes_per_s))
