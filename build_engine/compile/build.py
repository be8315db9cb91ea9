"""Building a plan: a bundle's graphs in the wanted precision, compiled for this card."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Final

from agent.errors import PlanError
from agent.infer.bundle import SLICE_FILE, VOLUME_FILE, Bundle
from agent.infer.plan import MANIFEST, SLICE_PLAN, VOLUME_PLAN, PlanManifest, Precision
from agent.infer.tensorrt_api import (
    TensorRt,
    Vendor,
    configure,
    is_strongly_typed,
    layer_precisions,
    network_flags,
)
from build_engine.compile.plans import write_plan
from build_engine.compile.precision import batched, network_at
from build_engine.compile.timing_cache import TimingCache

WORKSPACE_BYTES: Final = 2**30
"""Scratch memory that TensorRT may use on the card. Ours: these networks need far less."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a plan is built from and for. ``protocol`` names a profile, or is ``ANY_PROTOCOL``."""

    bundle: Bundle
    protocol: str
    slabs_per_run: int
    precision: Precision


@dataclass(frozen=True, slots=True, eq=False)
class Parsed:
    """A network, and the parser that holds its weights: they must live as long as each other."""

    network: Vendor
    parser: Vendor


@dataclass(frozen=True, slots=True)
class Compiled:
    """An engine, and its layers counted by the precision in which they really run."""

    engine: bytes
    layers: dict[str, int]


def build_plan(
    recipe: Recipe,
    gpu: TensorRt,
    plans_folder: Path,
    timings: TimingCache,
    tell: Callable[[str], object],
) -> PlanManifest:
    """Build a plan into a folder of its own, which appears whole or not at all.

    ``tell`` hears each step.

    Raises
    ------
    PlanError
        A graph cannot be had in this precision, TensorRT cannot compile it, or the disk is full.
    GpuError
        The GPU fails.
    """
    bundle = recipe.bundle
    compiled = compile_bundle(recipe, gpu, timings, tell)
    manifest = PlanManifest(
        bundle=f"{bundle.contract.name}/{bundle.contract.version}",
        networks=bundle.network_digests,
        protocol=recipe.protocol,
        precision=recipe.precision,
        slabs_per_run=recipe.slabs_per_run,
        machine=gpu.machine,
        files={},
        layers=dict(sum((Counter(one.layers) for one in compiled.values()), Counter[str]())),
        built_at=datetime.now(timezone.utc),
    )
    engines = {name: one.engine for name, one in compiled.items()}
    folder = write_plan(plans_folder, manifest, engines)
    return PlanManifest.model_validate_json((folder / MANIFEST).read_bytes())


def compile_bundle(
    recipe: Recipe,
    gpu: TensorRt,
    timings: TimingCache,
    tell: Callable[[str], object],
) -> dict[str, Compiled]:
    """Compile both networks; the engines by file name. Raises as ``build_plan``."""
    bundle, precision = recipe.bundle, recipe.precision
    slabs = (recipe.slabs_per_run, *bundle.contract.slices.shape[1:])
    tell(f"slice network: {precision} graph")
    slices = slice_graph(bundle, precision, gpu.trt)
    tell("slice network: compiling")
    slice_plan = compile_network(gpu, slices, slabs, precision, timings)
    tell(f"volume network: {precision} graph")
    volume = volume_graph(bundle, precision, gpu.trt)
    tell("volume network: compiling")
    volume_plan = compile_network(gpu, volume, bundle.contract.volume.shape, precision, timings)
    return {SLICE_PLAN: slice_plan, VOLUME_PLAN: volume_plan}


def slice_graph(bundle: Bundle, precision: Precision, trt: Vendor) -> bytes:
    """Bring the slice network to a precision and free its batch; raises PlanError."""
    typed = is_strongly_typed(trt)
    return batched(
        network_at(bundle.slice_network, bundle.folder / SLICE_FILE, precision, typed=typed)
    )


def volume_graph(bundle: Bundle, precision: Precision, trt: Vendor) -> bytes:
    """Bring the volume network to a precision; raises PlanError."""
    typed = is_strongly_typed(trt)
    return network_at(bundle.volume_network, bundle.folder / VOLUME_FILE, precision, typed=typed)


def compile_network(
    gpu: TensorRt,
    graph: bytes,
    shape: tuple[int, ...],
    precision: Precision,
    timings: TimingCache,
    *,
    least: tuple[int, ...] | None = None,
) -> Compiled:
    """Compile an ONNX graph with one input, for input of this shape, or from ``least`` on.

    Raises as ``build_plan``.
    """
    trt = gpu.trt
    with gpu.guarded("compiling"):
        builder = gpu.builder()
        parsed = parse(trt, builder, gpu.messages.listener, graph)
        config = configured(trt, builder, parsed.network, shape, precision, least=least)
        _use_timings(trt, config, timings.read(gpu.machine))
        engine = builder.build_serialized_network(parsed.network, config)
    if engine is None:
        raise PlanError(
            "network_uncompilable", version=trt.__version__, why=gpu.messages.last_error
        )
    timings.write(gpu.machine, bytes(config.get_timing_cache().serialize()))
    return Compiled(bytes(engine), layer_precisions(trt, gpu.engine(bytes(engine))))


def parse(trt: Vendor, builder: Vendor, listener: Vendor, graph: bytes) -> Parsed:
    """Read an ONNX graph into a network; PlanError if TensorRT does not take it."""
    network = builder.create_network(network_flags(trt))
    parser = trt.OnnxParser(network, listener)
    if not parser.parse(graph):
        said = "; ".join(str(parser.get_error(n).desc()) for n in range(parser.num_errors))
        raise PlanError("network_unparsable", version=trt.__version__, why=said)
    return Parsed(network, parser)


def configured(
    trt: Vendor,
    builder: Vendor,
    network: Vendor,
    shape: tuple[int, ...],
    precision: Precision,
    *,
    least: tuple[int, ...] | None = None,
) -> Vendor:
    """Make the configuration for input of a shape, or from ``least`` on.

    Raises PlanError if TensorRT refuses a part of it.
    """
    config = builder.create_builder_config()
    configure(trt, config, precision)
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, WORKSPACE_BYTES)
    profile = builder.create_optimization_profile()
    profile.set_shape(network.get_input(0).name, least or shape, shape, shape)
    if config.add_optimization_profile(profile) < 0:
        raise PlanError("builder_refuses", what=f"input of {shape}", version=trt.__version__)
    return config


def _use_timings(trt: Vendor, config: Vendor, content: bytes) -> None:
    """Start from what was measured before; TensorRT gives none for what it cannot read."""
    timings = config.create_timing_cache(content) or config.create_timing_cache(b"")
    if not config.set_timing_cache(timings, ignore_mismatch=False):
        raise PlanError("builder_refuses", what="its timing cache", version=trt.__version__)
