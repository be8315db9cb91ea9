"""CUDA graphs: what a stream is given once, launched again with one call.

pycuda does not know them, so the driver's own library is called.
Source: CUDA Driver API, sections "Stream Management" and "Graph Management".
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Final

from agent.errors import GpuError
from agent.infer.tensorrt_api import Vendor

THREAD_LOCAL: Final = 1
"""CU_STREAM_CAPTURE_MODE_THREAD_LOCAL: what other threads do meanwhile disturbs no capture."""


class CudaGraph:
    """One recorded sequence of copies and kernels."""

    def __init__(self, libcuda: Vendor, stream_handle: int, enqueue: Callable[[], None]) -> None:
        """Record what ``enqueue`` gives to the stream; it is not run.

        Raises
        ------
        GpuError
            If something in it cannot be recorded.
        """
        self._libcuda = libcuda
        self._stream = ctypes.c_void_p(stream_handle)
        self._executable = ctypes.c_void_p()
        graph = ctypes.c_void_p()
        self._call("cuStreamBeginCapture_v2", self._stream, THREAD_LOCAL)
        try:
            enqueue()
        finally:
            self._call("cuStreamEndCapture", self._stream, ctypes.byref(graph))
        flags = ctypes.c_ulonglong(0)
        self._call("cuGraphInstantiateWithFlags", ctypes.byref(self._executable), graph, flags)
        self._call("cuGraphDestroy", graph)

    def launch(self) -> None:
        """Run it on its stream; GpuError if the driver refuses."""
        self._call("cuGraphLaunch", self._executable, self._stream)

    def destroy(self) -> None:
        """Give its memory back, as far as the driver still can."""
        self._libcuda.cuGraphExecDestroy(self._executable)

    def _call(self, name: str, *arguments: Vendor) -> None:
        code = getattr(self._libcuda, name)(*arguments)
        if code:
            raise GpuError("cuda_call_failed", call=name, cuda_error=code)
