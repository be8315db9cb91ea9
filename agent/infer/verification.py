"""The record of a plan's verification, and whether it allows the plan to be used here."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from agent.errors import PlanError
from agent.infer.plan import Machine, Plan
from agent.reasons import Reason

FILE: Final = "verification.json"

SLOWER: Final = 1.1
"""A plan that takes this many times as long as the active one is slower. Ours: above the noise of
medians on a box that does other work too."""

FEWEST_HEADS: Final = 50
"""Golden heads that a plan must have read to be put into use."""

MACHINE_ID: Final = Path("/etc/machine-id")


class Here(BaseModel):
    """Where a verification was made; one from elsewhere proves nothing."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    machine_id: str
    machine: Machine

    @classmethod
    def of(cls, machine: Machine) -> Here:
        """Name this computer and its card."""
        return cls(machine_id=machine_id(), machine=machine)


def machine_id() -> str:
    """Return systemd's identity of the installation, or what the computer is called."""
    return MACHINE_ID.read_text().strip() if MACHINE_ID.exists() else platform.node()


class Verification(BaseModel):
    """How a plan did against ONNX Runtime on the golden heads.

    ``faults`` are in words, one a head or stage that failed; none means that it passed.
    ``head_ms`` is the median time of a head's slabs and volume, None where the plan gives no
    numbers; ``active_ms`` that of the plan that was active, None where there was none.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    plan_digest: str
    here: Here
    made_at: AwareDatetime
    heads: int
    faults: tuple[str, ...]
    largest_probability_difference: float
    largest_volume_difference_ml: float
    head_ms: float | None
    active_ms: float | None

    @property
    def slower(self) -> bool:
        """Whether the plan is slower than the one that was active."""
        if self.head_ms is None or self.active_ms is None:
            return False
        return self.head_ms > SLOWER * self.active_ms


def load_verification(folder: Path) -> Verification | None:
    """Read a plan's verification; None if it was never verified, PlanError if it is unreadable."""
    path = folder / FILE
    try:
        return Verification.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise PlanError(
            "verification_unreadable", path=str(path), why=str(error.strerror)
        ) from error
    except ValidationError as error:
        raise PlanError("verification_unreadable", path=str(path), why=str(error)) from error


def failure(plan: Plan, here: Here) -> Reason | None:
    """Say how a plan failed its verification here; None if it passed, or was not verified here."""
    report = load_verification(plan.folder)
    if (
        report is None
        or not report.faults
        or (report.plan_digest, report.here) != (plan.digest, here)
    ):
        return None
    return Reason("failed_verification", why=report.faults[0])


def objection(plan: Plan, here: Here) -> Reason | None:
    """Say why a plan's verification does not allow it to be used here; None if it does."""
    report = load_verification(plan.folder)
    if report is None:
        return Reason("never_verified")
    return next(_objections(report, plan, here), None)


def _objections(found: Verification, plan: Plan, here: Here) -> Iterator[Reason]:
    if found.plan_digest != plan.digest:
        yield Reason("verification_of_other_plan")
    if found.here.machine_id != here.machine_id:
        yield Reason("verified_on_other_machine")
    then, now = found.here.machine, here.machine
    for name, before, today in (
        ("driver", then.driver, now.driver),
        ("TensorRT", then.tensorrt, now.tensorrt),
        ("GPU", then.gpu, now.gpu),
    ):
        if before != today:
            yield Reason("verified_with_other", part=name, then=before, now=today)
    if found.heads < FEWEST_HEADS:
        yield Reason("verified_on_few_heads", n_heads=found.heads, n_needed=FEWEST_HEADS)
    if found.faults:
        yield Reason("failed_verification", why=found.faults[0])
