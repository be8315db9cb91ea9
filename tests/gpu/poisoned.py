"""Break the CUDA context under a running backend, and tell what the agent makes of it."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import structlog

from agent.config import InferConfig
from agent.infer import tensorrt_api
from agent.infer.bundle import load_bundle
from agent.infer.gpu_side import GpuSettings, GpuSide
from agent.infer.networks import MOST_RESTARTS, RETRY_S, Networks
from agent.infer.onnx_backend import OnnxBackend
from agent.infer.plan import Activation, active_text
from agent.infer.tensorrt_api import FIRST_GPU
from agent.reasons import english

log = structlog.wrap_logger(structlog.PrintLogger())
engines, plan = Path(sys.argv[1]), sys.argv[2]
(engines / "plans" / "active.json").write_text(active_text({"any": Activation(plan=plan)}))
bundle = load_bundle(engines / InferConfig().bundle)
now_s = [0.0]
reference = OnnxBackend(bundle, threads=4)
settings = GpuSettings(engines / "plans", None, 1.0, allowed=True, expected=True)
gpu_side = GpuSide(settings, bundle, reference, lambda: tensorrt_api.load(log, FIRST_GPU))
networks = Networks(reference, gpu_side, lambda: now_s[0], log)
block = np.zeros(bundle.contract.volume.shape, np.float32)


def run() -> str:
    return networks.run("any", lambda backend: (backend.run_volume(block), str(backend.run_by))[1])


networks.refresh()
print("before:", run())
lane = gpu_side.backend("any")._volume
lane._context.set_tensor_address("block", 256)
lane._graph = None
print("after: answered by", run())
print("console:", english(networks.degraded) if networks.degraded else None)
for _ in range(MOST_RESTARTS):
    now_s[0] += RETRY_S
    networks.refresh()
print("a new process is asked for" if networks.process_spent else f"GPU runs again: {run()}")
