"""A bundle's networks in each precision: the types in the graph, and what comes out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from agent.config import PACKAGED_ENGINES, InferConfig
from agent.errors import PlanError
from agent.infer.backend import VolumeOutput
from agent.infer.bundle import SLICE_FILE, VOLUME_FILE, load_bundle
from agent.infer.onnx_backend import OnnxBackend
from agent.infer.plan import Precision
from agent.records import Subtype
from agent.voxels import HeadVolume, LabelMask
from build_engine.compile.precision import batched, network_at
from build_engine.heads.fields import grid_of
from build_engine.synth.head import HeadRecipe, make_head
from tests.build_engine.compile.networks import (
    FEATURES,
    arrays,
    graph_of,
    nodes,
    run,
    slabs,
    small_network,
    types,
    written,
)
from tests.heads import read

FLOAT, HALF = TensorProto.FLOAT, TensorProto.FLOAT16
BUNDLE = load_bundle(PACKAGED_ENGINES / InferConfig().bundle)
SHIPPED = pytest.mark.parametrize(
    "path", [BUNDLE.folder / SLICE_FILE, BUNDLE.folder / VOLUME_FILE], ids=["slice", "volume"]
)


def at(path: Path, precision: Precision, *, typed: bool) -> bytes:
    """Bring a file's network to a precision."""
    return network_at(path.read_bytes(), path, precision, typed=typed)


class Recorder(OnnxBackend):
    """Keeps what the networks were given and what they made of it."""

    def __init__(self) -> None:
        super().__init__(BUNDLE, threads=2)
        self.slabs: list[tuple[np.ndarray, np.ndarray]] = []
        self.blocks: list[tuple[np.ndarray, np.ndarray]] = []

    def run_slices(self, batches: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        for batch in batches:
            (probabilities,) = super().run_slices([batch])
            self.slabs.append((batch, probabilities))
            yield probabilities

    def run_volume(self, block: np.ndarray) -> VolumeOutput:
        output = super().run_volume(block)
        self.blocks.append((block, output.bleed[None]))
        return output


@pytest.fixture(scope="module")
def bleeding() -> HeadVolume:
    synth = make_head(HeadRecipe(30_001, Subtype.INTRAPARENCHYMAL, 20.0), (5.0, 1.0, 1.0))
    return HeadVolume(synth.hu, grid_of(synth), tuple(map(str, range(len(synth.hu)))), ())


@pytest.fixture(scope="module")
def reference(bleeding: HeadVolume) -> tuple[LabelMask, Recorder]:
    recorder = Recorder()
    return read(bleeding, BUNDLE.contract, recorder), recorder


def ml(mask: LabelMask) -> float:
    return float(np.count_nonzero(mask.subtypes, axis=(1, 2)) @ mask.grid.voxels_ml)


@SHIPPED
def test_fp32_is_the_network_as_it_is(path: Path) -> None:
    assert onnx.load_model_from_string(at(path, "fp32", typed=True)) == onnx.load(path)


@SHIPPED
def test_before_networks_were_typed_fp16_is_left_to_the_builder(path: Path) -> None:
    assert onnx.load_model_from_string(at(path, "fp16", typed=False)) == onnx.load(path)


@SHIPPED
def test_fp16_convolves_in_fp16_and_judges_in_fp32(path: Path) -> None:
    before = graph_of(path.read_bytes())

    graph = graph_of(at(path, "fp16", typed=True))

    kinds = types(graph)
    ends = [(value.name, kinds[value.name]) for value in (*graph.input, *graph.output)]
    assert ends == [(name, types(before)[name]) for name, _ in ends]
    for node in nodes(graph, "Conv", "Relu"):
        assert {kinds[name] for name in (*node.input, *node.output)} == {HALF}
    for node in nodes(graph, "Softmax", "Log", "AveragePool", "ReduceMax", "Gemm", "Sigmoid"):
        assert {kinds[name] for name in (*node.input, *node.output)} == {FLOAT}
    for node in nodes(graph, "Resize"):
        assert [kinds[node.input[0]], kinds[node.input[2]]] == [HALF, FLOAT]


@SHIPPED
def test_fp16_casts_only_where_the_convolutions_begin_and_end(path: Path) -> None:
    graph = graph_of(at(path, "fp16", typed=True))

    kinds = types(graph)
    casts = [(kinds[node.input[0]], kinds[node.output[0]]) for node in nodes(graph, "Cast")]
    assert sorted(kind for kind in casts if HALF in kind) == [(FLOAT, HALF), (HALF, FLOAT)]


@pytest.mark.slow
def test_a_large_bleed_is_suspected(reference: tuple[LabelMask, Recorder]) -> None:
    mask, _ = reference

    assert mask.score >= BUNDLE.contract.operating_point("balanced").score


@pytest.mark.slow
def test_a_head_in_fp16_is_judged_as_in_fp32(
    bleeding: HeadVolume, reference: tuple[LabelMask, Recorder], tmp_path: Path
) -> None:
    slices, volume = (BUNDLE.folder / name for name in (SLICE_FILE, VOLUME_FILE))
    half = replace(
        BUNDLE,
        slice_network=at(slices, "fp16", typed=True),
        volume_network=at(volume, "fp16", typed=True),
    )

    mask = read(bleeding, BUNDLE.contract, OnnxBackend(half, threads=2))

    assert ml(reference[0]) > 5.0
    assert ml(mask) == pytest.approx(ml(reference[0]), rel=0.02)
    assert mask.score == pytest.approx(reference[0].score, abs=0.01)


def test_a_tiny_constant_of_a_node_in_fp32_stays_what_it_is(tmp_path: Path) -> None:
    """Both public FP16 passes make it 6e-8, which then bounds the score of a clear head."""
    between = [
        helper.make_node("Sigmoid", ["relu"], ["small"], name="sigmoid"),
        helper.make_node("Clip", ["small", "least"], ["clipped"], name="clip"),
        helper.make_node("Log", ["clipped"], ["in"], name="log"),
    ]
    least = np.array(1e-8, np.float32)
    path = written(tmp_path, small_network(*between, least=least))

    graph = graph_of(at(path, "fp16", typed=True))

    (clip,) = nodes(graph, "Clip")
    assert arrays(graph)[clip.input[1]] == least
    assert [node.input[0] for node in nodes(graph, "Clip", "Log")] == ["small", "clipped"]


def test_weights_beyond_fp16_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path, small_network(scale=1e6))

    with pytest.raises(PlanError, match=r"network\.onnx cannot be had in fp16") as refused:
        at(path, "fp16", typed=True)

    assert "fp32" in refused.value.what_to_do


def test_a_small_network_gives_nearly_the_same_in_fp16(tmp_path: Path) -> None:
    path = written(tmp_path, small_network())
    (wanted,) = run(path.read_bytes(), slabs())

    (found,) = run(at(path, "fp16", typed=True), slabs())

    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, atol=0.005)
    assert not np.array_equal(found, wanted)


@pytest.mark.parametrize("n_rows", [1, FEATURES], ids=["one number", "more"])
def test_in_fp16_a_product_that_gives_one_number_is_a_weighted_sum(n_rows: int) -> None:
    """Turing has no FP32 product in TensorRT-RTX, which refused the shipped volume network."""
    rng = np.random.default_rng(2)
    pool = helper.make_node("GlobalAveragePool", ["relu"], ["pool"])
    flat = helper.make_node("Flatten", ["pool"], ["flat"])
    gemm = helper.make_node("Gemm", ["flat", "row", "bias"], ["said"], transB=1)
    apart = helper.make_node("Unsqueeze", ["said", "axes"], ["spread"])
    back = helper.make_node("Add", ["relu", "spread"], ["in"])
    network = small_network(
        pool, flat, gemm, apart, back,
        row=rng.normal(size=(n_rows, FEATURES)).astype(np.float32),
        bias=rng.normal(size=n_rows).astype(np.float32),
        axes=np.array([2, 3]),
    ).SerializeToString()  # fmt: skip

    half = network_at(network, Path("made by hand"), "fp16", typed=True)

    assert len(nodes(graph_of(half), "Gemm")) == (n_rows > 1)
    assert len(nodes(graph_of(half), "ReduceSum")) == (n_rows == 1)
    (found,), (expected,) = run(half, slabs()), run(network, slabs())
    np.testing.assert_allclose(found, expected, atol=5e-3)


@pytest.mark.slow
def test_a_slab_gives_the_same_whatever_it_is_run_with(
    reference: tuple[LabelMask, Recorder],
) -> None:
    eight = np.concatenate([given for given, _ in reference[1].slabs[3:5]])

    network = batched(at(BUNDLE.folder / SLICE_FILE, "fp16", typed=True))

    together = run(network, eight)
    for count in (1, 4):
        parts = [run(network, eight[start : start + count]) for start in range(0, 8, count)]
        apart = [np.concatenate(outputs) for outputs in zip(*parts, strict=True)]
        for one, other in zip(together, apart, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-5)


def test_a_batched_network_names_its_first_dimension(tmp_path: Path) -> None:
    graph = graph_of(batched(small_network().SerializeToString()))

    for value in (*graph.input, *graph.output):
        first, *others = value.type.tensor_type.shape.dim
        assert first.dim_param == "slabs"
        assert all(dimension.dim_value for dimension in others)


def test_a_reshape_that_holds_the_batch_is_refused_by_name() -> None:
    shape = np.array([4, FEATURES, 16, 16], np.int64)
    reshape = helper.make_node("Reshape", ["relu", "shape"], ["in"], name="fixed")
    network = small_network(reshape, shape=shape)

    with pytest.raises(PlanError, match="Reshape fixed") as refused:
        batched(network.SerializeToString())

    assert refused.value.what_to_do


def test_a_reshape_that_leaves_the_batch_open_is_not_refused() -> None:
    shape = np.array([-1, FEATURES, 16, 16], np.int64)
    reshape = helper.make_node("Reshape", ["relu", "shape"], ["in"], name="open")
    network = small_network(reshape, shape=shape).SerializeToString()

    (eight,) = run(batched(network), slabs(8))

    np.testing.assert_allclose(eight[:4], run(network, slabs(8)[:4])[0], atol=1e-6)


def test_a_constant_of_the_batch_is_refused_by_name() -> None:
    offsets = np.zeros((4, FEATURES, 16, 16), np.float32)
    add = helper.make_node("Add", ["relu", "offsets"], ["in"], name="by_slab")

    with pytest.raises(PlanError, match="by_slab"):
        batched(small_network(add, offsets=offsets).SerializeToString())


def test_an_output_that_knows_no_batch_is_refused_by_name() -> None:
    network = small_network()
    network.graph.output.add().CopyFrom(
        helper.make_tensor_value_info("fixed", TensorProto.FLOAT, (4, 3))
    )
    network.graph.node.add().CopyFrom(helper.make_node("Identity", ["more"], ["fixed"]))
    network.graph.initializer.add().CopyFrom(
        onnx.numpy_helper.from_array(np.zeros((4, 3), np.float32), "more")
    )

    with pytest.raises(PlanError, match="fixed does not depend"):
        batched(network.SerializeToString())


@pytest.mark.parametrize("content", [b"", b"no network", b"\x08"], ids=["empty", "text", "torn"])
def test_a_file_that_is_no_network_is_refused_by_name(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "slice.onnx"
    path.write_bytes(content)

    with pytest.raises(PlanError, match=r"slice\.onnx is no ONNX network") as refused:
        at(path, "fp32", typed=True)

    assert "bundle" in refused.value.what_to_do


def test_weights_that_lie_in_another_file_are_refused_wherever_that_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No digest covers that file: a changed ``slice.data`` once changed what the network gave."""
    network = small_network()
    onnx.save(network, tmp_path / "slice.onnx", save_as_external_data=True, size_threshold=0)
    monkeypatch.chdir(tmp_path)

    with pytest.raises(PlanError, match=r"slice\.onnx is no ONNX network: .* in another file"):
        at(tmp_path / "slice.onnx", "fp32", typed=True)
