"""The seam to whatever runs the networks: one suite over all that stand behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from agent.errors import BadOutputError
from agent.infer.backend import Backend, Floats
from agent.infer.bundle import load_bundle
from agent.infer.onnx_backend import OnnxBackend
from agent.infer.openvino_backend import OpenVinoBackend, installed_version
from agent.records import CPU
from tests.nvidia.box import GpuBox
from tests.tiny import write_tiny_bundle

NEAR = 1e-5
"""Float32 sums in another order, on networks of a few layers."""


def onnx_runtime(folder: Path) -> Backend:
    return OnnxBackend(load_bundle(write_tiny_bundle(folder)), threads=1)


def open_vino(folder: Path) -> Backend:
    if installed_version() is None:
        pytest.skip("openvino is not installed")
    return OpenVinoBackend(load_bundle(write_tiny_bundle(folder)), threads=1)


def tensorrt(folder: Path) -> Backend:
    return GpuBox(folder).ready()


@pytest.fixture(params=[onnx_runtime, open_vino, tensorrt], ids=lambda make: make.__name__)
def make(request) -> Callable[[Path], Backend]:
    return request.param


@pytest.fixture
def backend(make, tmp_path) -> Backend:
    return make(tmp_path / "own")


@pytest.fixture
def reference(tmp_path) -> OnnxBackend:
    return OnnxBackend(load_bundle(write_tiny_bundle(tmp_path / "reference")), threads=1)


@pytest.fixture
def batches(backend, reference) -> list[Floats]:
    channel_row_column = reference._bundle.contract.slices.shape[1:]
    rng = np.random.default_rng(3)
    shape = (backend.slabs_per_run, *channel_row_column)
    return [rng.random(shape, dtype=np.float32) for _ in range(3)]


@pytest.fixture
def block(reference) -> Floats:
    shape = reference._bundle.contract.volume.shape
    return np.random.default_rng(4).random(shape, dtype=np.float32)


def without_numbers(network: bytes) -> bytes:
    """The same network, with a bias that is no number."""
    made = onnx.load_model_from_string(network)
    (bias,) = (one for one in made.graph.initializer if one.name == "bias")
    values = np.full_like(numpy_helper.to_array(bias), np.nan)
    bias.CopyFrom(numpy_helper.from_array(values, "bias"))
    return made.SerializeToString()


def of_reference(reference: OnnxBackend, slabs: Floats) -> Floats:
    """Run slabs in batches of the reference's own size."""
    per_run = reference.slabs_per_run
    padded = np.zeros((-(-len(slabs) // per_run) * per_run, *slabs.shape[1:]), np.float32)
    padded[: len(slabs)] = slabs
    parts = padded.reshape(-1, per_run, *slabs.shape[1:])
    return np.concatenate(list(reference.run_slices(parts)))[: len(slabs)]


def test_each_batch_has_its_answer_in_their_order_near_the_references(backend, reference, batches):
    answers = list(backend.run_slices(iter(batches)))

    for answer, batch in zip(answers, batches, strict=True):
        np.testing.assert_allclose(answer, of_reference(reference, batch), atol=NEAR)


def test_a_block_is_read_as_by_the_reference(backend, reference, block):
    found, expected = backend.run_volume(block), reference.run_volume(block)

    np.testing.assert_allclose(found.bleed, expected.bleed, atol=NEAR)
    np.testing.assert_array_equal(found.anatomy, expected.anatomy)
    assert found.anatomy.dtype == np.int32
    assert found.score == pytest.approx(expected.score, abs=NEAR)


def test_the_same_input_gives_the_same_bits(backend, batches, block):
    first, again = (list(backend.run_slices(iter(batches))) for _ in range(2))
    one, other = backend.run_volume(block), backend.run_volume(block)

    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(one.bleed, other.bleed)
    assert one.score == other.score


def test_an_answer_stays_what_it_was_while_others_are_run(backend, batches, block):
    answers = backend.run_slices(iter(batches))
    first, volume = next(answers), backend.run_volume(block)
    kept, kept_volume = first.copy(), volume.bleed.copy()

    list(answers)
    backend.run_volume(block * 0.5)

    np.testing.assert_array_equal(first, kept)
    np.testing.assert_array_equal(volume.bleed, kept_volume)


def test_input_that_is_a_view_the_other_way_round_is_read_as_it_looks(backend, reference, batches):
    turned = batches[0][..., ::-1]

    (answer,) = backend.run_slices([turned])

    expected = of_reference(reference, np.ascontiguousarray(turned))
    np.testing.assert_allclose(answer, expected, atol=NEAR)


@pytest.mark.parametrize("runtime", [OnnxBackend, OpenVinoBackend])
def test_what_gives_no_numbers_is_refused(runtime, tmp_path, reference, block):
    """By weights: OpenVINO's ReLU turns what is no number into 0. A card's is in test_networks."""
    if runtime is OpenVinoBackend and installed_version() is None:
        pytest.skip("openvino is not installed")
    bundle = reference._bundle
    poisoned = replace(
        bundle,
        slice_network=without_numbers(bundle.slice_network),
        volume_network=without_numbers(bundle.volume_network),
    )
    backend = runtime(poisoned, threads=1)

    with pytest.raises(BadOutputError):
        list(backend.run_slices([np.zeros(bundle.contract.slices.shape, np.float32)]))
    with pytest.raises(BadOutputError):
        backend.run_volume(block)


def test_no_batch_gives_no_answer(backend):
    nothing: Iterator[Floats] = iter(())

    assert list(backend.run_slices(nothing)) == []


def test_it_says_what_runs_it(backend, make):
    said = str(backend.run_by)

    assert {"onnx_runtime": "ONNX Runtime", "open_vino": "OpenVINO", "tensorrt": "TensorRT"}[
        make.__name__
    ] in said
    assert (backend.run_by.device == CPU) is (make is not tensorrt)
