"""The slice network as a server takes it: any number of slabs, each as its widest window.

Where it is read mirrored, the graph mirrors the slabs and averages both answers itself.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from agent.errors import PlanError
from agent.infer.backend import N_CLASSES
from agent.infer.bundle import SLICE_FILE, VOLUME_FILE, Bundle
from agent.infer.plan import Precision
from agent.infer.served import FIELDS, widest_window
from build_engine.compile.precision import SLABS, batched, network_at


def served_slice_graph(bundle: Bundle, precision: Precision) -> bytes:
    """Free the batch, and put about the network what makes all windows and mirror images.

    Raises
    ------
    PlanError
        If no window covers all others, or the graph cannot be had in this precision.
    """
    contract = bundle.contract.slices
    widest = widest_window(contract)
    if widest is None:
        raise PlanError("windows_uncovered", bundle=bundle.contract.name)
    path = bundle.folder / SLICE_FILE
    graph = batched(network_at(bundle.slice_network, path, precision, typed=True))
    model = onnx.load_model_from_string(graph)
    low_hu, high_hu = contract.windows_hu[widest]
    bounds = np.array(contract.windows_hu, np.float64)
    spans = bounds[:, 1] - bounds[:, 0]
    per_window = (1, 1, len(bounds), 1, 1)
    made: dict[str, NDArray[Any]] = {
        "fields_scale": ((high_hu - low_hu) / spans).astype(np.float32).reshape(per_window),
        "fields_shift": ((low_hu - bounds[:, 0]) / spans).astype(np.float32).reshape(per_window),
        "fields_axis": np.array([2], np.int64),
        "fields_shape": np.array([0, *contract.shape[1:]], np.int64),
        "fields_zero": np.array(0, np.float32),
        "fields_one": np.array(1, np.float32),
    }
    slabs = model.graph.input[0].name
    del model.graph.output[1:]  # a server is asked for probabilities alone
    before: list[onnx.NodeProto] = []
    after: list[onnx.NodeProto] = []
    seen = FIELDS
    if bundle.contract.reading.mirrored:
        made |= _mirroring(contract.size_px)
        before, after, seen = _mirrored(model.graph)
    nodes = [
        helper.make_node("Unsqueeze", [seen, "fields_axis"], ["fields_apart"]),
        helper.make_node("Mul", ["fields_apart", "fields_scale"], ["fields_scaled"]),
        helper.make_node("Add", ["fields_scaled", "fields_shift"], ["fields_shifted"]),
        helper.make_node("Clip", ["fields_shifted", "fields_zero", "fields_one"], ["fields_cut"]),
        helper.make_node("Reshape", ["fields_cut", "fields_shape"], [slabs]),
    ]
    kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in model.graph.node]
    del model.graph.node[:], model.graph.input[:]
    model.graph.node.extend((*before, *nodes, *kept, *after))
    model.graph.initializer.extend(
        numpy_helper.from_array(values, name) for name, values in made.items()
    )
    shape = (SLABS, 2 * contract.neighbours + 1, contract.size_px, contract.size_px)
    model.graph.input.append(helper.make_tensor_value_info(FIELDS, onnx.TensorProto.FLOAT, shape))
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


def _mirroring(size_px: int) -> dict[str, NDArray[Any]]:
    """Return the constants that ``_mirrored`` needs."""
    return {
        "mirror_columns": np.arange(size_px - 1, -1, -1, dtype=np.int64),
        "mirror_halves": np.array([2, -1, N_CLASSES, size_px, size_px], np.int64),
        "mirror_first": np.array(0, np.int64),
        "mirror_second": np.array(1, np.int64),
        "mirror_half": np.array(0.5, np.float32),
    }


def _mirrored(graph: onnx.GraphProto) -> tuple[list[onnx.NodeProto], list[onnx.NodeProto], str]:
    """Return what comes before and after the network, and what it sees: slabs, then images."""
    given = graph.output[0].name
    of_both = f"{given}_of_both"
    del graph.value_info[:]  # they tell of one slab where two are seen
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [of_both if name == given else name for name in names]
    before = [
        helper.make_node("Gather", [FIELDS, "mirror_columns"], ["fields_mirrored"], axis=3),
        helper.make_node("Concat", [FIELDS, "fields_mirrored"], ["fields_both"], axis=0),
    ]
    after = [
        helper.make_node("Reshape", [of_both, "mirror_halves"], ["mirror_answers"]),
        helper.make_node("Gather", ["mirror_answers", "mirror_first"], ["mirror_seen"], axis=0),
        helper.make_node("Gather", ["mirror_answers", "mirror_second"], ["mirror_image"], axis=0),
        helper.make_node("Gather", ["mirror_image", "mirror_columns"], ["mirror_back"], axis=3),
        helper.make_node("Add", ["mirror_seen", "mirror_back"], ["mirror_sum"]),
        helper.make_node("Mul", ["mirror_sum", "mirror_half"], [given]),
    ]
    return before, after, "fields_both"


def served_volume_graph(bundle: Bundle, precision: Precision) -> bytes:
    """Bring the volume network to a precision; a server takes one block at a time, as all do."""
    path = bundle.folder / VOLUME_FILE
    return network_at(bundle.volume_network, path, precision, typed=True)
