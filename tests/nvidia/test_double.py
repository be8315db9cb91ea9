"""The double is strict: it refuses or spoils what a real card or TensorRT would."""

from __future__ import annotations

import numpy as np
import pytest

from tests.nvidia.cuda import Card, Context, CudaMemoryError, LogicError, cuda_module
from tests.nvidia.tensorrt import ILogger, Nvidia
from tests.tiny import slice_model


class Listener(ILogger):
    def __init__(self) -> None:
        self.said: list[str] = []

    def log(self, severity, message: str) -> None:
        self.said.append(message)


@pytest.fixture
def card() -> Card:
    card = Card()
    Context(card).push()
    return card


def compiled(nvidia: Nvidia, listener: Listener, *, flag: str = "STRONGLY_TYPED", **shapes):
    builder = nvidia.trt.Builder(listener)
    network = builder.create_network(1 << nvidia.trt.NetworkDefinitionCreationFlag[flag])
    parser = nvidia.trt.OnnxParser(network, listener)
    assert parser.parse(slice_model().SerializeToString())
    profile = builder.create_optimization_profile()
    for name, shape in shapes.items():
        profile.set_shape(name, shape, shape, shape)
    config = builder.create_builder_config()
    config.add_optimization_profile(profile)
    return builder.build_serialized_network(network, config)


def test_a_copy_that_nobody_waited_for_has_not_happened(card):
    cuda = cuda_module(card)
    stream, there = cuda.Stream(), cuda.mem_alloc(16)
    here = cuda.pagelocked_empty((4,), np.float32)
    here[...] = 3
    back = cuda.pagelocked_empty((4,), np.float32)

    cuda.memcpy_htod_async(there, here, stream)
    cuda.memcpy_dtoh_async(back, there, stream)

    assert (back == -7).all()
    stream.synchronize()
    assert (back == 3).all()


def test_memory_must_be_pinned_alive_and_large_enough(card):
    cuda = cuda_module(card)
    stream, there = cuda.Stream(), cuda.mem_alloc(16)
    too_much = cuda.pagelocked_empty((5,), np.float32)

    with pytest.raises(LogicError, match="pinned"):
        cuda.memcpy_htod_async(there, np.zeros(4, np.float32), stream)
    cuda.memcpy_htod_async(there, too_much, stream)
    with pytest.raises(LogicError, match="illegal memory access"):
        stream.synchronize()
    there.free()
    with pytest.raises(LogicError, match="invalid argument"):
        there.free()
    with pytest.raises(CudaMemoryError):
        cuda.mem_alloc(card.memory_bytes + 1)


def test_a_network_runs_only_with_its_shape_and_every_address_set(card):
    nvidia, listener = Nvidia(card=card), Listener()
    cuda = cuda_module(card)
    plan = compiled(nvidia, listener, slabs=(4, 6, 64, 64))
    context = nvidia.trt.Runtime(listener).deserialize_cuda_engine(plan).create_execution_context()
    stream = cuda.Stream()

    assert not context.execute_async_v3(stream.handle)
    assert not context.set_input_shape("slabs", (5, 6, 64, 64))
    assert context.set_input_shape("slabs", (4, 6, 64, 64))
    assert not context.execute_async_v3(stream.handle)
    assert [message.partition(":")[0] for message in listener.said] == [
        "input shapes were not set",
        "slabs",
        "no address for ['probabilities', 'score', 'slabs']",
    ]


def test_the_network_must_be_created_as_its_tensorrt_has_it(card):
    listener = Listener()

    assert compiled(Nvidia("10.7.0", card), listener, flag="EXPLICIT_BATCH") is None
    assert "STRONGLY_TYPED" in listener.said[-1]
    assert compiled(Nvidia("8.6.1.6", card), listener, flag="EXPLICIT_BATCH")
    assert not hasattr(Nvidia("11.4.0.106", card).trt.BuilderFlag, "FP16")
