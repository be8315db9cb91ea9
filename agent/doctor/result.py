"""What a check takes, and what it returns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from agent.config import Config
from agent.errors import AgentError
from agent.infer.tensorrt_api import TensorRt
from agent.records import Instant


class Mark(Enum):
    """How a check ended. A *note* is worth knowing, but nothing is wrong."""

    WELL = "well"
    NOTE = "note"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What a check found; ``next_step`` is what to do about it, "" where nothing is to be done."""

    mark: Mark
    found: str
    next_step: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """A check's name and its result."""

    check: str
    result: CheckResult


@dataclass(frozen=True, slots=True)
class Box:
    """The computer that is checked, as the checks may see it.

    ``mounts`` is the text of /proc/mounts, ``account`` the name that the services run as,
    ``take_gpu`` initialises TensorRT and takes hold of the GPU.
    """

    config: Config
    now: Instant
    boot_id: str
    mounts: str
    account: str
    take_gpu: Callable[[], TensorRt]


class NotChecked(AgentError):
    """A check could not be made: another line says why, or there is nothing to check."""

    kind = "not_checked"


def well(found: str) -> CheckResult:
    """Return that nothing is wrong."""
    return CheckResult(Mark.WELL, found)


def note(found: str, next_step: str = "") -> CheckResult:
    """Return something that is worth knowing."""
    return CheckResult(Mark.NOTE, found, next_step)


def wrong(found: str, next_step: str) -> CheckResult:
    """Return something that is wrong."""
    return CheckResult(Mark.WRONG, found, next_step)
