"""A real card: the shipped bundle in a folder of its own, plans built on this very machine."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
import structlog

from agent.config import PACKAGED_ENGINES, InferConfig
from agent.infer import tensorrt_api
from agent.infer.bundle import Bundle, load_bundle
from agent.infer.onnx_backend import OnnxBackend
from agent.infer.plan import ANY_PROTOCOL, Plan, PlanManifest, Precision, load_plan
from agent.infer.tensorrt_api import TensorRt
from build_engine.compile.build import Recipe, build_plan
from build_engine.compile.plans import TIMINGS
from build_engine.compile.timing_cache import TimingCache

SLABS_PER_RUN = 8


@dataclass
class RealBox:
    """Bundle, plans and card of this computer."""

    folder: Path
    bundle: Bundle
    gpu: TensorRt
    reference: OnnxBackend
    said: list[dict]

    def build(self, precision: Precision) -> Plan:
        """Build a plan, once for all tests."""
        return load_plan(self.folder / "plans" / self._built(precision).name, None)

    @cache  # noqa: B019 - the box lives as long as the tests
    def _built(self, precision: Precision) -> PlanManifest:
        recipe = Recipe(self.bundle, ANY_PROTOCOL, SLABS_PER_RUN, precision)
        plans = self.folder / "plans"
        timings = TimingCache(plans / TIMINGS)
        return build_plan(recipe, self.gpu, plans, timings, lambda _: None)

    __hash__ = object.__hash__


@pytest.fixture(scope="session")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("engines")
    bundle = InferConfig().bundle
    shutil.copytree(PACKAGED_ENGINES / bundle, folder / bundle)
    shutil.copytree(PACKAGED_ENGINES / "protocols", folder / "protocols")
    return folder


@pytest.fixture(scope="session")
def box(engines: Path) -> Iterator[RealBox]:
    said: list[dict] = []

    def hear(_logger: object, _method: str, event: dict) -> str:
        said.append(event)
        return ""

    log = structlog.wrap_logger(structlog.ReturnLogger(), processors=[hear])
    gpu = tensorrt_api.load(log, tensorrt_api.FIRST_GPU)
    bundle = load_bundle(engines / InferConfig().bundle)
    reference = OnnxBackend(bundle, threads=8)
    yield RealBox(engines, bundle, gpu, reference, said)
    gpu.close()
