"""OpenVINO on the CPU: faster than the reference on many boxes, used once it was verified there."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from agent.errors import InferenceError
from agent.infer.backend import (
    N_CLASSES,
    Floats,
    RunBy,
    VolumeOutput,
    sound,
    sound_volume,
)
from agent.infer.bundle import Bundle
from agent.records import CPU

if TYPE_CHECKING:
    from openvino import InferRequest

PACKAGE: Final = "openvino"


def installed_version() -> str | None:
    """Return OpenVINO's version; None where it is not installed."""
    try:
        return version(PACKAGE)
    except PackageNotFoundError:
        return None


class OpenVinoBackend:
    """Runs a bundle's ONNX files in FP32. The same input gives bit-identical output every time.

    The bundle is one that the reference has loaded, and so found to fit its contract.
    """

    def __init__(self, bundle: Bundle, *, threads: int) -> None:
        """Compile both networks; InferenceError if OpenVINO is missing or cannot."""
        self._contract = bundle.contract
        self._version = installed_version()
        self._slices = _request(bundle.slice_network, threads)
        self._volume = _request(bundle.volume_network, threads)

    @property
    def run_by(self) -> RunBy:
        """OpenVINO with its version."""
        return RunBy(f"OpenVINO {self._version}", CPU)

    @property
    def slabs_per_run(self) -> int:
        """See ``Backend``."""
        return self._contract.slices.batch

    def run_slices(self, batches: Iterable[Floats]) -> Iterator[Floats]:
        """See ``Backend``."""
        batch, _, rows, columns = self._contract.slices.shape
        for slabs in batches:
            (probabilities,) = _run(self._slices, ["probabilities"], slabs)
            yield sound(probabilities, (batch, N_CLASSES, rows, columns), "slice probabilities")

    def run_volume(self, block: Floats) -> VolumeOutput:
        """See ``Backend``."""
        bleed, anatomy, score = _run(self._volume, ["bleed", "anatomy", "score"], block)
        return sound_volume(bleed, anatomy, score, self._contract.volume.shape_kji)


def _request(network: bytes, threads: int) -> InferRequest:
    # Importing OpenVINO reports it to its makers where this package is found. A box beside a
    # scanner reports to nobody.
    vars(sys)["modules"]["openvino_telemetry"] = None  # Python then finds no such package
    try:
        import openvino  # noqa: PLC0415 - an extra, and slow to load

        core = openvino.Core()
        settings = {
            "INFERENCE_PRECISION_HINT": "f32",
            "EXECUTION_MODE_HINT": "ACCURACY",
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": str(threads),
            "ENABLE_CPU_PINNING": "NO",  # other services run on the same cores
        }
        return core.compile_model(core.read_model(network), "CPU", settings).create_infer_request()
    except (ImportError, RuntimeError) as error:
        raise InferenceError("openvino_failed", why=str(error)) from error


def _run(request: InferRequest, outputs: list[str], values: Floats) -> list[NDArray[Any]]:
    try:
        request.infer({0: np.ascontiguousarray(values)}, share_inputs=True)
        return [np.array(request.get_tensor(name).data) for name in outputs]
    except RuntimeError as error:
        raise InferenceError("openvino_failed", why=str(error)) from error
