"""The cost of a run, against counts made on paper."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper

from agent.config import PACKAGED_ENGINES, InferConfig
from agent.errors import PlanError
from agent.infer.bundle import load_bundle
from build_engine.compile.precision import batched, network_at
from build_engine.judge.cost import Cost, cost_of
from tests.build_engine.compile.networks import made, small_network, written

BUNDLE = load_bundle(PACKAGED_ENGINES / InferConfig().bundle)


def zeros(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.float32)


def test_a_convolution_costs_two_a_multiply_add():
    """3 channels of 14 by 14, each from 2 channels of 3 by 3; four slabs."""
    node = helper.make_node("Conv", ["slabs", "w"], ["probabilities"])

    cost = cost_of(made([node], {"w": zeros(3, 2, 3, 3)}).SerializeToString(), batch=1)

    assert cost.flops == 2 * 4 * (3 * 14 * 14) * (2 * 3 * 3)
    assert cost.weight_bytes == 4 * 3 * 2 * 3 * 3
    assert cost.activation_bytes == 4 * (4 * 2 * 16 * 16 + 4 * 3 * 14 * 14)


def test_a_strided_convolution_in_groups_costs_what_it_reads():
    """6 channels of 8 by 8, each from 1 channel of 2 by 2."""
    node = helper.make_node("Conv", ["slabs", "w"], ["probabilities"], group=2, strides=[2, 2])

    cost = cost_of(made([node], {"w": zeros(6, 1, 2, 2)}).SerializeToString(), batch=1)

    assert cost.flops == 2 * 4 * (6 * 8 * 8) * (2 * 2)


@pytest.mark.parametrize("turned", [0, 1])
def test_a_matrix_product_costs_two_a_multiply_add(turned: int):
    """4 samples of 512 values (or 512 of 4) to 10, or to 10 from the other side."""
    flat = helper.make_node("Flatten", ["slabs"], ["flat"])
    product = helper.make_node("Gemm", ["flat", "w"], ["probabilities"], transA=turned)
    width, depth = (512, 4) if turned else (4, 512)

    cost = cost_of(made([flat, product], {"w": zeros(depth, 10)}).SerializeToString(), batch=1)

    assert cost.flops == 2 * width * depth * 10
    assert cost.activation_bytes == 4 * (4 * 512 + width * 10)


def test_what_stays_in_registers_is_not_moved():
    """Slabs read; ReLU's result written and read; logits written and read; probabilities."""
    cost = cost_of(small_network().SerializeToString(), batch=1)

    slab, feature, logit = (4 * channels * 16 * 16 for channels in (2, 8, 3))
    assert cost.activation_bytes == 4 * (slab + 2 * feature + 2 * logit + logit)


def test_a_skip_is_read_twice():
    skip = helper.make_node("Conv", ["relu", "w"], ["side"], name="side")
    add = helper.make_node("Add", ["relu", "side"], ["in"], name="add")

    without = cost_of(small_network().SerializeToString(), batch=1)
    cost = cost_of(small_network(skip, add, w=zeros(8, 8, 1, 1)).SerializeToString(), batch=1)

    assert cost.activation_bytes - without.activation_bytes == 4 * (4 * 8 * 16 * 16) * 3


def test_eight_slabs_cost_eight_times_one_and_their_weights_once():
    network = batched(BUNDLE.slice_network)

    one, eight = (cost_of(network, batch) for batch in (1, 8))

    weights = one.weight_bytes
    assert eight == Cost(8 * one.flops, weights, 8 * one.activation_bytes)


def test_half_the_precision_moves_half_the_weights(tmp_path):
    path = written(tmp_path, small_network())

    single, half = (
        cost_of(network_at(path.read_bytes(), path, precision, typed=True), batch=1)
        for precision in ("fp32", "fp16")
    )

    assert single.flops == half.flops
    assert half.weight_bytes == single.weight_bytes / 2
    assert half.activation_bytes < single.activation_bytes


def test_the_shipped_networks_cost_what_their_card_says():
    manifest = (BUNDLE.folder / "bundle.toml").read_text()

    run = cost_of(batched(BUNDLE.slice_network), batch=1).flops / 1e9
    slab = 2 * run if BUNDLE.contract.reading.mirrored else run
    head = cost_of(BUNDLE.volume_network, batch=1).flops / 1e9

    assert f"slice network {slab:.1f} GFLOP a slab" in manifest
    assert f"volume network {head:.1f} GFLOP a head" in manifest


def test_shapes_that_do_not_fit_together_are_refused():
    network = small_network()
    network.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(zeros(8, 2, 3), "w1"))

    with pytest.raises(PlanError, match="do not fit together"):
        cost_of(network.SerializeToString(), batch=1)
