"""Plans made by hand: folders as a build leaves them, their engines any bytes."""

from datetime import datetime, timedelta, timezone
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from agent.infer.plan import (
    ANY_PROTOCOL,
    SLICE_PLAN,
    VOLUME_PLAN,
    Machine,
    PlanManifest,
    load_plan,
)
from agent.infer.verification import FILE, Here, Verification
from build_engine.compile.plans import Site, replace_file, write_plan
from tests.heads import SEEING, SEEING_BUNDLE

MACHINE = Machine(
    gpu="NVIDIA L4",
    compute_capability="8.9",
    multiprocessors=58,
    tensorrt="10.7.0.23",
    driver="550.54",
)
HERE = Here(machine_id="box-1", machine=MACHINE)
ENGINES = {SLICE_PLAN: b"slice engine", VOLUME_PLAN: b"volume engine"}
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHERS_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
START = datetime(2026, 11, 24, 8, 0, tzinfo=timezone.utc)


def manifest(**changes: object) -> PlanManifest:
    made = PlanManifest(
        bundle=f"{SEEING.name}/{SEEING.version}",
        networks=SEEING_BUNDLE.network_digests,
        protocol=ANY_PROTOCOL,
        precision="fp16",
        slabs_per_run=8,
        machine=MACHINE,
        files={},
        layers={"FP16": 30, "FP32": 4},
        built_at=START,
    )
    return made.model_copy(update=changes)


def site(folder: Path, key: Ed25519PublicKey | None = None, here: Here = HERE) -> Site:
    return Site(folder / "plans", SEEING_BUNDLE, key, here)


def built(folder: Path, minute: int = 0, **changes: object) -> str:
    """Write a plan built ``minute`` minutes past eight; returns its name."""
    at = START + timedelta(minutes=minute)
    return write_plan(folder / "plans", manifest(built_at=at, **changes), ENGINES).name


def verified(folder: Path, name: str, **changes: object) -> str:
    """Write a passing verification beside a plan; returns the plan's name."""
    plan = load_plan(folder / "plans" / name, None)
    record = Verification(
        plan_digest=plan.digest,
        here=HERE,
        made_at=START,
        heads=50,
        faults=(),
        largest_probability_difference=0.004,
        largest_volume_difference_ml=0.05,
        head_ms=12.0,
        active_ms=None,
    ).model_copy(update=changes)
    replace_file(plan.folder / FILE, record.model_dump_json().encode())
    return name
