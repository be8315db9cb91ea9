"""``engine build`` and ``engine verify``: a plan made, and held against the reference."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress

from agent.assemble.protocol import ProtocolProfile, load_profiles
from agent.config import DEFAULT_PATH, load_config
from agent.errors import ConfigError, PlanError, SignatureError
from agent.infer.golden import MOST_DIFFERENT
from agent.infer.plan import (
    ANY_PROTOCOL,
    Plan,
    Precision,
    load_plan,
    misfit,
    plan_folder,
    read_active,
)
from agent.infer.signature import load_public_key
from agent.infer.tensorrt_api import TensorRt
from agent.infer.tensorrt_backend import TensorRtBackend
from agent.infer.verification import FEWEST_HEADS, Verification
from build_engine.compile.golden import golden_heads
from build_engine.compile.plans import TIMINGS, Site, usable_plan
from build_engine.compile.signing import load_private_key, sign
from build_engine.compile.site import (
    ConfigPath,
    PlanName,
    reference_of,
    site_of,
    taken_gpu,
)
from build_engine.compile.timing_cache import TimingCache
from build_engine.compile.verify import compare, head_ms, record
from build_engine.printing import AsJson, out, print_json


def build(
    config: ConfigPath = DEFAULT_PATH,
    *,
    protocol: Annotated[
        str, typer.Option("--protocol", "-p", help="Protocol profile to build for.")
    ] = ANY_PROTOCOL,
    precision: Annotated[Precision, typer.Option(help="Of the layers.")] = "fp16",
    bundle: Annotated[
        str | None, typer.Option(help="name/version; left out, the one in use.")
    ] = None,
    key: Annotated[
        Path | None, typer.Option(help="PEM file of an Ed25519 private key, to sign it with.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compile a bundle's networks for this card; nothing in use is touched.

    Example: bleedwatch engine build --protocol ge-head --precision fp16
    """
    settings = load_config(config)
    profile = _profile(load_profiles(settings.protocols_folder), protocol)
    private_key = load_private_key(key) if key else None
    with taken_gpu(settings) as gpu, _steps(quiet=as_json) as tell:
        from build_engine.compile.build import Recipe, build_plan  # noqa: PLC0415 - of the gpu extra

        site = site_of(settings, gpu, bundle)
        recipe = Recipe(site.bundle, protocol, profile.slabs_per_run, precision)
        timings = TimingCache(site.plans_folder / TIMINGS, site.key, private_key)
        manifest = build_plan(recipe, gpu, site.plans_folder, timings, tell)
    if private_key:
        sign(site.plans_folder / manifest.name, private_key)
    if as_json:
        print_json({"plan": manifest.name, "layers": manifest.layers})
        return
    layers = ", ".join(f"{count} in {kind}" for kind, count in manifest.layers.items())
    out().print(f"built {manifest.name}\nlayers: {layers}")
    out().print(f"next: bleedwatch engine verify {manifest.name}")


def verify(
    plan: PlanName,
    config: ConfigPath = DEFAULT_PATH,
    *,
    heads: Annotated[int, typer.Option(help="Golden heads to read.", min=1)] = FEWEST_HEADS,
    as_json: AsJson = False,
) -> None:
    """Hold a plan against ONNX Runtime on golden heads, and time it beside the active one.

    Each head must give the same decision, its blood within 2 % or 0.2 mL, and every probability
    near the reference's. The report lies beside the plan. Exit code 1 if it does not pass.

    Example: bleedwatch engine verify default-2.0.0_any_fp16_1f2e3d4c_20261124T031500
    """
    settings = load_config(config)
    loaded = load_plan(
        plan_folder(settings.plans_folder, plan), load_public_key(settings.infer.public_key)
    )
    profile = _profile(load_profiles(settings.protocols_folder), loaded.manifest.protocol)
    with taken_gpu(settings) as gpu:
        site = site_of(settings, gpu, loaded.manifest.bundle)
        point = site.bundle.contract.operating_point(profile.operating_point)
        tolerance = MOST_DIFFERENT[loaded.manifest.precision]
        with closing(_on_gpu(loaded, site, gpu)) as backend:
            pair = backend, reference_of(site)
            compared = compare(golden_heads(heads), site.bundle.contract, pair, (point,), tolerance)
            progress = Progress(console=out(stderr=True), transient=True, disable=as_json)
            with progress:
                differences = list(progress.track(compared, heads, description="golden heads"))
            took_ms = head_ms(site.bundle.contract, backend)
        times_ms = took_ms, _active_ms(loaded, site, gpu)
    verification = record(loaded, site.here, differences, times_ms)
    if as_json:
        print_json(verification.model_dump(mode="json"))
    else:
        _print(plan, verification)
    raise typer.Exit(1 if verification.faults else 0)


def _profile(profiles: tuple[ProtocolProfile, ...], name: str) -> ProtocolProfile:
    """Find a profile by name; the most general one stands for any protocol."""
    if name == ANY_PROTOCOL:
        return profiles[-1]
    for profile in profiles:
        if profile.name == name:
            return profile
    known = ", ".join(profile.name for profile in profiles)
    raise ConfigError("profile_unknown", name=name, known=known)


def _on_gpu(plan: Plan, site: Site, gpu: TensorRt) -> TensorRtBackend:
    reason = misfit(plan.manifest, site.bundle, site.here.machine)
    if reason:
        raise PlanError("plan_misfit", plan=plan.manifest.name, why=reason)
    return TensorRtBackend(plan, site.bundle, gpu)


def _active_ms(plan: Plan, site: Site, gpu: TensorRt) -> float | None:
    """Time the active plan that this one would take the place of; None if none can be used."""
    active = read_active(site.plans_folder).get(plan.manifest.protocol)
    if active is None or active.plan == plan.manifest.name:
        return None
    try:
        other = usable_plan(site, active.plan)
    except (PlanError, SignatureError):
        return None  # what is broken is no reason to keep a better one out
    with closing(_on_gpu(other, site, gpu)) as backend:
        return head_ms(site.bundle.contract, backend)


def _print(plan: str, verification: Verification) -> None:
    faults = verification.faults
    said = f"{len(faults)} fault{'s' * (len(faults) > 1)}" if faults else "passed"
    took = f"{verification.head_ms:.1f} ms" if verification.head_ms is not None else "not timed"
    if verification.active_ms is not None:
        took += f", the active plan {verification.active_ms:.1f} ms"
    out().print(
        f"{plan}: {said}\n"
        f"golden heads                {verification.heads}\n"
        f"largest probability apart   {verification.largest_probability_difference:.4f}\n"
        f"largest volume apart        {verification.largest_volume_difference_ml:.3f} mL\n"
        f"networks, a head            {took}",
        markup=False,
    )
    for fault in faults:
        out().print(f"  {fault}", markup=False)
    if not faults:
        out().print(f"next: bleedwatch engine activate {plan}", markup=False)


@contextmanager
def _steps(*, quiet: bool) -> Iterator[Callable[[str], object]]:
    """Tell a person what is being done now."""
    if quiet:
        yield lambda _: None
        return
    with out(stderr=True).status("…") as status:
        yield status.update
