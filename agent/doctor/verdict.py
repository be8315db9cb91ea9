"""What a check is given, and what it returns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from agent.config import Config
from agent.errors import AgentError
from agent.infer.tensorrt_api import TensorRt
from agent.records import Instant


class Mark(Enum):
    """How a check ended. A *note* is worth knowing, and nothing is wrong with the box."""

    WELL = "well"
    NOTE = "note"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check found, and what to do next: "" where that is nothing."""

    mark: Mark
    found: str
    next_step: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """A check by its name, with its verdict."""

    check: str
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Box:
    """What there is to examine.

    ``mounts`` is the text of /proc/mounts, ``account`` the one that the services run as.
    """

    config: Config
    now: Instant
    boot_id: str
    mounts: str
    account: str
    take_gpu: Callable[[], TensorRt]


class NotChecked(AgentError):
    """A check could not be made, for a reason that another line tells or that is no fault."""

    kind = "not_checked"


def well(found: str) -> Verdict:
    """Return that all is as it should be."""
    return Verdict(Mark.WELL, found)


def note(found: str, next_step: str = "") -> Verdict:
    """Return what is worth knowing."""
    return Verdict(Mark.NOTE, found, next_step)


def wrong(found: str, next_step: str) -> Verdict:
    """Return what is wrong."""
    return Verdict(Mark.WRONG, found, next_step)
