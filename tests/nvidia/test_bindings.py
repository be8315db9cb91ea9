"""The real bindings of four TensorRT versions have every name that the code uses, as it uses it."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest

import agent.infer.tensorrt_api
import agent.infer.tensorrt_backend
import build_engine.compile.build
from tests.nvidia import bindings

pytestmark = pytest.mark.slow

CALLS = {
    "Builder": {
        "create_network": (1, "INetworkDefinition"),
        "create_builder_config": (0, "IBuilderConfig"),
        "create_optimization_profile": (0, "IOptimizationProfile"),
        "build_serialized_network": (2, "IHostMemory"),
    },
    "INetworkDefinition": {"get_input": (1, "ITensor")},
    "OnnxParser": {"parse": (1, "bool"), "get_error": (1, "IParserError")},
    "ParserError": {"desc": (0, "str")},
    "IBuilderConfig": {
        "set_flag": (1, "None"),
        "clear_flag": (1, "None"),
        "set_tactic_sources": (1, "bool"),
        "set_memory_pool_limit": (2, "None"),
        "add_optimization_profile": (1, "int"),
        "create_timing_cache": (1, "ITimingCache"),
        "set_timing_cache": (2, "bool"),
        "get_timing_cache": (0, "ITimingCache"),
    },
    "ITimingCache": {"serialize": (0, "IHostMemory")},
    "IOptimizationProfile": {"set_shape": (4, "None")},
    "Runtime": {"deserialize_cuda_engine": (1, "ICudaEngine")},
    "ICudaEngine": {
        "get_tensor_name": (1, "str"),
        "get_tensor_mode": (1, "TensorIOMode"),
        "get_tensor_dtype": (1, "DataType"),
        "create_execution_context": (0, "IExecutionContext"),
        "create_engine_inspector": (0, "EngineInspector"),
    },
    "IExecutionContext": {
        "set_input_shape": (2, "bool"),
        "get_tensor_shape": (1, "Dims"),
        "set_tensor_address": (2, "bool"),
        "execute_async_v3": (1, "bool"),
    },
    "EngineInspector": {"get_engine_information": (1, "str")},
    "ILogger": {"log": (2, "None")},
}
"""How many arguments the code gives to each method, and what it makes of what comes back."""

ATTRIBUTES = {
    "ITensor": {"name"},
    "OnnxParser": {"num_errors"},
    "ICudaEngine": {"num_io_tensors"},
    "IBuilderConfig": {"profiling_verbosity"},
}

ENUMS = {
    "BuilderFlag": {"TF32"},
    "MemoryPoolType": {"WORKSPACE"},
    "ProfilingVerbosity": {"DETAILED"},
    "LayerInformationFormat": {"JSON"},
    "TensorIOMode": {"INPUT"},
    "TacticSource": {"JIT_CONVOLUTIONS"},
    "Severity": {"INTERNAL_ERROR", "ERROR", "WARNING"},
}

OURS = {"builder", "engine", "code", "shape"}
"""Names of our own that TensorRT has too."""

BY_VERSION = {
    "8.6.1": ("EXPLICIT_BATCH", {"FP16"}, "device_memory_size"),
    "10.3.0": ("STRONGLY_TYPED", set(), "device_memory_size_v2"),
    "10.16.1.11": ("STRONGLY_TYPED", set(), "device_memory_size_v2"),
    "11.4.0.106": ("STRONGLY_TYPED", set(), "device_memory_size_v2"),
}
"""How a network is created, what flags that needs besides, what a context's memory is called."""


@pytest.fixture(scope="module", params=BY_VERSION)
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def trt(version: str, pytestconfig: pytest.Config) -> dict[str, Any]:
    return bindings.described(version, pytestconfig.cache.mkdir("tensorrt_bindings"))


def test_every_method_takes_what_it_is_given_and_gives_what_is_made_of_it(trt) -> None:
    for owner, methods in CALLS.items():
        for name, (n_given, gives) in methods.items():
            doc = trt["members"][owner][name]["doc"]
            n_needed, n_taken, returns = bindings.signature(doc, name)
            assert n_needed <= n_given <= n_taken, doc
            assert re.split(r"\.|::I?", returns)[-1].removeprefix("I") == gives.removeprefix("I"), (
                doc
            )


def test_every_attribute_is_there_and_is_none_to_be_called(trt, version) -> None:
    memory = BY_VERSION[version][2]
    wanted = {**ATTRIBUTES, "ICudaEngine": {*ATTRIBUTES["ICudaEngine"], memory}}
    for owner, names in wanted.items():
        for name in names:
            assert trt["members"][owner][name]["called"] is False


def test_every_value_of_an_enum_is_there(trt, version) -> None:
    created_by, flags, _ = BY_VERSION[version]
    wanted = {**ENUMS, "NetworkDefinitionCreationFlag": {created_by}}
    wanted["BuilderFlag"] = wanted["BuilderFlag"] | flags
    enums = trt["enums"]
    enums.setdefault("Severity", dict.fromkeys(trt["members"]["ILogger"], 0))
    for owner, names in wanted.items():
        assert names <= enums[owner].keys(), owner
    assert trt["values"] == {"float32": 0, "int32": 3}
    strong = "STRONGLY_TYPED" in enums["NetworkDefinitionCreationFlag"]
    assert strong == (created_by == "STRONGLY_TYPED"), "the code tells versions by this"


def test_a_timing_cache_is_set_by_the_name_that_the_code_gives(trt) -> None:
    assert "ignore_mismatch: bool" in trt["members"]["IBuilderConfig"]["set_timing_cache"]["doc"]


def test_the_tables_above_name_all_that_the_code_uses(trt) -> None:
    sources = (agent.infer.tensorrt_api, agent.infer.tensorrt_backend, build_engine.compile.build)
    trees = [ast.parse(Path(str(one.__file__)).read_text()) for one in sources]
    used = {
        node.attr for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Attribute)
    }
    looked_up = {name for methods in CALLS.values() for name in methods}
    looked_up |= {name for names in (*ATTRIBUTES.values(), *ENUMS.values()) for name in names}
    looked_up |= {name for of in BY_VERSION.values() for name in (of[0], *of[1], of[2])}
    classes = {name for name in trt["members"] if name in {*CALLS, *ATTRIBUTES, *ENUMS}}
    theirs = {name for owner in classes for name in trt["members"][owner] if name[0] != "_"}

    assert used & theirs - looked_up <= OURS
