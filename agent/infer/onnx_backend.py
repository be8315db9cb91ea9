"""ONNX Runtime on the CPU: the reference that every other backend is held to."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from numpy.typing import NDArray

from agent.records import CPU

# ONNX Runtime can report its use to its makers and keeps an identifier for that in the temporary
# folder. A box beside a scanner reports to nobody; the variable is read at import.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime as ort

from agent.errors import BundleError, InferenceError
from agent.infer.backend import (
    N_CLASSES,
    Floats,
    RunBy,
    VolumeOutput,
    sound,
    sound_volume,
)
from agent.infer.bundle import SLICE_FILE, VOLUME_FILE, Bundle

NO_FOLDER: Final = os.devnull
"""Where ONNX Runtime looks for weights outside of a network's own bytes: it finds none."""


class OnnxBackend:
    """Runs a bundle's ONNX files. The same input gives bit-identical output every time."""

    def __init__(self, bundle: Bundle, *, threads: int) -> None:
        """Load both networks; BundleError if one cannot be run or does not fit its contract."""
        self._bundle = bundle
        slices, volume = bundle.folder / SLICE_FILE, bundle.folder / VOLUME_FILE
        self._slices = _session(bundle.slice_network, slices, threads)
        self._volume = _session(bundle.volume_network, volume, threads)
        _expect(self._slices, "slabs", bundle.contract.slices.shape, slices)
        _expect(self._volume, "block", bundle.contract.volume.shape, volume)

    @property
    def run_by(self) -> RunBy:
        """ONNX Runtime with its version."""
        return RunBy(f"ONNX Runtime {ort.__version__}", CPU)

    @property
    def slabs_per_run(self) -> int:
        """See ``Backend``."""
        return self._bundle.contract.slices.batch

    def run_slices(self, batches: Iterable[Floats]) -> Iterator[Floats]:
        """See ``Backend``."""
        batch, _, rows, columns = self._bundle.contract.slices.shape
        for slabs in batches:
            (probabilities,) = _run(self._slices, ["probabilities"], {"slabs": slabs})
            yield sound(probabilities, (batch, N_CLASSES, rows, columns), "slice probabilities")

    def run_volume(self, block: Floats) -> VolumeOutput:
        """See ``Backend``."""
        bleed, anatomy, score = _run(self._volume, ["bleed", "anatomy", "score"], {"block": block})
        return sound_volume(bleed, anatomy, score, self._bundle.contract.volume.shape_kji)


def _session(network: bytes, path: Path, threads: int) -> ort.InferenceSession:
    """Load a network's bytes; ``path`` is where they came from."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.enable_mem_pattern = False  # with it the volume network holds 130 MB more
    # Idle pool threads would spin against the reader, and slices come seconds apart.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry(
        "session.model_external_initializers_file_folder_path", NO_FOLDER
    )
    try:
        return ort.InferenceSession(network, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime raises bare Exceptions of its own
        raise BundleError("network_unloadable", path=str(path), why=str(error)) from error


def _expect(session: ort.InferenceSession, name: str, shape: tuple[int, ...], path: Path) -> None:
    inputs = {value.name: tuple(value.shape) for value in session.get_inputs()}
    if inputs != {name: shape}:
        raise BundleError(
            "network_input_differs", path=str(path), inputs=str(inputs), expected=f"{name} {shape}"
        )


def _run(
    session: ort.InferenceSession, outputs: list[str], inputs: dict[str, Floats]
) -> list[NDArray[Any]]:
    try:
        values: list[NDArray[Any]] = session.run(outputs, inputs)
    except Exception as error:  # as above
        raise InferenceError("onnx_failed", why=str(error)) from error
    return values
