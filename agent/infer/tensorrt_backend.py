"""TensorRT on the GPU: a plan's two engines, fed through pinned memory.

One thread makes, uses and closes it: that which the ``TensorRt`` it was given belongs to. Nothing
is allocated after the start. Slabs stream through two lanes, so that one lane copies while the
other computes and the host makes the next batch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from itertools import cycle
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from agent.errors import GpuError, PlanError
from agent.infer.backend import N_CLASSES, Floats, RunBy, VolumeOutput, sound, sound_volume
from agent.infer.bundle import Bundle
from agent.infer.cuda_graph import CudaGraph
from agent.infer.plan import Plan
from agent.infer.tensorrt_api import TensorRt, Vendor, dtype_of, scratch_bytes

SLICE_LANES: Final = 2
"""Double buffering."""


class Lane:
    """One execution context with a stream and buffers of its own, for input of one shape.

    After one warm-up, its copies and kernels are recorded as a CUDA graph and replayed.
    """

    def __init__(self, gpu: TensorRt, engine: Vendor, shape: tuple[int, ...]) -> None:
        """Allocate, and run once.

        Raises
        ------
        PlanError
            If the engine does not take input of this shape.
        GpuError
            If the GPU fails, or has not the memory.
        """
        self._gpu = gpu
        self._graph: CudaGraph | None = None
        self._host: dict[str, NDArray[Any]] = {}
        self._device: dict[str, Vendor] = {}
        with gpu.guarded("preparing an engine"), ExitStack() as stack:
            stack.callback(self.close)
            self._stream = gpu.cuda.Stream()
            self._scratch_bytes = scratch_bytes(engine)
            self._context = engine.create_execution_context()
            if self._context is None:
                raise GpuError("gpu_context_refused", why=gpu.messages.last_error)
            self._input = self._only_input(engine, shape)
            for number in range(engine.num_io_tensors):
                self._allocate(engine, engine.get_tensor_name(number))
            self._enqueue()
            self._stream.synchronize()
            self._graph = self._recorded()
            stack.pop_all()

    @property
    def taken_bytes(self) -> int:
        """What it takes of the card's memory: buffers, and its engine's scratch memory."""
        return self._scratch_bytes + sum(host.nbytes for host in self._host.values())

    def start(self, values: Floats) -> None:
        """Begin with one input, once what may still run is done."""
        with self._gpu.guarded("starting a network"):
            self._stream.synchronize()
            np.copyto(self._host[self._input], values)
            self._graph.launch() if self._graph else self._enqueue()

    def finish(self) -> dict[str, NDArray[Any]]:
        """Wait for it, and return its outputs by name."""
        with self._gpu.guarded("running a network"):
            self._stream.synchronize()
        return {name: host.copy() for name, host in self._host.items() if name != self._input}

    def close(self) -> None:
        """Free what it holds, as far as the GPU still can."""
        if self._graph:
            self._graph.destroy()
        for held in (*self._device.values(), *(host.base for host in self._host.values())):
            with suppress(self._gpu.cuda.Error):
                held.free()
        self._device.clear()
        self._host.clear()
        self._graph = self._context = self._stream = None

    def _only_input(self, engine: Vendor, shape: tuple[int, ...]) -> str:
        names = [engine.get_tensor_name(number) for number in range(engine.num_io_tensors)]
        is_input = self._gpu.trt.TensorIOMode.INPUT
        inputs = [name for name in names if engine.get_tensor_mode(name) == is_input]
        if len(inputs) != 1 or not self._context.set_input_shape(inputs[0], shape):
            raise PlanError(
                "plan_input_differs",
                inputs=str(inputs),
                shape=str(shape),
                why=self._gpu.messages.last_error,
            )
        return str(inputs[0])

    def _allocate(self, engine: Vendor, name: str) -> None:
        shape = tuple(self._context.get_tensor_shape(name))
        dtype = dtype_of(self._gpu.trt, engine.get_tensor_dtype(name))
        host = self._gpu.cuda.pagelocked_empty(shape, dtype)
        host[...] = 0
        self._host[name] = host
        self._device[name] = self._gpu.cuda.mem_alloc(host.nbytes)
        if not self._context.set_tensor_address(name, int(self._device[name])):
            raise GpuError("tensorrt_failed", why=self._gpu.messages.last_error)

    def _enqueue(self) -> None:
        cuda, stream = self._gpu.cuda, self._stream
        cuda.memcpy_htod_async(self._device[self._input], self._host[self._input], stream)
        if not self._context.execute_async_v3(stream.handle):
            raise GpuError("tensorrt_failed", why=self._gpu.messages.last_error)
        for name, host in self._host.items():
            if name != self._input:
                cuda.memcpy_dtoh_async(host, self._device[name], stream)

    def _recorded(self) -> CudaGraph | None:
        """Record what a run enqueues; without a graph each run is enqueued anew, and is slower."""
        try:
            return CudaGraph(self._gpu.libcuda, self._stream.handle, self._enqueue)
        except GpuError as error:
            self._gpu.log.warning("no_cuda_graph", reason=str(error))
            return None


class TensorRtBackend:
    """Runs a plan that was checked before it is handed in."""

    def __init__(self, plan: Plan, bundle: Bundle, gpu: TensorRt) -> None:
        """Load both engines and warm them up.

        Raises
        ------
        PlanError
            If an engine cannot be loaded, or does not fit the bundle's contract.
        GpuError
            If the GPU fails, or has not the memory.
        """
        self._bundle = bundle
        runtime = f"TensorRT {gpu.trt.__version__}"
        self._run_by = RunBy(f"{runtime}, {plan.manifest.name}", gpu.device.name())
        self.slabs_per_run = plan.manifest.slabs_per_run
        slices, volume = (gpu.engine(it) for it in (plan.slice_plan, plan.volume_plan))
        slabs = (self.slabs_per_run, *bundle.contract.slices.shape[1:])
        with ExitStack() as stack:
            self._lanes = [_lane(stack, gpu, slices, slabs) for _ in range(SLICE_LANES)]
            self._volume = _lane(stack, gpu, volume, bundle.contract.volume.shape)
            self._weight_bytes = len(plan.slice_plan) + len(plan.volume_plan)
            self._held = stack.pop_all()

    @property
    def run_by(self) -> RunBy:
        """TensorRT with its version and the plan, and the card."""
        return self._run_by

    @property
    def taken_bytes(self) -> int:
        """What it takes of the card's memory; weights take about what they take in the plan."""
        lanes_bytes = sum(lane.taken_bytes for lane in (*self._lanes, self._volume))
        return self._weight_bytes + lanes_bytes

    def run_slices(self, batches: Iterable[Floats]) -> Iterator[Floats]:
        """See ``Backend``."""
        lanes, running = cycle(self._lanes), deque[Lane]()
        for slabs in batches:
            if len(running) == len(self._lanes):
                yield self._probabilities(running.popleft())
            running.append(next(lanes))
            running[-1].start(slabs)
        while running:
            yield self._probabilities(running.popleft())

    def run_volume(self, block: Floats) -> VolumeOutput:
        """See ``Backend``."""
        self._volume.start(block)
        outputs = self._volume.finish()
        bleed, anatomy, score = (_output(outputs, name) for name in ("bleed", "anatomy", "score"))
        return sound_volume(bleed, anatomy, score, self._bundle.contract.volume.shape_kji)

    def close(self) -> None:
        """Free what it holds on the GPU."""
        self._held.close()

    def _probabilities(self, lane: Lane) -> Floats:
        _, _, rows, columns = self._bundle.contract.slices.shape
        shape = (self.slabs_per_run, N_CLASSES, rows, columns)
        return sound(_output(lane.finish(), "probabilities"), shape, "slice probabilities")


def _lane(stack: ExitStack, gpu: TensorRt, engine: Vendor, shape: tuple[int, ...]) -> Lane:
    lane = Lane(gpu, engine, shape)
    stack.callback(lane.close)
    return lane


def _output(outputs: dict[str, NDArray[Any]], name: str) -> NDArray[Any]:
    if name not in outputs:
        raise PlanError("plan_output_missing", output=name, outputs=", ".join(outputs))
    return outputs[name]
