"""What runs the networks on the CPU: OpenVINO where it was verified, else ONNX Runtime.

``engine openvino`` holds OpenVINO against the reference on this machine and leaves its report
beside the plans. The report stands for the bundle, the processor and the versions that it names.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from agent.errors import InferenceError
from agent.infer.backend import Backend
from agent.infer.bundle import Bundle
from agent.infer.openvino_backend import OpenVinoBackend, installed_version
from agent.infer.verification import FEWEST_HEADS, machine_id
from agent.reasons import Reason

FILE: Final = "openvino.json"

CPU_INFO: Final = Path("/proc/cpuinfo")

Choice = Literal["auto", "onnxruntime"]


class Where(BaseModel):
    """What a report stands for. ``networks`` are the SHA-256 of both ONNX files."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    networks: tuple[str, str]
    machine_id: str
    processor: str
    openvino: str
    onnxruntime: str

    @classmethod
    def here(cls, bundle: Bundle, openvino: str) -> Where:
        """Name this computer, and what would run the bundle."""
        return cls(
            networks=bundle.network_digests,
            machine_id=machine_id(),
            processor=_processor(),
            openvino=openvino,
            onnxruntime=version("onnxruntime"),
        )


class CpuVerification(BaseModel):
    """How OpenVINO did against ONNX Runtime on the golden heads; ``faults`` as a plan's.

    ``head_ms`` and ``reference_ms`` are the median times of a head's networks by each, None where
    one gives no numbers.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    where: Where
    made_at: AwareDatetime
    heads: int
    faults: tuple[str, ...]
    largest_probability_difference: float
    largest_volume_difference_ml: float
    head_ms: float | None
    reference_ms: float | None

    @property
    def faster(self) -> bool:
        """Whether OpenVINO was the faster of both."""
        return self.head_ms is not None and self.head_ms < (self.reference_ms or 0.0)


@dataclass(frozen=True, slots=True)
class CpuSide:
    """What runs on the CPU beside the reference.

    ``backend`` is None where the reference alone does; ``shortfall`` says why, where OpenVINO was
    verified and fails all the same.
    """

    backend: Backend | None = None
    shortfall: Reason | None = None


REFERENCE_ALONE: Final = CpuSide()


def cpu_side(choice: Choice, bundle: Bundle, folder: Path, threads: int) -> CpuSide:
    """Load OpenVINO where it is wanted and its report in ``folder`` stands."""
    if choice != "auto" or objection(folder, bundle) is not None:
        return REFERENCE_ALONE
    try:
        return CpuSide(OpenVinoBackend(bundle, threads=threads))
    except InferenceError as error:
        return CpuSide(shortfall=Reason("openvino_left", why=error.reason))


def objection(folder: Path, bundle: Bundle) -> Reason | None:
    """Say why OpenVINO is not to be used here; None if it is."""
    openvino = installed_version()
    if openvino is None:
        return Reason("openvino_missing")
    try:
        found = CpuVerification.model_validate_json((folder / FILE).read_bytes())
    except FileNotFoundError:
        return Reason("openvino_never_verified")
    except (OSError, ValidationError) as error:
        return Reason("openvino_report_unreadable", path=str(folder / FILE), why=str(error))
    return next(_objections(found, Where.here(bundle, openvino)), None)


def _objections(found: CpuVerification, here: Where) -> Iterator[Reason]:
    then = found.where
    for part, before, today in (
        ("networks", then.networks[0][:12], here.networks[0][:12]),
        ("networks", then.networks[1][:12], here.networks[1][:12]),
        ("computer", then.machine_id, here.machine_id),
        ("processor", then.processor, here.processor),
        ("OpenVINO", then.openvino, here.openvino),
        ("ONNX Runtime", then.onnxruntime, here.onnxruntime),
    ):
        if before != today:
            yield Reason("openvino_verified_with_other", part=part, then=before, now=today)
    if found.heads < FEWEST_HEADS:
        yield Reason("openvino_verified_on_few", n_heads=found.heads, n_needed=FEWEST_HEADS)
    if found.faults:
        yield Reason("openvino_failed_verification", why=found.faults[0])
    if not found.faster:
        yield Reason("openvino_not_faster")


def _processor() -> str:
    """Name the processor, "" where the kernel does not (not all ARM cores are named)."""
    for line in CPU_INFO.read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return ""
