"""pycuda's driver module as a double: work waits in its stream until somebody waits for it.

What a real card would answer with an error, or with a wrong result on a bad day, is an error here:
another thread's calls, memory that is not pinned, freed or too small, a call while it is broken.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import ClassVar

import numpy as np


class Error(Exception):
    pass


class LogicError(Error):
    pass


class CudaMemoryError(Error):
    pass


@dataclass
class Card:
    """The card: what it is, and what is in its memory."""

    name: str = "NVIDIA L4"
    capability: tuple[int, int] = (8, 9)
    multiprocessors: int = 58
    memory_bytes: int = 2**34
    others_bytes: int = 0
    owner: int | None = None
    depth: int = 0
    broken: str | None = None
    memory: dict[int, np.ndarray] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    launches: int = 0
    breaks_at_launch: int | None = None
    nan_outputs: bool = False
    records_graphs: bool = True
    breaks_for_good: bool = False

    def call(self, name: str) -> None:
        """Note a call; it fails on a broken card, and from a thread that has no context."""
        self.calls.append(name)
        if self.broken:
            raise LogicError(f"{name} failed: {self.broken}")
        if self.owner != threading.get_ident():
            raise LogicError(f"{name} failed: invalid device context")

    def allocated(self, address: int, size_bytes: int) -> np.ndarray:
        if address not in self.memory:
            raise LogicError("an illegal memory access was encountered")
        if len(self.memory[address]) < size_bytes:
            raise LogicError("an illegal memory access was encountered")
        return self.memory[address][:size_bytes]

    def launch(self) -> None:
        self.launches += 1
        if self.launches == self.breaks_at_launch:
            self.broken = "an illegal memory access was encountered"
            raise LogicError(self.broken)

    def enqueue(self, stream_handle: int, work: Callable[[], None]) -> None:
        Stream.by_handle[stream_handle].enqueue(work)

    def in_use_bytes(self) -> int:
        """What is allocated here; ``others_bytes`` are other programs'."""
        return sum(map(len, self.memory.values()))


class Stream:
    by_handle: ClassVar[dict[int, Stream]] = {}

    def __init__(self, card: Card) -> None:
        card.call("cuStreamCreate")
        self._card = card
        self.waiting: list[Callable[[], None]] = []
        self.recording: list[Callable[[], None]] | None = None
        self.handle = id(self)
        Stream.by_handle[self.handle] = self

    def enqueue(self, work: Callable[[], None]) -> None:
        (self.waiting if self.recording is None else self.recording).append(work)

    def synchronize(self) -> None:
        self._card.call("cuStreamSynchronize")
        if self.recording is not None:
            raise LogicError("operation not permitted when stream is capturing")
        waiting, self.waiting = self.waiting, []
        for work in waiting:
            work()


@dataclass
class DeviceAllocation:
    card: Card
    address: int

    def __int__(self) -> int:
        return self.address

    def free(self) -> None:
        self.card.call("cuMemFree")
        if self.card.memory.pop(self.address, None) is None:
            raise LogicError("cuMemFree failed: invalid argument")


class HostAllocation(bytearray):
    """Pinned memory."""

    freed = False

    def free(self) -> None:
        if self.freed:
            raise LogicError("cuMemFreeHost failed: invalid argument")
        self.freed = True


class Context:
    def __init__(self, card: Card) -> None:
        self._card = card

    def push(self) -> None:
        if self._card.owner not in (None, threading.get_ident()):
            raise LogicError("the context is current to another thread")
        self._card.owner = threading.get_ident()
        self._card.depth += 1

    def pop(self) -> None:
        self._card.call("cuCtxPopCurrent")
        self._card.depth -= 1

    def detach(self) -> None:
        if self._card.depth == 0:
            self._card.owner = None
            self._card.memory.clear()


class Device:
    def __init__(self, card: Card) -> None:
        self._card = card

    def name(self) -> str:
        return self._card.name

    def compute_capability(self) -> tuple[int, int]:
        return self._card.capability

    def get_attribute(self, attribute: str) -> int:
        return {"sms": self._card.multiprocessors, "clock": 2_040_000, "bus": 192,
                "memory_clock": 6_251_000}[attribute]  # fmt: skip

    def retain_primary_context(self) -> Context:
        if self._card.broken and self._card.breaks_for_good:
            raise LogicError(f"cuDevicePrimaryCtxRetain failed: {self._card.broken}")
        if self._card.broken:  # a new context; what the broken one held is gone
            self._card.broken = self._card.owner = None
            self._card.depth = 0
            self._card.memory.clear()
        return Context(self._card)


def cuda_module(card: Card | None) -> SimpleNamespace:  # noqa: C901 - a module of functions
    """Make the module for a computer with this card, or with none."""

    def init() -> None:
        if card is None:
            raise Error("cuInit failed: no CUDA-capable device is detected")

    def mem_get_info() -> tuple[int, int]:
        card.call("cuMemGetInfo")
        return card.memory_bytes - card.in_use_bytes() - card.others_bytes, card.memory_bytes

    def mem_alloc(size_bytes: int) -> DeviceAllocation:
        card.call("cuMemAlloc")
        if card.in_use_bytes() + size_bytes > card.memory_bytes:
            raise CudaMemoryError("cuMemAlloc failed: out of memory")
        address = 4096 * (1 + len(card.calls))
        card.memory[address] = np.full(size_bytes, 0xCD, np.uint8)
        return DeviceAllocation(card, address)

    def pagelocked_empty(shape: tuple[int, ...], dtype: type) -> np.ndarray:
        card.call("cuMemAllocHost")
        held = HostAllocation(int(np.prod(shape)) * np.dtype(dtype).itemsize)
        array = np.ndarray(shape, dtype, buffer=held)
        assert array.base is held
        array[...] = -7
        return array

    def memcpy_htod_async(to: DeviceAllocation, source: np.ndarray, stream: Stream) -> None:
        card.call("cuMemcpyHtoDAsync")
        require_pinned(source)

        def copy() -> None:
            card.allocated(int(to), source.nbytes)[:] = source.reshape(-1).view(np.uint8)

        stream.enqueue(copy)

    def memcpy_dtoh_async(to: np.ndarray, source: DeviceAllocation, stream: Stream) -> None:
        card.call("cuMemcpyDtoHAsync")
        require_pinned(to)

        def copy() -> None:
            to.reshape(-1).view(np.uint8)[:] = card.allocated(int(source), to.nbytes)

        stream.enqueue(copy)

    return SimpleNamespace(
        init=init,
        Device=lambda _: Device(card),
        Stream=lambda: Stream(card),
        Error=Error,
        MemoryError=CudaMemoryError,
        device_attribute=SimpleNamespace(
            MULTIPROCESSOR_COUNT="sms",
            CLOCK_RATE="clock",
            GLOBAL_MEMORY_BUS_WIDTH="bus",
            MEMORY_CLOCK_RATE="memory_clock",
        ),
        get_driver_version=lambda: 12040,
        mem_alloc=mem_alloc,
        mem_get_info=mem_get_info,
        pagelocked_empty=pagelocked_empty,
        memcpy_htod_async=memcpy_htod_async,
        memcpy_dtoh_async=memcpy_dtoh_async,
    )


def require_pinned(array: np.ndarray) -> None:
    if not isinstance(array.base, HostAllocation) or array.base.freed:
        raise LogicError("asynchronous copies need pinned memory")


class LibCuda:
    """The driver's calls for CUDA graphs; arguments as ctypes gives them."""

    def __init__(self, card: Card) -> None:
        self._card = card
        self._graphs: dict[int, list[Callable[[], None]]] = {}
        self.launched = 0

    def cuStreamBeginCapture_v2(self, stream, mode) -> int:  # noqa: N802
        if not self._card.records_graphs:
            return 801  # CUDA_ERROR_NOT_SUPPORTED
        Stream.by_handle[stream.value].recording = []
        return 0

    def cuStreamEndCapture(self, stream, graph) -> int:  # noqa: N802
        recorded = Stream.by_handle[stream.value].recording
        Stream.by_handle[stream.value].recording = None
        if recorded is None:
            return 401  # CUDA_ERROR_ILLEGAL_STATE
        graph._obj.value = len(self._graphs) + 1
        self._graphs[graph._obj.value] = recorded
        return 0

    def cuGraphInstantiateWithFlags(self, executable, graph, flags) -> int:  # noqa: N802
        executable._obj.value = graph.value
        return 0

    def cuGraphDestroy(self, graph) -> int:  # noqa: N802
        return 0

    def cuGraphLaunch(self, executable, stream) -> int:  # noqa: N802
        if self._card.broken or executable.value not in self._graphs:
            return 400  # CUDA_ERROR_INVALID_HANDLE
        self.launched += 1
        for work in self._graphs[executable.value]:
            Stream.by_handle[stream.value].enqueue(work)
        return 0

    def cuGraphExecDestroy(self, executable) -> int:  # noqa: N802
        self._graphs.pop(executable.value, None)
        return 0
