"""Networks made by hand, whose every shape and number is known, and what is read out of a graph."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

FEATURES = 8


def made(nodes: list[NodeProto], weights: dict[str, np.ndarray], batch: int = 4) -> ModelProto:
    """Slabs (batch, 2, 16, 16) to ``probabilities`` of any shape."""
    graph = helper.make_graph(
        nodes,
        "made by hand",
        [helper.make_tensor_value_info("slabs", TensorProto.FLOAT, (batch, 2, 16, 16))],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(values, name) for name, values in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    model = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    onnx.checker.check_model(model, full_check=True)
    return model


def small_network(*between: NodeProto, scale: float = 1.0, **more: np.ndarray) -> ModelProto:
    """Convolution, ReLU, whatever comes ``between`` "relu" and "in", convolution, softmax."""
    rng = np.random.default_rng(0)
    nodes = [
        helper.make_node("Conv", ["slabs", "w1", "b1"], ["conv"], name="first", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["conv"], ["relu"], name="relu"),
        *(between or [helper.make_node("Identity", ["relu"], ["in"], name="same")]),
        helper.make_node("Conv", ["in", "w2", "b2"], ["logits"], name="last"),
        helper.make_node("Softmax", ["logits"], ["probabilities"], name="softmax", axis=1),
    ]
    weights = {
        "w1": rng.normal(size=(FEATURES, 2, 3, 3)) * scale,
        "b1": rng.normal(size=FEATURES),
        "w2": rng.normal(size=(3, FEATURES, 1, 1)),
        "b2": rng.normal(size=3),
    }
    floats = {name: values.astype(np.float32) for name, values in weights.items()}
    return made(nodes, floats | more)


def written(folder: Path, network: ModelProto) -> Path:
    path = folder / "network.onnx"
    onnx.save(network, path)
    return path


def slabs(count: int = 4) -> np.ndarray:
    return np.random.default_rng(1).random((count, 2, 16, 16), dtype=np.float32)


def run(network: bytes, values: np.ndarray) -> list[np.ndarray]:
    """Run a network on the CPU."""
    session = ort.InferenceSession(network, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: values})


def graph_of(network: bytes) -> onnx.GraphProto:
    """Read a graph with the type and shape of every tensor."""
    model = onnx.load_model_from_string(network)
    return onnx.shape_inference.infer_shapes(model, strict_mode=True).graph


def types(graph: onnx.GraphProto) -> dict[str, int]:
    values = (*graph.input, *graph.value_info, *graph.output)
    of_values = {value.name: value.type.tensor_type.elem_type for value in values}
    return of_values | {tensor.name: tensor.data_type for tensor in graph.initializer}


def nodes(graph: onnx.GraphProto, *kinds: str) -> list[NodeProto]:
    return [node for node in graph.node if node.op_type in kinds]


def arrays(graph: onnx.GraphProto) -> dict[str, np.ndarray]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
