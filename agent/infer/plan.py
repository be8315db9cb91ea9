"""Plans: bundles compiled by TensorRT for one machine, read and checked.

A plan is a folder: its manifest ``plan.json``, and the compiled networks ``slice.plan`` and
``volume.plan``. These are code for the GPU: nothing is deserialised before its digest was checked,
and its signature where the configuration names a key. ``active.json`` beside the plans' folders
says which one is in use; it chooses among plans that are checked themselves, and is not signed.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import AwareDatetime, BaseModel, ConfigDict, RootModel, ValidationError

from agent.errors import PlanError
from agent.infer.bundle import Bundle
from agent.infer.signature import check_signature
from agent.reasons import Reason

MANIFEST: Final = "plan.json"
SLICE_PLAN: Final = "slice.plan"
VOLUME_PLAN: Final = "volume.plan"
ACTIVE: Final = "active.json"

ANY_PROTOCOL: Final = "any"
"""In place of a protocol: the plan for all protocols that have none of their own."""

NAME: Final = r"[A-Za-z0-9][A-Za-z0-9_.+-]*"
"""What a plan's folder can be called."""

Precision = Literal["fp32", "fp16"]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Machine(_Record):
    """The machine that a plan is for. The driver may change under a plan, the rest may not."""

    gpu: str
    compute_capability: str
    multiprocessors: int
    tensorrt: str
    driver: str


class PlanManifest(_Record):
    """What ``plan.json`` says.

    ``bundle`` is name and version, ``networks`` the SHA-256 of the two ONNX files, slice first.
    ``layers`` counts the layers of both by the precision that they really run in, as TensorRT's
    engine inspector reports it.
    """

    bundle: str
    networks: tuple[str, str]
    protocol: str
    precision: Precision
    slabs_per_run: int
    machine: Machine
    files: dict[str, str]
    layers: dict[str, int]
    built_at: AwareDatetime

    @property
    def key(self) -> str:
        """Digest of what distinguishes plans: networks, machine, precision, shapes."""
        machine = self.machine
        parts = (
            *self.networks,
            machine.tensorrt,
            machine.gpu,
            machine.compute_capability,
            str(machine.multiprocessors),
            self.precision,
            str(self.slabs_per_run),
        )
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    @property
    def name(self) -> str:
        """Name of the plan's folder, which no two builds share: no two are alike."""
        bundle = self.bundle.replace("/", "-")
        built = f"{self.built_at:%Y%m%dT%H%M%S}"
        return f"{bundle}_{self.protocol}_{self.precision}_{self.key[:8]}_{built}"


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """A plan with its digests checked; ``digest`` is that of its manifest."""

    folder: Path
    digest: str
    manifest: PlanManifest
    slice_plan: bytes
    volume_plan: bytes


class Activation(_Record):
    """Names of the plan in use and of the one before it."""

    plan: str
    previous: str | None = None


class _Active(RootModel[dict[str, Activation]]):
    pass


def plan_folder(plans_folder: Path, name: str) -> Path:
    """Return a plan's folder; PlanError if its name is none, such as one that leads elsewhere."""
    if not re.fullmatch(NAME, name):
        raise PlanError("plan_name_wrong", plan=name)
    return plans_folder / name


def load_plan(folder: Path, key: Ed25519PublicKey | None) -> Plan:
    """Read a plan and check its digests, and its signature if a ``key`` is given.

    Raises
    ------
    PlanError
        If a file is missing, or does not have the digest that the manifest states.
    SignatureError
        If the manifest is not signed, or by another key.
    """
    path = folder / MANIFEST
    raw = _read(path)
    if key is not None:
        check_signature(path, raw, key)
    try:
        manifest = PlanManifest.model_validate_json(raw)
    except ValidationError as error:
        raise PlanError("plan_manifest_wrong", path=str(path), why=str(error)) from error
    return Plan(
        folder,
        hashlib.sha256(raw).hexdigest(),
        manifest,
        *(_checked(folder, manifest, name) for name in (SLICE_PLAN, VOLUME_PLAN)),
    )


def misfit(manifest: PlanManifest, bundle: Bundle, machine: Machine) -> Reason | None:
    """Say why a plan is not one of ``bundle`` for ``machine``; None if it fits.

    Plans are bound to TensorRT's full version and to the model of card, not to the driver.
    """
    built_for = manifest.machine
    wanted = f"{bundle.contract.name}/{bundle.contract.version}"
    if manifest.bundle != wanted:
        return Reason("plan_of_other_bundle", bundle=manifest.bundle, wanted=wanted)
    if manifest.networks != bundle.network_digests:
        return Reason("plan_of_other_networks", bundle=wanted)
    facts = (
        ("TensorRT", built_for.tensorrt, machine.tensorrt),
        ("GPU", built_for.gpu, machine.gpu),
        ("compute capability", built_for.compute_capability, machine.compute_capability),
        ("multiprocessors", built_for.multiprocessors, machine.multiprocessors),
    )
    for name, then, now in facts:
        if then != now:
            return Reason("plan_for_other_machine", part=name, then=then, now=now)
    return None


def read_active(plans_folder: Path) -> dict[str, Activation]:
    """Read which plan is active for which protocol; {} where the file does not exist.

    Raises
    ------
    PlanError
        If the file cannot be read.
    """
    path = plans_folder / ACTIVE
    if not path.exists():
        return {}
    try:
        return _Active.model_validate_json(_read(path)).root
    except ValidationError as error:
        raise PlanError("active_plan_unreadable", path=str(path), why=str(error)) from error


def active_text(active: dict[str, Activation]) -> str:
    """Write what ``read_active`` reads."""
    return _Active(active).model_dump_json(indent=2)


def _checked(folder: Path, manifest: PlanManifest, name: str) -> bytes:
    content = _read(folder / name)
    if hashlib.sha256(content).hexdigest() != manifest.files.get(name):
        raise PlanError("plan_file_changed", path=str(folder / name))
    return content


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise PlanError("plan_unreadable", path=str(path), why=str(error.strerror)) from error
