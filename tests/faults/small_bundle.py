"""A bundle whose networks cost nothing: real ONNX files, run by ONNX Runtime, that see 50 to 80 HU.

They make faults cheap enough to be tried by the hundred; what is found in heads is not their point.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest

from agent.config import PACKAGED_ENGINES
from agent.records import Subtype

BUNDLE = "small/1"
SIZE_PX, BATCH = 64, 8
SHAPE_KJI = 20, 32, 32
N_CLASSES = len(Subtype) + 1

MANIFEST = """
[bundle]
name = "small"
version = "1"
opset = 17
[slice]
file = "slice.onnx"
sha256 = "{slice}"
pixel_mm = 4.0
size_px = {size_px}
slab_mm = 5.0
neighbours = 0
windows_hu = [[0.0, 80.0]]
batch = {batch}
[volume]
file = "volume.onnx"
sha256 = "{volume}"
voxel_kji_mm = [8.0, 8.0, 8.0]
shape_kji = {shape_kji}
windows_hu = [[0.0, 80.0]]
[reading]
bleed_probability = 0.5
midline_shift = false
[interval]
relative = 0.1
absolute_ml = 1.0
[operating_points.balanced]
score = 0.5
[card]
limits = "For tests of everything but the networks."
"""


def write_engines(folder: Path) -> Path:
    """Write an engines folder: the packaged protocol profiles, and the bundle."""
    shutil.copytree(PACKAGED_ENGINES / "protocols", folder / "protocols")
    bundle = folder / BUNDLE
    bundle.mkdir(parents=True)
    shapes = (BATCH, 1, SIZE_PX, SIZE_PX), (1, N_CLASSES, *SHAPE_KJI)
    digests = {}
    networks = {"slice": slice_network(shapes[0]), "volume": volume_network(shapes[1])}
    for name, network in networks.items():
        (bundle / f"{name}.onnx").write_bytes(network)
        digests[name] = hashlib.sha256(network).hexdigest()
    numbers = {"size_px": SIZE_PX, "batch": BATCH, "shape_kji": list(SHAPE_KJI)}
    (bundle / "bundle.toml").write_text(MANIFEST.format(**digests, **numbers))
    return folder


def slice_network(shape: tuple[int, ...]) -> bytes:
    """Blood is what is brighter than 56 HU, 0.7 of the window."""
    onnx = pytest.importorskip("onnx", reason="writing networks needs the train extra")
    weights, bias = np.zeros((N_CLASSES, 1, 1, 1)), np.full(N_CLASSES, -99.0)
    weights[1], bias[:2] = 100.0, (0.0, -70.0)
    nodes = [
        onnx.helper.make_node("Conv", ["slabs", "w", "b"], ["logits"]),
        onnx.helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    outputs = {"probabilities": (shape[0], N_CLASSES, *shape[2:])}
    return model(nodes, {"slabs": shape}, outputs, {"w": weights, "b": bias})


def volume_network(shape: tuple[int, ...]) -> bytes:
    """Agrees with the slice network; the study score is its highest probability."""
    onnx = pytest.importorskip("onnx", reason="writing networks needs the train extra")
    weights, bias = np.zeros((N_CLASSES, shape[1], 1, 1, 1)), np.full(N_CLASSES, -99.0)
    weights[1, 0], bias[:2] = 100.0, (0.0, -25.0)
    make = onnx.helper.make_node
    nodes = [
        make("Conv", ["block", "w", "b"], ["logits"]),
        make("Softmax", ["logits"], ["bleed"], axis=1),
        make("Slice", ["block", "zero", "one", "axis"], ["seen"]),
        make("ReduceMax", ["seen"], ["highest"], axes=[1, 2, 3, 4], keepdims=0),
        make("Mul", ["highest", "most"], ["score"]),
        make("ArgMax", ["block"], ["classes"], axis=1, keepdims=0),
        make("Mul", ["classes", "zero"], ["anatomy"]),
    ]
    outputs = {"bleed": (1, N_CLASSES, *SHAPE_KJI), "anatomy": (1, *SHAPE_KJI), "score": (1,)}
    constants = {
        "w": weights,
        "b": bias,
        "most": np.array([0.99]),
        "zero": np.array([0], np.int64),
        "one": np.array([1], np.int64),
        "axis": np.array([1], np.int64),
    }
    return model(nodes, {"block": shape}, outputs, constants)


def model(nodes: list, inputs: dict, outputs: dict, constants: dict[str, np.ndarray]) -> bytes:
    """Put a network together."""
    import onnx  # noqa: PLC0415 - of the train extra

    float_type, int_type = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64

    def value(name: str, shape: tuple[int, ...]) -> onnx.ValueInfoProto:
        kind = int_type if name == "anatomy" else float_type
        return onnx.helper.make_tensor_value_info(name, kind, shape)

    graph = onnx.helper.make_graph(
        nodes,
        "small",
        [value(*each) for each in inputs.items()],
        [value(*each) for each in outputs.items()],
        [
            onnx.numpy_helper.from_array(
                array if array.dtype == np.int64 else array.astype(np.float32), name
            )
            for name, array in constants.items()
        ],
    )
    opset = onnx.helper.make_opsetid("", 17)
    made = onnx.helper.make_model(graph, opset_imports=[opset], ir_version=8)
    onnx.checker.check_model(made)
    return made.SerializeToString()
