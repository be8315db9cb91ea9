"""What the builder's commands print with ``--json``: one model for each, for the schema."""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel, ConfigDict

from agent.infer.cpu_side import CpuVerification
from agent.infer.plan import Machine
from agent.infer.verification import Verification
from agent.report import ReasonReport
from build_engine.bench.corpus import Fate
from build_engine.bench.fleet import Day
from build_engine.bench.latency import LatencyRow
from build_engine.bench.perfusion import Measured
from build_engine.bench.soak import Outcome
from build_engine.compile.listing import BundleRow, PlanRow
from build_engine.compile.publish import Published
from build_engine.compile.timing import BenchRow
from build_engine.judge.tables import Table


class _Output(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class EngineListOutput(_Output):
    """Of ``engine list``."""

    bundles: tuple[BundleRow, ...]
    plans: tuple[PlanRow, ...]


class SwitchOutput(_Output):
    """Of ``engine activate`` and ``engine rollback``: the plan in use, and the one before."""

    plan: str
    previous: str | None


class SignOutput(_Output):
    """Of ``engine sign``."""

    signature: str


class EngineCheckOutput(_Output):
    """Of ``engine check``; ``signature`` is None where no key is configured to check it with."""

    folder: str
    digests: bool
    signature: bool | None


class BuildOutput(_Output):
    """Of ``engine build``: layers by the precision that they run in."""

    plan: str
    layers: dict[str, int]


class PublishOutput(_Output):
    """Of ``engine publish``: what was written, and what the server that was checked is."""

    published: Published | None = None
    server: str | None = None


class EngineBenchOutput(_Output):
    """Of ``engine bench``."""

    machine: Machine
    rows: tuple[BenchRow, ...]


class ProfileProblem(_Output):
    """One thing that is wrong with a profile's file."""

    file: str
    key: str
    reason: ReasonReport


class ProfileOutput(_Output):
    """A profile; what it asks of a header is a pattern, or None."""

    name: str
    file: str
    based_on: str | None
    operating_point: str | None
    manufacturer: str | None
    model: str | None
    description: str | None
    kernels: str | None
    problems: tuple[ProfileProblem, ...]


class ProtocolListOutput(_Output):
    """Of ``protocol list``."""

    folder: str
    profiles: tuple[ProfileOutput, ...]
    problems: tuple[ProfileProblem, ...]


class ProtocolShowOutput(_Output):
    """Of ``protocol show``: each value, and whence it is."""

    name: str
    file: str
    values: dict[str, dict[str, Any]]


class ProtocolCheckOutput(_Output):
    """Of ``protocol check``."""

    checked: tuple[str, ...]
    problems: tuple[ProfileProblem, ...]


class _Series(_Output):
    series_uid: str
    description: str | None
    kernel: str | None
    manufacturer: str | None
    model: str | None
    images: int
    slices: int


class MatchedSeries(_Series):
    """A series, the profile that it has, and what the others have against it."""

    profile: str | None
    refusal: ReasonReport | None
    missing: tuple[ReasonReport, ...]
    others: dict[str, tuple[ReasonReport, ...]]


class LeftOut(_Output):
    """Files that are in no series, and why."""

    reason: ReasonReport
    paths: tuple[str, ...]


class ProtocolTestOutput(_Output):
    """Of ``protocol test``."""

    series: tuple[MatchedSeries, ...]
    left_out: tuple[LeftOut, ...]


class LearnedSeries(_Series):
    """A series, why nothing was learned from it, and the profile that it has with the draft."""

    left_out: ReasonReport | None
    profile_with_draft: str | None


class ProtocolLearnOutput(_Output):
    """Of ``protocol learn``."""

    name: str
    based_on: str
    draft: str
    inferred: tuple[dict[str, Any], ...]
    left_to_base: tuple[dict[str, str], ...]
    series: tuple[LearnedSeries, ...]
    left_out: tuple[LeftOut, ...]
    written: str | None


class RhythmOutput(_Output):
    """One rhythm of export, in ``bench completeness``."""

    rhythm: str
    count_known: bool
    rule: str
    series: int
    too_early: int
    added_wait_p50_s: float
    added_wait_p95_s: float


class CorpusFile(_Output):
    """What became of one file, in ``bench corpus``."""

    path: str
    fate: Fate
    reason: str
    series_uid: str


class IngestOutput(_Output):
    """Of ``bench ingest``: what each run of either reader took."""

    bleedwatch_s: tuple[float, ...]
    dcm2niix_s: tuple[float, ...]


class InletOutput(_Output):
    """Of ``bench inlet``: what each run of each receiver took [s]."""

    n_slices: int
    taken_s: dict[str, tuple[float, ...]]


class SoakOutput(_Output):
    """Of ``bench soak``."""

    seed: int
    memory_growth_mb: float
    studies: tuple[Outcome, ...]


OUTPUTS: Final[dict[str, Any]] = {
    "bench completeness": tuple[RhythmOutput, ...],
    "bench corpus": tuple[CorpusFile, ...],
    "bench fleet": Day,
    "bench ingest": IngestOutput,
    "bench inlet": InletOutput,
    "bench latency": tuple[LatencyRow, ...],
    "bench networks": dict[str, float],
    "bench perfusion": tuple[Measured, ...],
    "bench soak": SoakOutput,
    "engine activate": SwitchOutput,
    "engine bench": EngineBenchOutput,
    "engine build": BuildOutput,
    "engine check": EngineCheckOutput,
    "engine list": EngineListOutput,
    "engine publish": PublishOutput,
    "engine rollback": SwitchOutput,
    "engine sign": SignOutput,
    "engine openvino": CpuVerification,
    "engine verify": Verification,
    "model evaluate": dict[str, tuple[Table, ...]],
    "protocol check": ProtocolCheckOutput,
    "protocol learn": ProtocolLearnOutput,
    "protocol list": ProtocolListOutput,
    "protocol show": ProtocolShowOutput,
    "protocol test": ProtocolTestOutput,
}
"""What each of the builder's commands prints."""
