"""The graph that TensorRT compiles: a bundle's network in the precision that it is to run in.

From TensorRT 10 on networks are strongly typed: the graph says what is FP16. Inputs and outputs
stay as the bundle has them, so that who feeds an engine need not know its precision.

There is no INT8: memory, not arithmetic, holds these networks back, and it decided differently on
some heads.

The FP16 pass is ours: those of ONNX Runtime and onnxconverter-common go back to FP16 between any
two nodes that are kept in FP32, round the constants of such nodes (1e-8 becomes 6e-8 or 1e-7), and
leave a graph that `onnx.checker` refuses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import numpy as np
import onnx
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from agent.errors import AgentError, PlanError
from agent.infer.plan import Precision

SLABS: Final = "slabs"
"""Name of a batched network's first dimension."""

FP16: Final = frozenset({"Conv"})
"""Operators that run in FP16 wherever they stand."""

FP16_WITH_INPUTS: Final = frozenset({"Add", "ArgMax", "Relu", "Reshape", "Resize"})
"""Operators that run in FP16 where all that they work on already is FP16.

All else stays FP32, and with it every probability and what is made of it: softmax, the logarithm of
probabilities down to 1e-4, the largest mean of many pixels, the score.
"""


def network_at(network: bytes, path: Path, precision: Precision, *, typed: bool) -> bytes:
    """Bring a bundle's network to a precision.

    Parameters
    ----------
    path
        Where the network was read from, for what is said of it.
    typed
        Whether the graph alone says what is FP16, as TensorRT 10 and later have it. Before, FP16 is
        the builder's to choose, and the graph stays as it is.

    Raises
    ------
    PlanError
        If that is no ONNX network, has weights in other files, which no digest covers, or cannot be
        brought to that precision.
    """
    with _refusing(lambda why: PlanError("no_onnx_network", path=str(path), why=why)):
        model = onnx.load_model_from_string(network)
        _refuse_other_files(model.graph)
        onnx.checker.check_model(model)
    with _refusing(
        lambda why: PlanError("precision_failed", path=str(path), precision=precision, why=why)
    ):
        if typed and precision == "fp16":
            model = _halved(_without_products(model))
        onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


def batched(network: bytes) -> bytes:
    """Free the first dimension of all inputs and outputs, and name it ``SLABS``.

    Raises
    ------
    PlanError
        If the batch that the network was exported with is written into a node.
    """
    model = onnx.load_model_from_string(network)
    _refuse_baked_in_batch(model)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = SLABS
    del model.graph.value_info[:]
    return bytes(model.SerializeToString())


def _refuse_other_files(graph: GraphProto) -> None:
    constants = (one.t for node in graph.node for one in node.attribute)
    for tensor in (*graph.initializer, *constants):
        if tensor.data_location == TensorProto.EXTERNAL:
            raise ValueError(f"{tensor.name} lies in another file")


def _refuse_baked_in_batch(model: ModelProto) -> None:
    """Infer the shapes for one sample more, which must come out at the other end."""
    trial = ModelProto.FromString(model.SerializeToString())
    more = trial.graph.input[0].type.tensor_type.shape.dim[0].dim_value + 1
    for value in trial.graph.input:
        value.type.tensor_type.shape.dim[0].dim_value = more
    for value in trial.graph.output:
        value.type.tensor_type.ClearField("shape")
    del trial.graph.value_info[:]
    with _refusing(lambda why: PlanError("batch_untraceable", why=why)):
        graph = onnx.shape_inference.infer_shapes(trial, strict_mode=True, data_prop=True).graph
    first = {
        value.name: value.type.tensor_type.shape.dim[0].dim_value
        for value in (*graph.input, *graph.value_info, *graph.output)
        if value.type.tensor_type.shape.dim
    }
    lost = [value.name for value in graph.output if first.get(value.name) != more]
    for node in graph.node:
        if more in map(first.get, node.input) and more not in map(first.get, node.output) and lost:
            raise PlanError("batch_written_in", operator=node.op_type, node=node.name)
    if lost:
        raise PlanError("batch_lost", tensor=str(lost[0]))


def _halved(network: ModelProto) -> ModelProto:
    """Turn to FP16 what may be, with a cast wherever the precision changes."""
    _constants_as_weights(network.graph)
    network = onnx.shape_inference.infer_shapes(network, strict_mode=True)
    graph = network.graph
    weights = {tensor.name: tensor for tensor in graph.initializer if _is_float(tensor.data_type)}
    floats, half = _floats(graph) | weights.keys(), _given_in_half(graph)
    nodes: dict[str, NodeProto] = {}
    for node in graph.node:
        in_half = node.output[0] in half
        for place, name in enumerate(node.input):
            if name not in floats or (name in half) == in_half or _is_scales(node, place):
                continue
            node.input[place] = turned = f"{name}_{'fp16' if in_half else 'fp32'}"
            if name in weights:
                weights.setdefault(turned, _half_weight(weights[name], turned))
            else:
                nodes.setdefault(turned, _cast(name, turned, in_half=in_half))
        nodes[node.output[0]] = node
    used = {name for node in nodes.values() for name in node.input}
    others = [tensor for tensor in graph.initializer if tensor.name not in weights]
    kept = [tensor for tensor in (*weights.values(), *others) if tensor.name in used]
    _replace(graph, list(nodes.values()), kept)
    return network


def _without_products(network: ModelProto) -> ModelProto:
    """Write each matrix product that gives one number as a weighted sum, which is the same.

    Turing (compute capability 7.5) has no FP32 product in TensorRT-RTX.
    """
    graph = network.graph
    shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    nodes: list[NodeProto] = []
    for node in graph.node:
        if node.op_type != "Gemm" or not _gives_one_number(node, shapes):
            nodes.append(node)
            continue
        values, weights, bias = node.input
        (output,) = node.output
        weighed, total, axes = (f"{output}_{part}" for part in ("weighed", "sum", "axes"))
        graph.initializer.append(numpy_helper.from_array(np.array([1], np.int64), axes))
        nodes += [
            helper.make_node("Mul", [values, weights], [weighed]),
            helper.make_node("ReduceSum", [weighed, axes], [total], keepdims=1),
            helper.make_node("Add", [total, bias], [output]),
        ]
    _replace(graph, nodes, list(graph.initializer))
    return network


def _gives_one_number(node: NodeProto, shapes: dict[str, tuple[int, ...]]) -> bool:
    """Whether a Gemm is ``values @ weights.T + bias`` with one row of weights."""
    said = {one.name: helper.get_attribute_value(one) for one in node.attribute}
    plain = {"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 0} | said
    one_row = shapes.get(node.input[1], (0,))[0] == 1
    return one_row and plain == {"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 1}


def _given_in_half(graph: GraphProto) -> set[str]:
    """Name what the nodes that run in FP16 give; none of these gives an output of the network."""
    floats, outputs = _floats(graph), {value.name for value in graph.output}
    half: set[str] = set()
    for node in graph.node:
        works_on = floats.intersection(node.input)
        follows = node.op_type in FP16_WITH_INPUTS and works_on and works_on <= half
        if (node.op_type in FP16 or follows) and outputs.isdisjoint(node.output):
            half.update(node.output)
    return half


def _floats(graph: GraphProto) -> set[str]:
    """Name what is FP32 before anything is turned, the weights left out."""
    values = (*graph.input, *graph.value_info, *graph.output)
    floats = {value.name for value in values if _is_float(value.type.tensor_type.elem_type)}
    return floats - {tensor.name for tensor in graph.initializer}


def _is_float(kind: int) -> bool:
    return bool(kind == TensorProto.FLOAT)


def _is_scales(node: NodeProto, place: int) -> bool:
    """Whether an input is a Resize's scales, which are FP32 in every network."""
    return node.op_type == "Resize" and place > 0


def _constants_as_weights(graph: GraphProto) -> None:
    constants = [node for node in graph.node if node.op_type == "Constant"]
    for node in constants:
        tensor = graph.initializer.add()
        tensor.CopyFrom(node.attribute[0].t)
        tensor.name = node.output[0]
        graph.node.remove(node)


def _half_weight(tensor: TensorProto, name: str) -> TensorProto:
    with np.errstate(over="raise"):
        return numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), name)


def _cast(name: str, turned: str, *, in_half: bool) -> NodeProto:
    kind = TensorProto.FLOAT16 if in_half else TensorProto.FLOAT
    return helper.make_node("Cast", [name], [turned], name=turned, to=kind)


def _replace(graph: GraphProto, nodes: list[NodeProto], weights: list[TensorProto]) -> None:
    new_nodes = [NodeProto.FromString(node.SerializeToString()) for node in nodes]
    new_weights = [TensorProto.FromString(weight.SerializeToString()) for weight in weights]
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    graph.node.extend(new_nodes)
    graph.initializer.extend(new_weights)


@contextmanager
def _refusing(refusal: Callable[[str], PlanError]) -> Iterator[None]:
    """Translate whatever the libraries raise; they have bare Exceptions of their own."""
    try:
        yield
    except AgentError:
        raise
    except Exception as error:
        raise refusal(str(error)) from error
