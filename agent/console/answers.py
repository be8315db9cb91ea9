"""What the console's API answers beside its state: one model for each, for the schema."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

from agent.report import ReasonReport, SliceStack


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SessionAnswer(_Answer):
    """Of ``GET /api/session``; ``user`` is None where the page asks nobody to sign in."""

    user: str | None
    role: str | None = None
    csrf: str = ""
    """What a request that changes something carries in its header ``X-Bleedwatch-Csrf``."""
    ends_in_s: float | None = None
    """How long the session lasts unless the page is used."""


class SignedInAnswer(_Answer):
    """Of ``POST /api/sign-in``."""

    user: str
    role: str


class SignInRefusedAnswer(_Answer):
    """The same with status 401 or 429; ``wait_s`` is how long the next attempt has to wait."""

    reason: ReasonReport
    wait_s: int


class AcknowledgedAnswer(_Answer):
    """Of ``POST …/acknowledge``: the first acknowledgement of a result, which stands."""

    who: str
    at_utc: datetime
    dismissed_because: str | None


class SlicesKept(SliceStack):
    """Of ``GET …/slices``: all ``n`` slices of a suspicion are stored."""

    kept: Literal["whole"] = "whole"
    n: int


class SlicesNotKept(_Answer):
    """The same where they are still being stored (``coming``), or will not be (``no``)."""

    kept: Literal["coming", "no"]


class LaidOverAnswer(_Answer):
    """Of ``GET …/before``: whether the previous examination's slices lie on this result's.

    Where they do they are answered below ``…/before``, as a result's own are.
    """

    registered: bool
    said: ReasonReport
