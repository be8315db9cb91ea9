"""TensorRT's Python module as a double, in the shape that each of its versions has.

An engine is the ONNX graph itself, run by ONNX Runtime when the stream it was given to is waited
for. What TensorRT refuses is refused, in its way: None or False, and a message to the logger.
"""

from __future__ import annotations

import enum
import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort

from tests.nvidia.cuda import Card

MAGIC = b"fake engine\n"
WORKSPACE_BYTES = 2**20


class Severity(enum.IntEnum):
    INTERNAL_ERROR = 0
    ERROR = 1
    WARNING = 2
    INFO = 3
    VERBOSE = 4


class ILogger:
    INTERNAL_ERROR, ERROR, WARNING = Severity.INTERNAL_ERROR, Severity.ERROR, Severity.WARNING
    INFO, VERBOSE = Severity.INFO, Severity.VERBOSE

    def log(self, severity: Severity, message: str) -> None:
        raise NotImplementedError


class DataType(enum.IntEnum):
    FLOAT = 0
    HALF = 1
    INT32 = 3


class TensorIOMode(enum.IntEnum):
    NONE = 0
    INPUT = 1
    OUTPUT = 2


class MemoryPoolType(enum.IntEnum):
    WORKSPACE = 0


class ProfilingVerbosity(enum.IntEnum):
    LAYER_NAMES_ONLY = 0
    DETAILED = 1


class LayerInformationFormat(enum.IntEnum):
    ONELINE = 0
    JSON = 1


TYPES = {onnx.TensorProto.FLOAT: DataType.FLOAT, onnx.TensorProto.INT32: DataType.INT32}
SAID = {
    onnx.TensorProto.FLOAT: ("Row major linear FP32", "Float"),
    onnx.TensorProto.FLOAT16: ("Channel major FP16 format where channel % 8 == 0", "Half"),
}


class HostMemory(bytes):
    @property
    def nbytes(self) -> int:
        return len(self)


class TimingCache:
    def __init__(self, content: bytes) -> None:
        self.content = content

    def serialize(self) -> HostMemory:
        return HostMemory(self.content)


class Profile:
    def __init__(self) -> None:
        self.shapes: dict[str, tuple[tuple[int, ...], ...]] = {}

    def set_shape(self, name: str, least: Any, best: Any, most: Any) -> None:
        self.shapes[name] = (tuple(least), tuple(best), tuple(most))


class Network:
    def __init__(self, flags: int) -> None:
        self.flags = flags
        self.model: onnx.ModelProto | None = None
        self.name = ""

    @property
    def inputs(self) -> list[onnx.ValueInfoProto]:
        return list(self.model.graph.input)

    @property
    def num_inputs(self) -> int:
        return len(self.inputs)

    def get_input(self, number: int) -> SimpleNamespace:
        value = self.inputs[number]
        return SimpleNamespace(name=value.name, shape=shape_of(value))


def shape_of(value: onnx.ValueInfoProto) -> tuple[int, ...]:
    dims = value.type.tensor_type.shape.dim
    return tuple(dim.dim_value if dim.HasField("dim_value") else -1 for dim in dims)


class OnnxParser:
    def __init__(self, nvidia: Nvidia, network: Network) -> None:
        self._nvidia = nvidia
        self._network = network
        self._errors: list[str] = []

    def parse(self, content: bytes) -> bool:
        try:
            model = onnx.load_from_string(content)
        except Exception as error:  # noqa: BLE001
            self._errors = [f"Failed to parse the ONNX model: {error}"]
            return False
        unknown = sorted({node.op_type for node in model.graph.node} & self._nvidia.lacks)
        self._errors = [f"No importer registered for op: {name}" for name in unknown]
        self._network.model = model
        return not unknown

    @property
    def num_errors(self) -> int:
        return len(self._errors)

    def get_error(self, number: int) -> SimpleNamespace:
        return SimpleNamespace(desc=lambda: self._errors[number])


class BuilderConfig:
    def __init__(self, nvidia: Nvidia) -> None:
        self._nvidia = nvidia
        self.flags: set[Any] = {nvidia.trt.BuilderFlag.TF32}
        self.profiles: list[Profile] = []
        self.tactics: int | None = None
        self.profiling_verbosity = ProfilingVerbosity.LAYER_NAMES_ONLY
        self.cache: TimingCache | None = None
        self.limits: dict[MemoryPoolType, int] = {}

    def set_flag(self, flag: Any) -> None:
        self.flags.add(flag)

    def clear_flag(self, flag: Any) -> None:
        self.flags.discard(flag)

    def set_tactic_sources(self, tactics: int) -> bool:
        self.tactics = tactics
        return "set_tactic_sources" not in self._nvidia.refuses

    def set_memory_pool_limit(self, pool: MemoryPoolType, size_bytes: int) -> None:
        self.limits[pool] = size_bytes

    def add_optimization_profile(self, profile: Profile) -> int:
        if "add_optimization_profile" in self._nvidia.refuses:
            return -1
        self.profiles.append(profile)
        return len(self.profiles) - 1

    def create_timing_cache(self, content: bytes) -> TimingCache | None:
        if content and not content.startswith(b"timings"):
            return None
        return TimingCache(bytes(content) or b"timings")

    def set_timing_cache(self, cache: TimingCache, ignore_mismatch: bool) -> bool:
        self.cache = cache
        return "set_timing_cache" not in self._nvidia.refuses

    def get_timing_cache(self) -> TimingCache:
        return self.cache


class Nvidia:
    """One computer's TensorRT: version, card, and what was asked of it."""

    def __init__(self, version: str = "10.7.0", card: Card | None = None) -> None:
        self.version = version
        self.card = card or Card()
        self.builds: list[BuilderConfig] = []
        major = int(version.split(".", maxsplit=1)[0])
        self.strongly_typed = major >= 10
        self.splits_types = major >= 11
        self.fails_to_build: str | None = None
        self.lacks: frozenset[str] = frozenset()
        self.warns: str | None = None
        self.cannot_start: str | None = None
        self.refuses: frozenset[str] = frozenset()
        self.sees_less_by = 0.0
        self.trt = self._module(major)

    def _module(self, major: int) -> SimpleNamespace:
        creation = {"EXPLICIT_BATCH": 0, "STRONGLY_TYPED": 1}
        if major < 10:
            del creation["STRONGLY_TYPED"]
        if major > 10:
            del creation["EXPLICIT_BATCH"]
        flags = ["TF32", "REFIT"] + (["FP16", "INT8"] if major < 11 else [])
        tactics = ["EDGE_MASK_CONVOLUTIONS", "JIT_CONVOLUTIONS"]
        tactics = tactics if major > 10 else ["CUBLAS", "CUBLAS_LT", "CUDNN", *tactics]
        numbered = {name: number for number, name in enumerate(tactics)}
        return SimpleNamespace(
            __version__=self.version,
            ILogger=ILogger,
            TensorIOMode=TensorIOMode,
            DataType=DataType,
            float32=DataType.FLOAT,
            int32=DataType.INT32,
            MemoryPoolType=MemoryPoolType,
            ProfilingVerbosity=ProfilingVerbosity,
            LayerInformationFormat=LayerInformationFormat,
            NetworkDefinitionCreationFlag=enum.IntEnum("NetworkDefinitionCreationFlag", creation),
            BuilderFlag=enum.IntEnum("BuilderFlag", flags),
            TacticSource=enum.IntEnum("TacticSource", numbered),
            Builder=lambda logger: self._started(Builder, logger),
            OnnxParser=lambda network, _logger: OnnxParser(self, network),
            Runtime=lambda logger: self._started(Runtime, logger),
        )

    def _started(self, factory: type, logger: ILogger) -> Any:
        """What cannot start is a null pointer in C++, of which pybind11 makes this."""
        if self.cannot_start:
            logger.log(Severity.ERROR, self.cannot_start)
            raise TypeError("pybind11::init(): factory function returned nullptr")
        return factory(self, logger)


class Builder:
    def __init__(self, nvidia: Nvidia, logger: ILogger) -> None:
        nvidia.card.call("cudaMalloc")
        self._nvidia = nvidia
        self._logger = logger

    def create_network(self, flags: int = 0) -> Network:
        return Network(flags)

    def create_builder_config(self) -> BuilderConfig:
        return BuilderConfig(self._nvidia)

    def create_optimization_profile(self) -> Profile:
        return Profile()

    def build_serialized_network(
        self, network: Network, config: BuilderConfig
    ) -> HostMemory | None:
        self._nvidia.builds.append(config)
        problem = self._nvidia.fails_to_build or self._problem(network, config)
        if problem:
            self._logger.log(Severity.ERROR, problem)
            return None
        if self._nvidia.warns:
            self._logger.log(Severity.WARNING, self._nvidia.warns)
        if config.cache:
            config.cache.content += b"."
        head = {"version": self._nvidia.version, "card": self._nvidia.card.name}
        head |= {"shapes": {k: v[2] for p in config.profiles for k, v in p.shapes.items()}}
        head |= {"detailed": config.profiling_verbosity == ProfilingVerbosity.DETAILED}
        text = json.dumps(head).encode() + b"\n"
        return HostMemory(MAGIC + text + network.model.SerializeToString())

    def _problem(self, network: Network, config: BuilderConfig) -> str | None:
        creation = self._nvidia.trt.NetworkDefinitionCreationFlag
        wanted = getattr(
            creation, "STRONGLY_TYPED" if self._nvidia.strongly_typed else "EXPLICIT_BATCH"
        )
        if not network.flags & 1 << wanted:
            return f"the network was not created with {wanted.name}"
        if config.limits.get(MemoryPoolType.WORKSPACE, WORKSPACE_BYTES) < WORKSPACE_BYTES:
            return "no implementation within the workspace"
        types = {value.data_type for value in network.model.graph.initializer}
        allowed = {flag.name for flag in config.flags}
        halved = not self._nvidia.strongly_typed and onnx.TensorProto.FLOAT16 in types
        if halved and "FP16" not in allowed:
            return "FP16 weights, and FP16 is not allowed"
        for value in network.inputs:
            if -1 in shape_of(value) and not any(value.name in p.shapes for p in config.profiles):
                return f"dynamic or shape inputs, but no optimization profile: {value.name}"
        return None


class Runtime:
    def __init__(self, nvidia: Nvidia, logger: ILogger) -> None:
        self._nvidia = nvidia
        self._logger = logger

    def deserialize_cuda_engine(self, serialised: bytes) -> Engine | None:
        self._nvidia.card.call("cudaMalloc")
        if not serialised.startswith(MAGIC):
            self._logger.log(Severity.ERROR, "Serialization assertion magicTagRead failed")
            return None
        head, _, graph = serialised[len(MAGIC) :].partition(b"\n")
        about = json.loads(head)
        if about["version"] != self._nvidia.version:
            self._logger.log(Severity.ERROR, "The engine plan file is not compatible with TensorRT")
            return None
        return Engine(self._nvidia, self._logger, about, graph)


class Engine:
    def __init__(
        self, nvidia: Nvidia, logger: ILogger, about: dict[str, Any], graph: bytes
    ) -> None:
        self.nvidia, self.logger, self.about = nvidia, logger, about
        self.model = onnx.load_from_string(graph)
        self.session = ort.InferenceSession(graph, providers=["CPUExecutionProvider"])
        self.values = [*self.model.graph.input, *self.model.graph.output]
        self.num_io_tensors = len(self.values)
        name = "device_memory_size_v2" if nvidia.splits_types else "device_memory_size"
        setattr(self, name, WORKSPACE_BYTES)

    def get_tensor_name(self, number: int) -> str:
        return self.values[number].name

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        inputs = {value.name for value in self.model.graph.input}
        return TensorIOMode.INPUT if name in inputs else TensorIOMode.OUTPUT

    def get_tensor_dtype(self, name: str) -> DataType:
        (value,) = (value for value in self.values if value.name == name)
        return TYPES[value.type.tensor_type.elem_type]

    def create_execution_context(self) -> ExecutionContext | None:
        card = self.nvidia.card
        if card.in_use_bytes() + WORKSPACE_BYTES > card.memory_bytes:
            self.logger.log(Severity.ERROR, "OutOfMemory: no memory for the context")
            return None
        return ExecutionContext(self)

    def create_engine_inspector(self) -> SimpleNamespace:
        return SimpleNamespace(get_engine_information=self._information)

    def _information(self, form: LayerInformationFormat) -> str:
        assert form == LayerInformationFormat.JSON
        convolutions = [n for n in self.model.graph.node if n.op_type == "Conv"]
        if not self.about["detailed"]:
            return json.dumps({"Layers": [node.name for node in convolutions]})
        types = {value.name: value.data_type for value in self.model.graph.initializer}
        return json.dumps({"Layers": [self._layer(node, types) for node in convolutions]})

    def _layer(self, node: onnx.NodeProto, types: dict[str, int]) -> dict[str, Any]:
        long, short = SAID[types[node.input[1]]]
        tensor = {"Name": node.input[0]} | (
            {"Format": long, "DataType": short}
            if self.nvidia.splits_types
            else {"Format/Datatype": long}
        )
        return {"Name": node.name, "LayerType": "CaskConvolution", "Inputs": [tensor]}


class ExecutionContext:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._addresses: dict[str, int] = {}

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        (value,) = (value for value in self._engine.model.graph.input if value.name == name)
        built = tuple(self._engine.about["shapes"].get(name, shape_of(value)))
        if tuple(shape) != built:
            return self._refuse(f"{name}: {tuple(shape)} is outside of the profile's {built}")
        self._shapes[name] = tuple(shape)
        return True

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        if name in self._shapes:
            return self._shapes[name]
        (value,) = (value for value in self._engine.values if value.name == name)
        first = next(iter(self._shapes.values()), (-1,))[0]
        return tuple(first if dim == -1 else dim for dim in shape_of(value))

    def set_tensor_address(self, name: str, address: int) -> bool:
        if "set_tensor_address" in self._engine.nvidia.refuses:
            return self._refuse(f"the address of {name} is not aligned")
        self._addresses[name] = address
        return True

    def execute_async_v3(self, stream_handle: int) -> bool:
        self._engine.nvidia.card.call("enqueueV3")
        names = {value.name for value in self._engine.values}
        unset = {v.name for v in self._engine.model.graph.input} - set(self._shapes)
        if unset:
            return self._refuse(f"input shapes were not set: {sorted(unset)}")
        if set(self._addresses) != names:
            return self._refuse(f"no address for {sorted(names - set(self._addresses))}")
        self._engine.nvidia.card.enqueue(stream_handle, self._run)
        return True

    def _run(self) -> None:
        card = self._engine.nvidia.card
        card.launch()
        inputs = {v.name: self._read(v.name) for v in self._engine.model.graph.input}
        outputs = [value.name for value in self._engine.model.graph.output]
        for name, values in zip(outputs, self._engine.session.run(outputs, inputs), strict=True):
            spoiled = np.ascontiguousarray(self._spoiled(values))
            held = card.allocated(self._addresses[name], spoiled.nbytes)
            held[:] = spoiled.reshape(-1).view(np.uint8)

    def _spoiled(self, values: np.ndarray) -> np.ndarray:
        nvidia = self._engine.nvidia
        if values.dtype != np.float32:
            return values
        if nvidia.card.nan_outputs:
            return np.full_like(values, np.nan)
        if nvidia.sees_less_by and values.ndim == 4:
            bleed = values[:, 1:] * np.float32(1 - nvidia.sees_less_by)
            return np.concatenate([1 - bleed.sum(axis=1, keepdims=True), bleed], axis=1)
        return values

    def _read(self, name: str) -> np.ndarray:
        shape = self._shapes[name]
        size_bytes = int(np.prod(shape)) * 4
        held = self._engine.nvidia.card.allocated(self._addresses[name], size_bytes)
        return held.view(np.float32).reshape(shape).copy()

    def _refuse(self, message: str) -> bool:
        self._engine.logger.log(Severity.ERROR, message)
        return False
