"""``engine openvino``: OpenVINO held against the reference on this machine's CPU."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Annotated

import typer
from rich.progress import Progress

from agent.config import DEFAULT_PATH, load_config
from agent.errors import ConfigError
from agent.infer.bundle import load_bundle
from agent.infer.cpu_side import FILE, CpuVerification, Where
from agent.infer.golden import MOST_DIFFERENT
from agent.infer.onnx_backend import OnnxBackend
from agent.infer.openvino_backend import OpenVinoBackend, installed_version
from agent.infer.signature import load_public_key
from agent.infer.verification import FEWEST_HEADS
from build_engine.compile.golden import golden_heads
from build_engine.compile.plans import replace_file
from build_engine.compile.site import ConfigPath
from build_engine.compile.verify import compare, head_ms
from build_engine.printing import AsJson, out, print_json


def openvino(
    config: ConfigPath = DEFAULT_PATH,
    *,
    heads: Annotated[int, typer.Option(help="Golden heads to read.", min=1)] = FEWEST_HEADS,
    as_json: AsJson = False,
) -> None:
    """Hold OpenVINO against ONNX Runtime on this CPU; a box without a GPU then uses the faster.

    The agent takes it up when it is started next, if each of 50 golden heads gives the same
    decision, its blood within 2 % or 0.2 mL and every probability near the reference's, and it is
    faster. The report lies beside the plans. Exit code 1 if it does not pass.

    Example: sudo -u bleedwatch bleedwatch engine openvino
    """
    settings = load_config(config)
    version = installed_version()
    if version is None:
        raise ConfigError("openvino_missing")
    bundle = load_bundle(settings.bundle_folder, load_public_key(settings.infer.public_key))
    threads = settings.infer.threads
    reference = OnnxBackend(bundle, threads=threads)  # first: it refuses what no network may be
    ours, contract = OpenVinoBackend(bundle, threads=threads), bundle.contract
    points, tolerance = contract.operating_points, MOST_DIFFERENT["fp32"]
    compared = compare(golden_heads(heads), contract, (ours, reference), points, tolerance)
    with Progress(console=out(stderr=True), transient=True, disable=as_json) as progress:
        found = list(progress.track(compared, heads, description="golden heads"))
    verification = CpuVerification(
        where=Where.here(bundle, version),
        made_at=datetime.now(timezone.utc),
        heads=len(found),
        faults=tuple(one.fault for one in found if one.fault),
        largest_probability_difference=max(one.probability for one in found),
        largest_volume_difference_ml=max(one.volume_ml for one in found),
        head_ms=head_ms(contract, ours),
        reference_ms=head_ms(contract, reference),
    )
    passed = not verification.faults and verification.faster
    replace_file(settings.plans_folder / FILE, verification.model_dump_json(indent=2).encode())
    if as_json:
        print_json(verification.model_dump(mode="json"))
    else:
        _print(verification)
    raise typer.Exit(0 if passed else 1)


def _print(verification: CpuVerification) -> None:
    faults, where = verification.faults, verification.where
    said = f"{len(faults)} fault{'s' * (len(faults) > 1)}" if faults else "passed"
    out().print(
        f"OpenVINO {where.openvino}: {said}\n"
        f"golden heads                {verification.heads}\n"
        f"largest probability apart   {verification.largest_probability_difference:.4f}\n"
        f"largest volume apart        {verification.largest_volume_difference_ml:.3f} mL\n"
        f"networks, a head            {_ms(verification.head_ms)}, "
        f"ONNX Runtime {_ms(verification.reference_ms)}",
        markup=False,
    )
    for fault in faults:
        out().print(f"  {fault}", markup=False)
    if not faults and verification.faster:
        out().print("next: systemctl restart bleedwatch-agent", markup=False)
    if not verification.faster:
        out().print("ONNX Runtime is as fast, and goes on", markup=False)


def _ms(value: float | None) -> str:
    return "not timed" if value is None else f"{value:.0f} ms"
