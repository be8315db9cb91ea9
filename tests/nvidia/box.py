"""A box with a card: plans built on it, and what runs them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import structlog

from agent.infer import tensorrt_api
from agent.infer.bundle import Bundle, load_bundle
from agent.infer.gpu_side import GpuSettings, GpuSide
from agent.infer.onnx_backend import OnnxBackend
from agent.infer.plan import ANY_PROTOCOL, Activation, Precision, active_text, load_plan
from agent.infer.tensorrt_api import FIRST_GPU, TensorRt
from agent.infer.tensorrt_backend import TensorRtBackend
from build_engine.compile.build import Recipe, build_plan
from build_engine.compile.plans import TIMINGS
from build_engine.compile.timing_cache import TimingCache
from tests.nvidia.cuda import Card, LibCuda, cuda_module
from tests.nvidia.tensorrt import Nvidia
from tests.tiny import BUNDLE, write_engines

SLABS_PER_RUN = 3


@dataclass
class GpuBox:
    """Bundle, plans and card of one computer, in one folder."""

    folder: Path
    version: str = "10.7.0"
    card: Card = field(default_factory=Card)

    def __post_init__(self) -> None:
        self.nvidia = Nvidia(self.version, self.card)
        self.libcuda = LibCuda(self.card)
        self.said: list[tuple[str, dict]] = []
        self.bundle: Bundle = load_bundle(write_engines(self.folder) / BUNDLE)
        self.plans = self.folder / "state" / "plans"

    def connect(self, _gpu: str = FIRST_GPU) -> TensorRt:
        """Take the card, as the thread that calls this."""
        log = structlog.wrap_logger(structlog.ReturnLogger(), processors=[self._hear])
        return tensorrt_api.connect(self.nvidia.trt, cuda_module(self.card), self.libcuda, log)

    def _hear(self, _logger: object, method: str, event: dict) -> str:
        self.said.append((method, event))
        return ""

    def build(self, precision: Precision = "fp32", protocol: str = ANY_PROTOCOL) -> str:
        """Build a plan; returns its name."""
        recipe = Recipe(self.bundle, protocol, SLABS_PER_RUN, precision)
        gpu = self.connect()
        timings = TimingCache(self.plans / TIMINGS)
        manifest = build_plan(recipe, gpu, self.plans, timings, lambda _: None)
        gpu.close()
        return manifest.name

    def backend(self, gpu: TensorRt, plan: str) -> TensorRtBackend:
        """Load a plan."""
        return TensorRtBackend(load_plan(self.plans / plan, None), self.bundle, gpu)

    def ready(self) -> TensorRtBackend:
        """Build a plan, and load it."""
        plan = self.build()
        return self.backend(self.connect(), plan)

    def activate(self, **plans: str) -> None:
        """Put plans into use, by protocol, as ``engine activate`` does."""
        active = {name: Activation(plan=plan) for name, plan in plans.items()}
        (self.plans / "active.json").write_text(active_text(active))

    def gpu_side(self, *, allowed: bool = True, expected: bool = False) -> GpuSide:
        """What the agent makes of the plans in use."""
        settings = GpuSettings(self.plans, None, 0.5, allowed=allowed, expected=expected)
        reference = OnnxBackend(self.bundle, threads=1)
        return GpuSide(settings, self.bundle, reference, self.connect)
