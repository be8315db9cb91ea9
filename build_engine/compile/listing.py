"""What bundles and plans there are, which plan is in use for what, and why one cannot be."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from agent.errors import InferenceError
from agent.infer import bundle
from agent.infer.plan import Activation, Plan, PlanManifest, load_plan, read_active
from agent.infer.verification import load_verification
from agent.reasons import english
from build_engine.compile.plans import Site, plan_folders, why_unusable


@dataclass(frozen=True, slots=True)
class BundleRow:
    """A bundle's folder below the engines, and what is wrong with it."""

    name: str
    in_use: bool
    problem: str | None


@dataclass(frozen=True, slots=True)
class PlanRow:
    """A plan. ``manifest`` is None where it cannot be read; ``problem`` says why it is no use."""

    name: str
    manifest: PlanManifest | None
    active_for: tuple[str, ...]
    previous_for: tuple[str, ...]
    verified_heads: int | None
    problem: str | None


def bundle_rows(
    engines_folder: Path, in_use: Path, key: Ed25519PublicKey | None
) -> tuple[BundleRow, ...]:
    """List the bundles ``name/version`` of a folder."""
    rows = []
    for manifest in sorted(engines_folder.glob(f"*/*/{bundle.MANIFEST}")):
        folder = manifest.parent
        try:
            bundle.load_bundle(folder, key)
        except InferenceError as error:
            problem: str | None = str(error)
        else:
            problem = None
        name = str(folder.relative_to(engines_folder))
        rows.append(BundleRow(name, folder == in_use, problem))
    return tuple(rows)


def plan_rows(
    plans_folder: Path, key: Ed25519PublicKey | None, site: Site | str
) -> tuple[PlanRow, ...]:
    """List the plans of a folder, newest last.

    ``site`` is what they must fit, or why there is none: then no plan can be used.
    """
    active = read_active(plans_folder)
    return tuple(_row(folder, key, site, active) for folder in plan_folders(plans_folder))


def _problem(plan: Plan, site: Site | str) -> str | None:
    if isinstance(site, str):
        return site
    reason = why_unusable(plan, site)
    return english(reason) if reason else None


def _row(
    folder: Path, key: Ed25519PublicKey | None, site: Site | str, active: dict[str, Activation]
) -> PlanRow:
    name, manifest, heads, problem = folder.name, None, None, None
    try:
        plan = load_plan(folder, key)
        manifest = plan.manifest
        verification = load_verification(folder)
        heads = verification.heads if verification else None
        problem = _problem(plan, site)
    except InferenceError as error:
        problem = str(error)
    return PlanRow(
        name,
        manifest,
        tuple(protocol for protocol, in_use in active.items() if in_use.plan == name),
        tuple(protocol for protocol, in_use in active.items() if in_use.previous == name),
        heads,
        problem,
    )
