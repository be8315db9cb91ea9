"""A server that speaks KServe's protocol over gRPC, in this process, with what may go wrong in it.

It runs the very graphs that ``engine publish`` writes, by ONNX Runtime.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import grpc
import numpy as np
import onnxruntime as ort
from tritonclient.grpc import service_pb2, service_pb2_grpc

from agent.infer.bundle import Bundle
from agent.infer.served import DIGEST, FIELDS, PRECISION, model_names
from build_engine.compile.served_graph import served_slice_graph, served_volume_graph

Fault = Literal["none", "slow", "garbage", "half", "empty", "not numbers", "other shape", "fails"]
KINDS = {"tensor(float)": ("FP32", np.float32), "tensor(int32)": ("INT32", np.int32)}


@dataclass
class Served(service_pb2_grpc.GRPCInferenceServiceServicer):
    """One server; ``tls`` are its certificate, its key and its clients' authority."""

    bundle: Bundle
    port: int
    tls: Sequence[Path] = ()
    fault: Fault = "none"
    digest: str = ""
    loaded: bool = True
    under_way: int = 0
    most_under_way: int = 0
    answers: int = 0
    fields_bytes: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        names = model_names(self.bundle)
        self.digest = self.digest or self.bundle.digest
        self.sessions = {
            name: ort.InferenceSession(graph, providers=["CPUExecutionProvider"])
            for name, graph in (
                (names.slices, served_slice_graph(self.bundle, "fp32")),
                (names.volume, served_volume_graph(self.bundle, "fp32")),
            )
        }

    def start(self) -> None:
        self.server = grpc.server(
            ThreadPoolExecutor(8),
            options=[("grpc.max_receive_message_length", -1), ("grpc.so_reuseport", 0)],
        )
        service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(self, self.server)
        address = f"127.0.0.1:{self.port}"
        if self.tls:
            certificate, key, authority = (path.read_bytes() for path in self.tls)
            credentials = grpc.ssl_server_credentials(
                [(key, certificate)], authority, require_client_auth=True
            )
            self.server.add_secure_port(address, credentials)
        else:
            self.server.add_insecure_port(address)
        self.server.start()

    def stop(self) -> None:
        """End it as a kill does: what is under way is cut off."""
        self.server.stop(0).wait()

    def ServerMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's name
        return service_pb2.ServerMetadataResponse(name="double", version="1")

    def ModelReady(self, request: Any, context: Any) -> Any:  # noqa: N802
        return service_pb2.ModelReadyResponse(ready=self.loaded and request.name in self.sessions)

    def ModelConfig(self, request: Any, context: Any) -> Any:  # noqa: N802
        answer = service_pb2.ModelConfigResponse()
        answer.config.parameters[DIGEST].string_value = self.digest
        answer.config.parameters[PRECISION].string_value = "fp32"
        return answer

    def ModelStatistics(self, request: Any, context: Any) -> Any:  # noqa: N802
        answer = service_pb2.ModelStatisticsResponse()
        sizes = answer.model_stats.add(name=request.name).batch_stats
        sizes.add(batch_size=self.bundle.contract.slices.batch).compute_infer.count = self.answers
        return answer

    def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802
        with self.lock:
            self.under_way += 1
            self.most_under_way = max(self.most_under_way, self.under_way)
            if request.inputs[0].name == FIELDS:
                self.fields_bytes += len(request.raw_input_contents[0])
        try:
            return self._answer(request, context)
        finally:
            with self.lock:
                self.under_way -= 1
                self.answers += 1

    def _answer(self, request: Any, context: Any) -> Any:
        if self.fault == "slow":
            time.sleep(1.0)
        if self.fault == "fails":
            context.abort(grpc.StatusCode.INTERNAL, "out of memory")
        session = self.sessions[request.model_name]
        (tensor,) = request.inputs
        values = np.frombuffer(request.raw_input_contents[0], np.float32).reshape(tensor.shape)
        asked = [output.name for output in request.outputs]
        found = session.run(asked, {tensor.name: values})
        types = {output.name: output.type for output in session.get_outputs()}
        answer = service_pb2.ModelInferResponse(model_name=request.model_name)
        for name, output in zip(asked, found, strict=True):
            kind, dtype = KINDS[types[name]]
            content = np.asarray(output, dtype).tobytes()
            shape = output.shape
            match self.fault:
                case "garbage":
                    kind = "BYTES"
                case "half":
                    content = content[: len(content) // 2]
                case "empty":
                    continue
                case "not numbers":
                    content = np.full(shape, np.nan, np.float32).tobytes()
                case "other shape":
                    shape = (*shape[1:], shape[0])
            answer.outputs.add(name=name, datatype=kind, shape=shape)
            answer.raw_output_contents.append(content)
        return answer
