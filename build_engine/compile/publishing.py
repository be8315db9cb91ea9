"""``engine publish``: a bundle for a server that runs the networks of many boxes."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.config import DEFAULT_PATH, Config, load_config
from agent.errors import RequestRefused
from agent.infer.bundle import Bundle, load_bundle
from agent.infer.golden import read_golden
from agent.infer.onnx_backend import OnnxBackend
from agent.infer.plan import Precision
from agent.infer.signature import load_public_key
from agent.infer.triton_backend import TritonBackend
from build_engine.compile.plans import TIMINGS
from build_engine.compile.publish import (
    MOST_SLABS,
    PYTHON_MODEL,
    Published,
    RunsOn,
    networks_of,
    publish,
)
from build_engine.compile.signing import load_private_key
from build_engine.compile.site import ConfigPath, server_at, taken_gpu
from build_engine.compile.timing_cache import TimingCache
from build_engine.printing import AsJson, out, print_json


def publish_command(
    config: ConfigPath = DEFAULT_PATH,
    *,
    triton: Annotated[
        Path | None, typer.Option(file_okay=False, help="Folder of a Triton model repository.")
    ] = None,
    runs_on: Annotated[
        RunsOn,
        typer.Option(help="Triton's backend. tensorrt adds plans for this computer's card."),
    ] = "onnxruntime",
    key: Annotated[
        Path | None, typer.Option(help="PEM file of an Ed25519 private key, to sign it with.")
    ] = None,
    check: Annotated[
        str | None,
        typer.Option(help="Address of a running server that must read as the reference does."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write the bundle in use as a Triton model repository, or check a server that has loaded it.

    TensorRT runs it in FP16, ONNX Runtime in FP32.

    Example: bleedwatch engine publish --triton /srv/models --key PRIVATE.pem
    """
    if triton is None and check is None:
        raise RequestRefused("nothing_to_publish")
    settings = load_config(config)
    loaded = load_bundle(settings.bundle_folder, load_public_key(settings.infer.public_key))
    told: dict[str, object] = {"published": None, "server": None}
    if triton is not None:
        private_key = load_private_key(key) if key else None
        published = _published(triton, loaded, settings, runs_on, private_key)
        told["published"] = published.model_dump(mode="json")
    if check is not None:
        told["server"] = _checked(check, loaded, settings)
    if as_json:
        print_json(told)
        return
    if triton is not None:
        out().print(f"wrote {len(published.files)} files below {triton}", markup=False)
        out().print(f"next: tritonserver --model-repository={triton}", markup=False)
    if check is not None:
        out().print(f"{check}: reads as the reference does; {told['server']}", markup=False)


def _published(
    folder: Path,
    bundle: Bundle,
    settings: Config,
    runs_on: RunsOn,
    key: Ed25519PrivateKey | None,
) -> Published:
    from build_engine.compile.served_graph import (  # noqa: PLC0415 - onnx is of an extra
        served_slice_graph,
        served_volume_graph,
    )

    precision: Precision = "fp16" if runs_on == "tensorrt" else "fp32"
    made = runs_on, precision
    graphs = served_slice_graph(bundle, precision), served_volume_graph(bundle, precision)
    if runs_on == "tensorrt":
        name, plans, capability = _compiled(settings, bundle, graphs, precision)
        models = networks_of(bundle, {name: plans[0]}, {name: plans[1]})
        return publish(folder, bundle, models, made, {capability: name}, key)
    beside = {"model.py": PYTHON_MODEL.read_bytes()} if runs_on == "python" else {}
    models = networks_of(
        bundle, {"model.onnx": graphs[0], **beside}, {"model.onnx": graphs[1], **beside}
    )
    return publish(folder, bundle, models, made, {}, key)


def _compiled(
    settings: Config, bundle: Bundle, graphs: tuple[bytes, bytes], precision: Precision
) -> tuple[str, tuple[bytes, bytes], str]:
    """Compile both for this computer's card: file name, plans, compute capability."""
    from build_engine.compile.build import compile_network  # noqa: PLC0415 - of the gpu extra

    slices, size = bundle.contract.slices, bundle.contract.slices.size_px
    sample = (2 * slices.neighbours + 1, size, size)
    timings = TimingCache(
        settings.plans_folder / TIMINGS, load_public_key(settings.infer.public_key)
    )
    with taken_gpu(settings) as gpu:
        slabs = compile_network(
            gpu, graphs[0], (MOST_SLABS, *sample), precision, timings, least=(1, *sample)
        )
        volume = compile_network(gpu, graphs[1], bundle.contract.volume.shape, precision, timings)
        capability = gpu.machine.compute_capability
    name = f"sm_{capability.replace('.', '')}.plan"
    return name, (slabs.engine, volume.engine), capability


def _checked(address: str, bundle: Bundle, settings: Config) -> str:
    """Let a server read the golden batch; InferenceError says how it fails. Returns what it is."""
    reference = OnnxBackend(bundle, threads=settings.infer.threads)
    with closing(TritonBackend(server_at(settings, address), bundle)) as backend:
        backend.check_golden(read_golden(bundle.contract, reference))
        return str(backend.run_by)
