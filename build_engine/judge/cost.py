"""What one run of a network costs, counted from its graph: operations, and bytes to be moved.

Operations are two a multiply-add of convolutions and matrix products, which is what a card's limit
counts too. Biases, pooling, resizing and all that works element by element are left out: their cost
is the memory that they touch, and is in the bytes.

Bytes are those that a good compiler cannot avoid, which makes them a bound to measure against, not
a forecast: each weight once, each tensor once written and once read by each node that takes it. A
tensor that goes to a single pointwise node, such as a convolution's to its ReLU, stays in
registers, and a dequantised one is never written.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import onnx
from onnx import GraphProto, NodeProto, ValueInfoProto, helper

from agent.errors import PlanError

Shape = tuple[int, ...]

VIEWS: Final = frozenset({"Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"})
"""Operators that give what they take under another shape."""

POINTWISE: Final = frozenset(
    {"Add", "Cast", "Clip", "Div", "Log", "Mul", "QuantizeLinear", "Relu", "Sigmoid", "Sqrt", "Sub"}
)
"""Operators that a compiler fuses into what comes before them."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one run: operations, whether floating-point or integer; bytes of weights, activations."""

    flops: int
    weight_bytes: int
    activation_bytes: int


def cost_of(network: bytes, batch: int) -> Cost:
    """Count what a run costs; a dimension that has a name is taken to be ``batch``.

    Raises
    ------
    PlanError
        If the shapes within the network cannot be told.
    """
    graph = _with_shapes(network, batch)
    values = {value.name: value for value in (*graph.input, *graph.value_info, *graph.output)}
    shapes = {name: _shape(value) for name, value in values.items()}
    shapes |= {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    return Cost(
        flops=sum(_operations(node, shapes) for node in graph.node),
        weight_bytes=sum(_bytes(one.data_type, shapes[one.name]) for one in graph.initializer),
        activation_bytes=sum(
            times * _bytes(values[name].type.tensor_type.elem_type, shapes[name])
            for name, times in _transfers(graph).items()
        ),
    )


def _with_shapes(network: bytes, batch: int) -> GraphProto:
    model = onnx.load_model_from_string(network)
    for value in (*model.graph.input, *model.graph.output):
        for dimension in value.type.tensor_type.shape.dim:
            if dimension.dim_param:
                dimension.dim_value = batch
    try:
        return onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True).graph
    except onnx.shape_inference.InferenceError as error:
        raise PlanError("shapes_do_not_fit", why=str(error)) from error


def _shape(value: ValueInfoProto) -> Shape:
    dimensions = value.type.tensor_type.shape.dim
    if not all(dimension.HasField("dim_value") for dimension in dimensions):
        raise PlanError("shape_untold", tensor=value.name)
    return tuple(dimension.dim_value for dimension in dimensions)


def _operations(node: NodeProto, shapes: dict[str, Shape]) -> int:
    if node.op_type not in ("Conv", "Gemm", "MatMul"):
        return 0
    given, (taken, weight) = shapes[node.output[0]], (shapes[name] for name in node.input[:2])
    if node.op_type == "Conv":
        return 2 * math.prod(given) * math.prod(weight[1:])
    turned = any(one.name == "transA" and one.i for one in node.attribute)
    return 2 * math.prod(given) * taken[-2 if turned else -1]


def _transfers(graph: GraphProto) -> dict[str, int]:
    """Tell how often each tensor goes to or from memory; a view's is its original's."""
    original = {value.name: value.name for value in graph.input}
    takers: dict[str, list[str]] = {name: [] for name in original}
    givers: dict[str, str] = {}
    for node in graph.node:
        taken = [original[name] for name in node.input if name in original]
        if node.op_type in VIEWS and taken:
            original[node.output[0]] = taken[0]
            continue
        for name in taken:
            takers[name].append(node.op_type)
        for name in node.output if taken else ():  # what is made of weights alone is a weight
            original[name], takers[name], givers[name] = name, [], node.op_type
    for value in graph.output:
        takers[original[value.name]].append("output")
    return {name: _times(givers.get(name), of) for name, of in takers.items()}


def _times(giver: str | None, takers: list[str]) -> int:
    """Count writing and reading; giver is None for an input. Reading an output is another's."""
    fused = giver is not None and len(takers) == 1 and takers[0] in POINTWISE
    if fused or giver == "DequantizeLinear":
        return 0
    return len(takers) - takers.count("output") + (giver is not None)


def _bytes(kind: int, shape: Shape) -> int:
    return math.prod(shape) * int(helper.tensor_dtype_to_np_dtype(kind).itemsize)
