"""Verifying a plan: it must read golden heads as ONNX Runtime does, on this very machine."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Final

import numpy as np

from agent.errors import BadOutputError
from agent.infer.backend import Backend, Floats
from agent.infer.contract import Contract
from agent.infer.plan import Plan, PlanManifest
from agent.infer.slice_stage import SliceStage
from agent.infer.verification import FILE, Here, Verification
from agent.infer.volume_stage import label_head
from agent.measure import measure
from agent.records import OperatingPoint
from agent.voxels import HeadVolume
from build_engine.compile.plans import replace_file

VOLUME_SHARE: Final = 0.02
VOLUME_ML: Final = 0.2
"""A head's blood may differ by this share or by this much, whichever is more."""

TIMED_SLABS: Final = 32
"""Slabs of the head that is timed: 160 mm in slices of 5 mm."""

TIMED_RUNS: Final = 20


@dataclass(frozen=True, slots=True, eq=False)
class HeadReading:
    """What a backend makes of one head: probabilities of slabs and voxels, mL, score."""

    slabs: Floats
    voxels: Floats
    blood_ml: float
    score: float


@dataclass(frozen=True, slots=True)
class HeadDifference:
    """How a plan's reading of a head differs from the reference's; ``fault`` where it may not."""

    probability: float
    volume_ml: float
    fault: str | None


def compare(
    heads: Iterable[HeadVolume],
    contract: Contract,
    backends: tuple[Backend, Backend],
    points: Sequence[OperatingPoint],
    tolerance: float,
) -> Iterator[HeadDifference]:
    """Read each head with the plan's backend and with the reference, in this order in the pair.

    A head that the plan gives no numbers for is a fault; GpuError ends it all.
    """
    ours, reference = backends
    for number, head in enumerate(heads, start=1):
        name, expected = f"golden head {number}", read_head(head, contract, reference)
        try:
            reading = read_head(head, contract, ours)
        except BadOutputError as error:
            yield HeadDifference(1.0, expected.blood_ml, f"{name}: {error}")
        else:
            yield difference(name, (reading, expected), points, tolerance)


def read_head(head: HeadVolume, contract: Contract, backend: Backend) -> HeadReading:
    """Take a head through both stages; BadOutputError if a network gives no numbers.

    A head with more blood than a skull holds counts as one without a score: so it is at a site.
    """
    slices = SliceStage(contract).finish(head, backend)
    mask = label_head(head, slices, contract, backend)
    seen = label_head(head, slices, contract.uncut, backend)
    try:
        findings = measure(mask, contract.interval, shift_in=None).findings
    except BadOutputError:
        findings, mask = (), replace(mask, score=0.0)
    return HeadReading(
        slabs=slices.probabilities,
        voxels=seen.probability.astype(np.float32) / np.float32(255),
        blood_ml=sum(finding.volume_ml for finding in findings),
        score=mask.score,
    )


def difference(
    name: str,
    readings: tuple[HeadReading, HeadReading],
    points: Sequence[OperatingPoint],
    tolerance: float,
) -> HeadDifference:
    """Compare the plan's reading of a head with the reference's, in this order in the pair."""
    found, expected = readings
    probability = max(
        float(np.abs(found.slabs - expected.slabs).max()),
        float(np.abs(found.voxels - expected.voxels).max()),
    )
    faults = [
        f"{name}: score {found.score:.4f} and {expected.score:.4f} decide differently at "
        f"{point.name} ({point.score:g})"
        for point in points
        if (found.score >= point.score) != (expected.score >= point.score)
    ]
    volume_ml = abs(found.blood_ml - expected.blood_ml)
    if volume_ml > max(VOLUME_ML, VOLUME_SHARE * expected.blood_ml):
        faults.append(f"{name}: {found.blood_ml:.2f} mL instead of {expected.blood_ml:.2f} mL")
    if probability > tolerance:
        faults.append(f"{name}: a probability is {probability:.3f} off, {tolerance:g} allowed")
    return HeadDifference(probability, volume_ml, "; ".join(faults) or None)


def head_ms(contract: Contract, backend: Backend) -> float | None:
    """Time the networks alone on a head of ``TIMED_SLABS`` slabs: the median of some runs [ms].

    None where they give no numbers.
    """
    rng = np.random.default_rng(0)
    slabs = rng.random((backend.slabs_per_run, *contract.slices.shape[1:]), dtype=np.float32)
    runs = TIMED_SLABS * contract.reading.runs_per_slab
    batches = [slabs] * math.ceil(runs / backend.slabs_per_run)
    block = rng.random(contract.volume.shape, dtype=np.float32)
    try:
        taken_s = [_run_s(backend, batches, block) for _ in range(TIMED_RUNS)]
    except BadOutputError:
        return None
    return 1000 * statistics.median(taken_s)


def _run_s(backend: Backend, batches: Sequence[Floats], block: Floats) -> float:
    started_s = time.perf_counter()
    for _answer in backend.run_slices(batches):
        pass
    backend.run_volume(block)
    return time.perf_counter() - started_s


def silently_wide(manifest: PlanManifest) -> str | None:
    """Say so if not one layer runs in the precision that was asked for."""
    if manifest.layers.get(manifest.precision.upper()):
        return None
    layers = ", ".join(f"{count} in {kind}" for kind, count in manifest.layers.items())
    return f"no layer runs in {manifest.precision.upper()}: {layers}"


def record(
    plan: Plan,
    here: Here,
    differences: Sequence[HeadDifference],
    times_ms: tuple[float | None, float | None],
) -> Verification:
    """Write the report beside the plan; ``times_ms`` are the plan's and the active plan's a head.

    Raises
    ------
    PlanError
        If it cannot be written.
    """
    head, active = times_ms
    verification = Verification(
        plan_digest=plan.digest,
        here=here,
        made_at=datetime.now(timezone.utc),
        heads=len(differences),
        faults=tuple(filter(None, (silently_wide(plan.manifest), *(d.fault for d in differences)))),
        largest_probability_difference=max(one.probability for one in differences),
        largest_volume_difference_ml=max(one.volume_ml for one in differences),
        head_ms=head,
        active_ms=active,
    )
    replace_file(plan.folder / FILE, verification.model_dump_json(indent=2).encode())
    return verification
