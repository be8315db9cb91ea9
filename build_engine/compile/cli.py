"""``bleedwatch engine``: compile, verify, sign, activate and roll back TensorRT plans."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from agent.config import DEFAULT_PATH, load_config
from agent.errors import BundleError, GpuError
from agent.infer.plan import ANY_PROTOCOL
from agent.infer.signature import load_public_key
from build_engine.compile import plans, signing
from build_engine.compile.bench import bench
from build_engine.compile.listing import BundleRow, PlanRow, bundle_rows, plan_rows
from build_engine.compile.make import build, verify
from build_engine.compile.openvino import openvino
from build_engine.compile.plans import Site
from build_engine.compile.publish import check_repository, is_repository
from build_engine.compile.publishing import publish_command
from build_engine.compile.site import ConfigPath, PlanName, site_of, taken_gpu
from build_engine.printing import AsJson, out, print_json

engine = typer.Typer(
    help="TensorRT and OpenVINO: build, verify, sign, activate.",
    no_args_is_help=True,
)
engine.command()(build)
engine.command()(verify)
engine.command()(bench)
engine.command("publish")(publish_command)
engine.command()(openvino)


@engine.command("list")
def list_(config: ConfigPath = DEFAULT_PATH, *, as_json: AsJson = False) -> None:
    """List bundles and plans: what is in use for which protocol, and why a plan is no use here.

    Example: bleedwatch engine list
    """
    settings = load_config(config)
    key = load_public_key(settings.infer.public_key)
    try:
        with taken_gpu(settings) as gpu:
            site: Site | str = site_of(settings, gpu)
    except GpuError as error:
        site = f"no GPU to run it on: {error}"
    except BundleError as error:
        site = f"the bundle in use cannot be used: {error}"
    bundles = bundle_rows(settings.engines_folder, settings.bundle_folder, key)
    plans = plan_rows(settings.plans_folder, key, site)
    if as_json:
        print_json({"bundles": list(map(dataclasses.asdict, bundles)), "plans": _plain(plans)})
        return
    out().print(_bundle_table(bundles))
    out().print()
    for row in plans:
        out().print(_plan_text(row))
    if not plans:
        out().print("No plan yet: `bleedwatch engine build`.")


@engine.command()
def activate(
    plan: PlanName,
    config: ConfigPath = DEFAULT_PATH,
    *,
    even_if_slower: Annotated[
        bool, typer.Option("--even-if-slower", help="Activate a plan slower than the active one.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Put a verified plan into use; the agent takes it up between two series.

    Refused without a passing verification made on this machine with this driver and TensorRT.

    Example: bleedwatch engine activate default-2.0.0_any_fp16_1f2e3d4c_20261124T031500
    """
    switched = plans.activate(_site(config), plan, even_if_slower=even_if_slower)
    _tell_switched(switched.plan, switched.previous, as_json=as_json)


@engine.command()
def rollback(
    config: ConfigPath = DEFAULT_PATH,
    *,
    protocol: Annotated[
        str, typer.Option(help="Protocol profile whose plan goes back.")
    ] = ANY_PROTOCOL,
    as_json: AsJson = False,
) -> None:
    """Go back to the plan that was in use before.

    Example: bleedwatch engine rollback
    """
    switched = plans.rollback(_site(config), protocol)
    _tell_switched(switched.plan, switched.previous, as_json=as_json)


@engine.command()
def sign(
    folder: Annotated[Path, typer.Argument(help="Folder of a bundle or a plan.")],
    key: Annotated[Path, typer.Option(help="PEM file of an Ed25519 private key.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Sign the manifest of a bundle or a plan, once every digest in it was checked.

    Make a key with `openssl genpkey -algorithm ed25519 -out PRIVATE.pem`, its public half for the
    agent's configuration (`infer.public_key`) with `openssl pkey -in PRIVATE.pem -pubout`.

    Example: bleedwatch engine sign engines/default/2.0.0 --key PRIVATE.pem
    """
    signature = signing.sign(folder, signing.load_private_key(key))
    if as_json:
        print_json({"signature": str(signature)})
    else:
        out().print(f"wrote {signature}", markup=False)


@engine.command()
def check(
    folder: Annotated[
        Path, typer.Argument(help="Folder of a bundle, a plan or what was published.")
    ],
    config: ConfigPath = DEFAULT_PATH,
    *,
    as_json: AsJson = False,
) -> None:
    """Check every digest of a bundle, plan or model repository, and signatures if there is a key.

    Example: bleedwatch engine check engines/default/2.0.0
    """
    key = load_public_key(load_config(config).infer.public_key)
    if is_repository(folder):
        check_repository(folder, key)
    else:
        signing.check(folder, key)
    signed = key is not None
    if as_json:
        print_json({"folder": str(folder), "digests": True, "signature": signed or None})
        return
    with_key = "signed with the configured key" if signed else "no key configured to check with"
    out().print(f"{folder}: every digest is right, {with_key}", markup=False)


def _site(config: Path) -> Site:
    settings = load_config(config)
    with taken_gpu(settings) as gpu:
        return site_of(settings, gpu)


def _tell_switched(plan: str, previous: str | None, *, as_json: bool) -> None:
    if as_json:
        print_json({"plan": plan, "previous": previous})
    else:
        out().print(f"in use: {plan}\nbefore: {previous or 'none'}", markup=False)


def _bundle_table(rows: tuple[BundleRow, ...]) -> Table:
    table = Table("Bundle", "", "Problem", box=None, pad_edge=False, header_style="bold")
    for row in rows:
        problem = f"[yellow]{escape(row.problem)}[/]" if row.problem else ""
        table.add_row(row.name, "in use" if row.in_use else "", problem)
    return table


def _plan_text(row: PlanRow) -> str:
    """Tell of a plan over some lines: its name, which commands take, is too long for a column."""
    facts = [f"in use for {name}" for name in row.active_for]
    facts += [f"before, for {name}" for name in row.previous_for]
    if row.manifest is not None:
        layers = ", ".join(f"{count} in {kind}" for kind, count in row.manifest.layers.items())
        facts.append(f"layers: {layers}")
    heads = row.verified_heads
    facts.append(f"verified on {heads} golden heads" if heads else "never verified")
    problem = f"\n  [yellow]no use here: {escape(row.problem)}[/]" if row.problem else ""
    return f"[bold]{escape(row.name)}[/]\n  {escape(' · '.join(facts))}{problem}"


def _plain(rows: tuple[PlanRow, ...]) -> list[dict[str, Any]]:
    return [
        {
            **{f.name: getattr(row, f.name) for f in dataclasses.fields(row)},
            "manifest": row.manifest.model_dump(mode="json") if row.manifest else None,
        }
        for row in rows
    ]
