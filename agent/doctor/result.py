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
    """What a check found; ``what_to_do`` is "" where nothing is to be done."""

    mark: Mark
    text: str
    what_to_do: str = ""
    quotes_error: bool = False
    """Whether the text holds an exception's own words, which may quote a file or a patient."""


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


def well(text: str) -> CheckResult:
    """Return that nothing is wrong."""
    return CheckResult(Mark.WELL, text)


def note(text: str, what_to_do: str = "") -> CheckResult:
    """Return something that is worth knowing."""
    return CheckResult(Mark.NOTE, text, what_to_do)


def wrong(text: str, what_to_do: str) -> CheckResult:
    """Return something that is wrong."""
    return CheckResult(Mark.WRONG, text, what_to_do)
