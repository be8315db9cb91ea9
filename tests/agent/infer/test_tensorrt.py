"""agent.infer.tensorrt_backend: a plan on the card gives what ONNX Runtime gives."""

from __future__ import annotations

import ctypes
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from agent.errors import BadOutputError, GpuError, PlanError
from agent.infer import tensorrt_api
from agent.infer.backend import Backend, Floats
from agent.infer.onnx_backend import OnnxBackend
from agent.infer.plan import SLICE_PLAN
from agent.infer.tensorrt_api import FIRST_GPU, NO_GPU
from tests.nvidia.box import SLABS_PER_RUN, GpuBox
from tests.nvidia.cuda import Card, Error, LibCuda, cuda_module
from tests.nvidia.tensorrt import WORKSPACE_BYTES

VERSIONS = ["8.6.1.6", "10.7.0", "11.4.0.106"]


@pytest.fixture(params=VERSIONS)
def box(tmp_path, request) -> GpuBox:
    return GpuBox(tmp_path, request.param)


@pytest.fixture
def today(tmp_path) -> GpuBox:
    return GpuBox(tmp_path, VERSIONS[-1])


def some_slabs(box: GpuBox, count: int) -> Floats:
    shape = (count, *box.bundle.contract.slices.shape[1:])
    return np.random.default_rng(1).random(shape, dtype=np.float32)


def probabilities(backend: Backend, slabs: Floats) -> Floats:
    """Run slabs in batches of the backend's own size."""
    per_run = backend.slabs_per_run
    padded = np.zeros((-(-len(slabs) // per_run) * per_run, *slabs.shape[1:]), np.float32)
    padded[: len(slabs)] = slabs
    batches = padded.reshape(-1, per_run, *slabs.shape[1:])
    return np.concatenate(list(backend.run_slices(batches)))[: len(slabs)]


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 3, 6, 7, 20])
def test_slabs_give_what_the_reference_gives_in_their_order(box, count):
    backend = box.ready()
    reference = OnnxBackend(box.bundle, threads=1)
    slabs = some_slabs(box, count)

    found = probabilities(backend, slabs)

    np.testing.assert_allclose(found, probabilities(reference, slabs), atol=1e-6)


def test_a_block_gives_what_the_reference_gives(box):
    backend = box.ready()
    block = np.random.default_rng(2).random(box.bundle.contract.volume.shape, dtype=np.float32)

    found = backend.run_volume(block)

    expected = OnnxBackend(box.bundle, threads=1).run_volume(block)
    np.testing.assert_allclose(found.bleed, expected.bleed, atol=1e-6)
    np.testing.assert_array_equal(found.anatomy, expected.anatomy)
    assert found.score == pytest.approx(expected.score, abs=1e-6)


def test_runs_are_replayed_as_graphs_and_allocate_nothing(today):
    backend = today.ready()
    allocations = today.card.calls.count("cuMemAlloc")

    probabilities(backend, some_slabs(today, 9))
    backend.run_volume(np.zeros(today.bundle.contract.volume.shape, np.float32))

    assert today.libcuda.launched == 4, "three batches and a volume"
    assert today.card.calls.count("cuMemAlloc") == allocations
    assert today.card.calls.count("cuMemAllocHost") == allocations


def test_a_driver_that_records_no_graph_runs_all_the_same(today):
    today.card.records_graphs = False
    backend = today.ready()
    slabs = some_slabs(today, 7)

    found = probabilities(backend, slabs)

    reference = OnnxBackend(today.bundle, threads=1)
    np.testing.assert_allclose(found, probabilities(reference, slabs), atol=1e-6)
    assert any(event.get("event") == "no_cuda_graph" for _, event in today.said)


def test_while_a_batch_runs_the_next_one_is_made(today):
    backend = today.ready()
    asked_for, answered = [], []

    def batches():
        for number in range(4):
            asked_for.append((number, len(answered)))
            yield some_slabs(today, SLABS_PER_RUN)

    answered.extend(backend.run_slices(batches()))

    assert asked_for == [(0, 0), (1, 0), (2, 0), (3, 1)]


def test_a_run_given_up_half_way_leaves_nothing_to_the_next(today):
    backend = today.ready()
    slabs = some_slabs(today, 9)
    expected = probabilities(backend, slabs)

    def interrupted():
        yield np.ones_like(slabs[:SLABS_PER_RUN])
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(backend.run_slices(interrupted()))

    np.testing.assert_array_equal(probabilities(backend, slabs), expected)


def test_what_is_no_number_is_refused(today):
    backend = today.ready()
    today.card.nan_outputs = True

    with pytest.raises(BadOutputError, match="not all numbers"):
        probabilities(backend, some_slabs(today, 1))
    with pytest.raises(BadOutputError, match="not all numbers"):
        backend.run_volume(np.zeros(today.bundle.contract.volume.shape, np.float32))


def test_a_fault_of_the_card_is_a_gpu_error_for_good(today):
    backend = today.ready()
    today.card.breaks_at_launch = today.card.launches + 2

    with pytest.raises(GpuError, match="illegal memory access"):
        probabilities(backend, some_slabs(today, 9))
    with pytest.raises(GpuError, match="illegal memory access"):
        probabilities(backend, some_slabs(today, 1))


def test_closing_gives_all_memory_back_even_on_a_broken_card(today):
    plan = today.build()
    gpu = today.connect()

    today.backend(gpu, plan).close()
    assert today.card.in_use_bytes() == 0

    broken = today.backend(gpu, plan)
    today.card.broken = "unspecified launch failure"
    broken.close()
    gpu.close()


@pytest.mark.parametrize("free_bytes", [WORKSPACE_BYTES // 2, WORKSPACE_BYTES + 100_000])
def test_too_little_memory_is_said_and_what_was_taken_is_given_back(today, free_bytes):
    plan = today.build()
    today.card.memory_bytes = free_bytes

    with pytest.raises(GpuError, match=r"memory"):
        today.backend(today.connect(), plan)

    assert today.card.in_use_bytes() == 0


def test_an_engine_of_another_tensorrt_is_refused_by_name(tmp_path):
    plan = GpuBox(tmp_path, "10.7.0").build()
    later = GpuBox(tmp_path / "later", "11.4.0.106")

    later.plans = tmp_path / "state" / "plans"
    gpu = later.connect()

    with pytest.raises(PlanError, match=r"TensorRT 11\.4\.0\.106 cannot load .*not compatible"):
        later.backend(gpu, plan)


def test_an_engine_for_other_shapes_is_refused_by_name(today):
    name = today.build()
    gpu = today.connect()
    engine = gpu.engine((today.plans / name / SLICE_PLAN).read_bytes())

    with pytest.raises(PlanError, match="outside of the profile"):
        tensorrt_backend_lane(gpu, engine)


def tensorrt_backend_lane(gpu, engine):
    from agent.infer.tensorrt_backend import Lane  # noqa: PLC0415

    return Lane(gpu, engine, (8, 6, 64, 64))


def test_the_machine_is_told_as_a_plan_must_fit_it(box):
    machine = box.connect().machine

    assert (machine.gpu, machine.compute_capability) == ("NVIDIA L4", "8.9")
    assert (machine.multiprocessors, machine.tensorrt) == (58, box.version)
    assert machine.driver


def test_without_a_card_it_is_said_what_to_look_at(today):
    log = today.connect().log

    with pytest.raises(GpuError, match="no CUDA-capable device") as caught:
        tensorrt_api.connect(today.nvidia.trt, cuda_module(None), LibCuda(Card()), log)

    assert "nvidia-smi" in caught.value.what_to_do
    assert isinstance(caught.value.__cause__, Error)


@pytest.fixture
def driver(monkeypatch):
    """A computer with a driver, and no package that uses it."""
    monkeypatch.setattr(ctypes, "CDLL", {"libcuda.so.1": LibCuda(Card())}.get)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.mark.parametrize("missing", ["pycuda", "tensorrt"])
def test_a_package_that_is_missing_is_named_with_what_to_type(today, driver, monkeypatch, missing):
    if missing == "tensorrt":
        monkeypatch.setitem(sys.modules, "pycuda", SimpleNamespace())
        monkeypatch.setitem(sys.modules, "pycuda.driver", cuda_module(today.card))

    with pytest.raises(GpuError, match=f"{missing} is not installed") as caught:
        tensorrt_api.load(today.connect().log, FIRST_GPU)

    assert "pip install '.[gpu-cu12]'" in caught.value.what_to_do


def test_a_package_that_cannot_be_loaded_is_named_with_its_own_words(
    today, driver, monkeypatch, tmp_path
):
    """PyPI's TensorRT is a stub where NVIDIA's own index could not be reached."""
    monkeypatch.setitem(sys.modules, "pycuda", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "pycuda.driver", cuda_module(today.card))
    (tmp_path / "tensorrt.py").write_text("raise ImportError('libnvinfer.so.11: no such file')")
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(GpuError, match=r"tensorrt cannot be loaded: libnvinfer\.so\.11"):
        tensorrt_api.load(today.connect().log, FIRST_GPU)


def test_without_a_driver_it_is_said_before_any_package_is(today):
    with pytest.raises(GpuError, match="no NVIDIA driver"):
        tensorrt_api.load(today.connect().log, FIRST_GPU)


def test_a_switched_off_card_is_not_taken(today):
    with pytest.raises(GpuError, match=r"infer\.gpu says that no GPU is to be used"):
        tensorrt_api.load(today.connect().log, NO_GPU)


def test_an_address_that_tensorrt_refuses_is_not_run_with(today):
    plan = today.build()
    today.nvidia.refuses = frozenset({"set_tensor_address"})

    with pytest.raises(GpuError, match="is not aligned"):
        today.backend(today.connect(), plan)

    assert today.card.in_use_bytes() == 0


def test_a_lane_used_by_another_thread_is_an_error(today):
    import threading  # noqa: PLC0415

    backend = today.ready()
    caught = []

    def elsewhere():
        try:
            probabilities(backend, some_slabs(today, 1))
        except GpuError as error:
            caught.append(error)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()

    assert "invalid device context" in str(caught[0])
