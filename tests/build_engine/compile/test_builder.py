"""A real TensorRT builder takes both shipped networks, for the cards that boxes have.

TensorRT-RTX: its parser and builder are TensorRT's, strongly typed, and need no GPU where they are
told for which card to build. An engine cannot be loaded without one: precisions are read back of
the network that is built from.
"""

from __future__ import annotations

from collections import Counter
from functools import cache
from itertools import product
from typing import Any

import pytest

from agent.config import PACKAGED_ENGINES, InferConfig
from agent.infer.bundle import load_bundle
from agent.infer.plan import Precision
from build_engine.compile.build import Parsed, configured, parse, slice_graph, volume_graph

trt = pytest.importorskip("tensorrt_rtx_bindings", reason="the builder needs the builder extra")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

BUNDLE = load_bundle(PACKAGED_ENGINES / InferConfig().bundle)
NETWORKS = {
    "slice": (slice_graph, (8, *BUNDLE.contract.slices.shape[1:])),
    "volume": (volume_graph, BUNDLE.contract.volume.shape),
}


class Listener(trt.ILogger):
    """Keeps what is wrong."""

    def __init__(self) -> None:
        trt.ILogger.__init__(self)
        self.said: list[str] = []

    def log(self, severity: Any, message: str) -> None:
        if severity in (trt.ILogger.INTERNAL_ERROR, trt.ILogger.ERROR, trt.ILogger.WARNING):
            self.said.append(message)


LISTENER = Listener()


@cache
def builder() -> Any:
    return trt.Builder(LISTENER)


@cache
def parsed(name: str, precision: Precision) -> Parsed:
    graph, _ = NETWORKS[name]
    return parse(trt, builder(), LISTENER, graph(BUNDLE, precision, trt))


NO_FP32 = pytest.mark.xfail(
    strict=True, reason="TensorRT-RTX has no FP32 convolution in 3D, nor GEMM, for Turing"
)
CARDS = ("SM75", "SM86", "SM89", "SM120")
BUILDS = [
    pytest.param(*build, marks=NO_FP32 if build == ("volume", "SM75", "fp32") else ())
    for build in product(NETWORKS, CARDS, ("fp32", "fp16"))
]


@pytest.mark.parametrize(("name", "card", "precision"), BUILDS)
def test_the_builder_compiles_a_shipped_network(name: str, precision: Precision, card: str) -> None:
    network = parsed(name, precision).network
    config = configured(trt, builder(), network, NETWORKS[name][1], precision)
    config.num_compute_capabilities = 1
    assert config.set_compute_capability(getattr(trt.ComputeCapability, card), 0)

    engine = builder().build_serialized_network(network, config)

    assert engine is not None, LISTENER.said
    assert len(bytes(engine)) > 100_000


@pytest.mark.parametrize("name", NETWORKS)
def test_convolutions_run_in_the_precision_asked_for_and_probabilities_in_fp32(name: str) -> None:
    wide, half = (parsed(name, precision).network for precision in ("fp32", "fp16"))

    assert set(convolutions(wide)) == {trt.float32}
    assert set(convolutions(half)) == {trt.float16}
    for network in (wide, half):
        ends = [network.get_input(0)] + [network.get_output(n) for n in range(network.num_outputs)]
        assert {tensor.dtype for tensor in ends} <= {trt.float32, trt.int32}
        softmax = [layer for layer in layers(network) if layer.type == trt.LayerType.SOFTMAX]
        assert [layer.get_output(0).dtype for layer in softmax] == [trt.float32]


def layers(network: Any) -> list[Any]:
    return [network.get_layer(number) for number in range(network.num_layers)]


def convolutions(network: Any) -> Counter[Any]:
    return Counter(
        layer.get_output(0).dtype
        for layer in layers(network)
        if layer.type == trt.LayerType.CONVOLUTION
    )
