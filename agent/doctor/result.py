"""What a check takes, and what it returns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from agent.config import Config
from agent.errors import AgentError
from agent.infer.tensorrt_api import TensorRt
from agent.reasons import Reason, Value, english, what_to_do
from agent.records import Instant


class Mark(Enum):
    """How a check ended. A *note* is worth knowing, but nothing is wrong."""

    WELL = "well"
    NOTE = "note"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What a check found."""

    mark: Mark
    reason: Reason
    quotes_error: bool = False
    """Whether the reason holds an exception's own words, which may quote a file or a patient."""

    @property
    def text(self) -> str:
        """What it found, in English."""
        return english(self.reason)

    @property
    def what_to_do(self) -> str:
        """What to do about it, in English; "" where nothing is to be done."""
        return what_to_do(self.reason)


@dataclass(frozen=True, slots=True)
class Line:
    """A check's name and its result."""

    check: str
    result: CheckResult


@dataclass(frozen=True, slots=True)
class Box:
    """The computer that is checked, as the checks may see it.

    ``mounts`` is the text of /proc/mounts, ``account`` the name that the services run as,
    ``take_gpu`` initialises TensorRT and takes hold of the GPU that ``infer.gpu`` names.
    """

    config: Config
    now: Instant
    boot_id: str
    mounts: str
    account: str
    take_gpu: Callable[[str], TensorRt]


class NotChecked(AgentError):
    """A check could not be made: another line says why, or there is nothing to check."""

    kind = "not_checked"


def well(code: str, /, **values: Value) -> CheckResult:
    """Return that nothing is wrong."""
    return CheckResult(Mark.WELL, Reason(code, **values))


def note(code: str, /, **values: Value) -> CheckResult:
    """Return something that is worth knowing."""
    return CheckResult(Mark.NOTE, Reason(code, **values))


def wrong(reason: Reason | str, /, **values: Value) -> CheckResult:
    """Return something that is wrong: a reason, or the one that a code and its values make."""
    made = reason if isinstance(reason, Reason) else Reason(reason, **values)
    return CheckResult(Mark.WRONG, made)
