"""A bundle whose networks are a few lines of ONNX: it calls blood what is dense and is no bone.

Real files, run by ONNX Runtime, that cost next to nothing; what they find is not the point.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from agent.config import PACKAGED_ENGINES

BUNDLE = "tiny/1"
PX, VOXELS_KJI = 64, (20, 32, 32)
BATCH, CHANNELS, MIDDLE = 4, 6, 2

MANIFEST = """
name = "tiny"
version = "{version}"

[slices]
pixel_mm = 4.0
size_px = 64
slab_mm = 5.0
neighbours = 1
windows_hu = [[0.0, 80.0], [-20.0, 100.0]]
batch = 4

[volume]
voxel_kji_mm = [8.0, 8.0, 8.0]
shape_kji = [20, 32, 32]
windows_hu = [[0.0, 80.0]]

[reading]
bleed_probability = 0.3
midline_shift = false
mirrored = false

[interval]
below = 0.5
above = 0.5
below_by_doubt = 0.0
above_by_doubt = 0.0
absolute_ml = 1.0

[[operating_points]]
name = "balanced"
score = 0.5

[sha256]
slices = "{slice}"
volume = "{volume}"

[card]
trained_on = "nothing"
"""


def write_engines(folder: Path) -> Path:
    """Write an engines folder: the packaged protocol profiles, and the bundle."""
    shutil.copytree(PACKAGED_ENGINES / "protocols", folder / "protocols")
    write_tiny_bundle(folder)
    return folder


def write_tiny_bundle(engines: Path, version: str = "1", *, dense: float = 0.62) -> Path:
    """Write ``tiny/version`` below an engines folder; blood is what is above ``dense`` of 80 HU."""
    folder = engines / "tiny" / version
    folder.mkdir(parents=True)
    digests = {}
    for name, model in (("slice", slice_model(dense)), ("volume", volume_model())):
        content = model.SerializeToString()
        (folder / f"{name}.onnx").write_bytes(content)
        digests[name] = hashlib.sha256(content).hexdigest()
    (folder / "bundle.toml").write_text(MANIFEST.format(version=version, **digests))
    return folder


def slice_model(dense: float = 0.62) -> onnx.ModelProto:
    """Build a convolution that picks what is dense, one that turns it into classes, a softmax."""
    pick = np.zeros((8, CHANNELS, 1, 1), np.float32)
    pick[0, MIDDLE] = pick[1, MIDDLE] = 1
    picks = np.array([-dense, -0.9, *[0] * 6], np.float32)
    classes = np.zeros((6, 8, 1, 1), np.float32)
    classes[1, 0], classes[1, 1] = 60, -400
    nodes = [
        helper.make_node("Conv", ["slabs", "pick", "picks"], ["picked"], name="picking"),
        helper.make_node("Relu", ["picked"], ["dense"]),
        helper.make_node("Conv", ["dense", "classes", "bias"], ["logits"], name="classing"),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        helper.make_node("ReduceMax", ["dense"], ["score"], axes=[1, 2, 3], keepdims=0),
    ]
    bias = np.array([0, -4, -9, -9, -9, -9], np.float32)
    weights = {"pick": pick, "picks": picks, "classes": classes, "bias": bias}
    outputs = {"probabilities": (BATCH, 6, PX, PX), "score": (BATCH,)}
    return model(nodes, weights, ("slabs", (BATCH, CHANNELS, PX, PX)), outputs)


def volume_model() -> onnx.ModelProto:
    """Build a network that believes the slices, and calls all of the head left frontal."""
    believe = np.zeros((6, 6, 1, 1, 1), np.float32)
    for subtype in range(5):
        believe[subtype + 1, subtype] = 12
    anatomy = np.zeros((2, 6, 1, 1, 1), np.float32)
    anatomy[1, 5] = 1
    bias = np.array([0, *[-3] * 5], np.float32)
    nodes = [
        helper.make_node("Conv", ["block", "believe", "bias"], ["logits"], name="believing"),
        helper.make_node("Softmax", ["logits"], ["bleed"], axis=1),
        helper.make_node("Conv", ["block", "regions"], ["region"], name="placing"),
        helper.make_node("ArgMax", ["region"], ["regions_long"], axis=1, keepdims=0),
        helper.make_node("Cast", ["regions_long"], ["anatomy"], to=TensorProto.INT32),
        helper.make_node("Slice", ["bleed", "one", "six", "axis"], ["blood"]),
        helper.make_node("ReduceMax", ["blood"], ["score"], axes=[1, 2, 3, 4], keepdims=0),
    ]
    weights = {
        "believe": believe,
        "bias": bias,
        "regions": anatomy,
        "one": np.array([1], np.int64),
        "six": np.array([6], np.int64),
        "axis": np.array([1], np.int64),
    }
    outputs = {"bleed": (1, 6, *VOXELS_KJI), "anatomy": (1, *VOXELS_KJI), "score": (1,)}
    return model(nodes, weights, ("block", (1, 6, *VOXELS_KJI)), outputs)


def model(
    nodes: list[onnx.NodeProto],
    weights: dict[str, np.ndarray],
    takes: tuple[str, tuple[int, ...]],
    gives: dict[str, tuple[int, ...]],
) -> onnx.ModelProto:
    """Put a graph of opset 17 together."""
    types = {"anatomy": TensorProto.INT32}
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(takes[0], TensorProto.FLOAT, takes[1])],
        [
            helper.make_tensor_value_info(name, types.get(name, TensorProto.FLOAT), shape)
            for name, shape in gives.items()
        ],
        [numpy_helper.from_array(values, name) for name, values in weights.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    made.ir_version = 8
    onnx.checker.check_model(made)
    return made
