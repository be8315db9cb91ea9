"""TensorRT and CUDA on one GPU, and all that differs between TensorRT's versions.

Written for TensorRT 11; what it calls is there from 8.6 upward. Since 10, a network can be
*strongly typed*: its graph alone says in which precision each layer runs; since 11 every network
is. Before, the precisions that a graph uses had to be allowed by flags as well.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import DTypeLike
from structlog.typing import FilteringBoundLogger

from agent.errors import GpuError, PlanError
from agent.infer.plan import Machine, Precision
from agent.infer.platform import driver_command, driver_release, install_command

Vendor: TypeAlias = Any
"""A module or an object of TensorRT, pycuda or the driver: none of them has types."""

FIRST_GPU: Final = "first"
NO_GPU: Final = "none"
"""What stands in place of a GPU's UUID: the first one that CUDA sees; none is to be used."""

NEEDLESS_TACTICS: Final = frozenset({"CUBLAS", "CUBLAS_LT", "CUDNN"})
"""Libraries that convolutions do without; TensorRT 11 no longer knows them."""

TYPES: Final = {"INT8": "int8", "FP8": "fp8", "FP16": "fp16|half", "BF16": "bf16|bfloat16"}
"""What the engine inspector calls a precision that is not FP32, upper and lower case alike."""


@dataclass(frozen=True, slots=True, eq=False)
class TensorRt:
    """TensorRT (``trt``) and CUDA (``cuda``: pycuda's driver module) on one GPU.

    Belongs to the thread that made it: the GPU's primary context is current there until ``close``.
    ``libcuda`` is the driver's own library, for the CUDA graphs that pycuda does not know.
    """

    trt: Vendor
    cuda: Vendor
    libcuda: Vendor
    device: Vendor
    context: Vendor
    messages: _Messages
    log: FilteringBoundLogger

    @property
    def machine(self) -> Machine:
        """What an engine built here fits."""
        major, minor = self.device.compute_capability()
        count = self.cuda.device_attribute.MULTIPROCESSOR_COUNT
        return Machine(
            gpu=self.device.name(),
            compute_capability=f"{major}.{minor}",
            multiprocessors=self.device.get_attribute(count),
            tensorrt=self.trt.__version__,
            driver=_driver_version(self.cuda),
        )

    @property
    def memory_bytes(self) -> tuple[int, int]:
        """How much of the card's memory is used, by whatever program, and how much there is."""
        with self.guarded("asking for free memory"):
            free_bytes, total_bytes = self.cuda.mem_get_info()
        return total_bytes - free_bytes, total_bytes

    def engine(self, serialised: bytes) -> Vendor:
        """Make an engine from bytes that were checked; PlanError if TensorRT refuses them.

        Raises GpuError if there is not the memory for it.
        """
        with self.guarded("loading an engine"):
            engine = self._started("Runtime").deserialize_cuda_engine(serialised)
            if engine is None and self.cuda.mem_get_info()[0] < len(serialised):
                raise GpuError("gpu_memory_short", doing="loading an engine")
        if engine is None:
            raise PlanError(
                "plan_unloadable", version=self.trt.__version__, why=self.messages.last_error
            )
        return engine

    def builder(self) -> Vendor:
        """Start TensorRT's builder; GpuError if it cannot."""
        return self._started("Builder")

    def _started(self, name: str) -> Vendor:
        """Make a Runtime or Builder. Where it cannot start, pybind11 raises a TypeError."""
        try:
            return getattr(self.trt, name)(self.messages.listener)
        except TypeError as error:
            raise GpuError(
                "tensorrt_not_started",
                version=self.trt.__version__,
                what=name,
                why=self.messages.last_error,
            ) from error

    @contextmanager
    def guarded(self, what: str) -> Iterator[None]:
        """Turn CUDA's errors into GpuError; ``what`` was being done."""
        try:
            yield
        except self.cuda.MemoryError as error:
            raise GpuError("gpu_memory_short", doing=what) from error
        except self.cuda.Error as error:
            raise GpuError("gpu_failed", doing=what, why=str(error)) from error

    def close(self) -> None:
        """Give the GPU back. What is broken already cannot be given back better."""
        for give_back in (self.context.pop, self.context.detach):
            with suppress(self.cuda.Error):
                give_back()


def load(log: FilteringBoundLogger, gpu: str) -> TensorRt:
    """Take a GPU for this thread: ``FIRST_GPU``, or the one of a UUID, as nvidia-smi -L tells it.

    Raises
    ------
    GpuError
        If TensorRT or pycuda is not installed, there is no driver or GPU, or none is to be used.
    """
    if gpu == NO_GPU:
        raise GpuError("gpu_not_wanted")
    try:
        libcuda = ctypes.CDLL("libcuda.so.1")
    except OSError as error:
        raise GpuError("no_gpu_driver", why=str(error), command=driver_command()) from error
    if gpu != FIRST_GPU:
        os.environ["CUDA_VISIBLE_DEVICES"] = (
            gpu  # read by cuInit; part of a card (MIG) has no other
        )
    cuda, trt = _imported("pycuda.driver"), _imported("tensorrt")
    try:
        return connect(trt, cuda, libcuda, log)
    except GpuError as error:
        if gpu == FIRST_GPU or error.reason.code != "no_gpu":
            raise
        raise GpuError("no_such_gpu", uuid=gpu) from error


def _imported(name: str) -> Vendor:
    """Import a module of the gpu extras; GpuError if it is missing or broken."""
    package = name.partition(".")[0]
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or package
        raise GpuError(
            "gpu_package_missing", package=missing, command=install_command(package)
        ) from error
    except (ImportError, OSError, RuntimeError) as error:
        raise GpuError(
            "gpu_package_broken", package=package, why=str(error), command=install_command(package)
        ) from error


def connect(trt: Vendor, cuda: Vendor, libcuda: Vendor, log: FilteringBoundLogger) -> TensorRt:
    """Take the first GPU that CUDA sees, for this thread, through these libraries.

    Raises
    ------
    GpuError
        If there is none.
    """
    try:
        cuda.init()
        device = cuda.Device(0)
        context = device.retain_primary_context()
        context.push()
    except cuda.Error as error:
        raise GpuError("no_gpu", why=str(error)) from error
    return TensorRt(trt, cuda, libcuda, device, context, _Messages(trt, log), log)


def scratch_bytes(engine: Vendor) -> int:
    """Memory that one context of an engine works in; TensorRT 11 has it by the newer name alone."""
    newer = getattr(engine, "device_memory_size_v2", None)
    return int(engine.device_memory_size if newer is None else newer)


def network_flags(trt: Vendor) -> int:
    """Return flags for a network whose graph sets the batch and, where it can, the precision."""
    known = trt.NetworkDefinitionCreationFlag
    flag = known.STRONGLY_TYPED if is_strongly_typed(trt) else known.EXPLICIT_BATCH
    return 1 << int(flag)


def is_strongly_typed(trt: Vendor) -> bool:
    """Whether a network's graph alone sets the precision."""
    return hasattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED")


def configure(trt: Vendor, config: Vendor, precision: Precision) -> None:
    """Set a builder's configuration so that layers run in the graph's precision, and no other."""
    config.clear_flag(trt.BuilderFlag.TF32)  # FP32 is to be what ONNX Runtime's is
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED  # for ``layer_precisions``
    if precision == "fp16" and not is_strongly_typed(trt):
        config.set_flag(trt.BuilderFlag.FP16)
    tactics = [
        tactic
        for name, tactic in trt.TacticSource.__members__.items()
        if name not in NEEDLESS_TACTICS
    ]
    if not config.set_tactic_sources(sum(1 << int(tactic) for tactic in tactics)):
        raise PlanError("builder_refuses", what="its tactic sources", version=trt.__version__)


def layer_precisions(trt: Vendor, engine: Vendor) -> dict[str, int]:
    """Count an engine's layers by the precision of what they take in, as the inspector tells.

    Until TensorRT 10 a tensor's type stands in ``Format/Datatype``, since 11 by itself.
    """
    inspector = engine.create_engine_inspector()
    described = json.loads(inspector.get_engine_information(trt.LayerInformationFormat.JSON))
    layers = [
        layer for layer in described["Layers"] if isinstance(layer, dict) and layer.get("Inputs")
    ]
    return dict(sorted(Counter(_precision(layer["Inputs"][0]) for layer in layers).items()))


def dtype_of(trt: Vendor, tensor_type: Vendor) -> DTypeLike:
    """Return numpy's type; PlanError if no bundle has it. ``trt.nptype`` fails on a new numpy."""
    for known, dtype in ((trt.float32, np.float32), (trt.int32, np.int32)):
        if tensor_type == known:
            return dtype
    raise PlanError("plan_tensor_type", tensor_type=str(tensor_type))


def _precision(tensor: dict[str, Any]) -> str:
    said = next((str(tensor[key]) for key in tensor if "datatype" in key.lower()), "")
    for name, pattern in TYPES.items():
        if re.search(rf"\b({pattern})\b", said, re.IGNORECASE):
            return name
    return "FP32" if re.search(r"\b(fp32|float)\b", said, re.IGNORECASE) else "other"


def _driver_version(cuda: Vendor) -> str:
    """Name the driver's release, or the CUDA version that it serves where it hides that."""
    cuda_version = cuda.get_driver_version()
    return driver_release() or f"CUDA {cuda_version // 1000}.{cuda_version % 1000 // 10}"


class _Messages:
    """What TensorRT says: warnings and errors go to the log, the last error is kept."""

    def __init__(self, trt: Vendor, log: FilteringBoundLogger) -> None:
        self.last_error = "it says nothing"
        messages = self

        class Listener(trt.ILogger):  # type: ignore[misc]  # of a library without types
            def __init__(self) -> None:
                trt.ILogger.__init__(self)

            def log(self, severity: Vendor, message: str) -> None:
                if severity in (trt.ILogger.INTERNAL_ERROR, trt.ILogger.ERROR):
                    messages.last_error = message
                    log.error("tensorrt", message=message)
                elif severity == trt.ILogger.WARNING:
                    log.warning("tensorrt", message=message)

        self.listener = Listener()
