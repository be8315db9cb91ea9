"""What a site sets about the page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

LANGUAGES: Final = ("en", "de", "fr", "es", "zh")

Language: TypeAlias = Literal["en", "de", "fr", "es", "zh"]

Shown: TypeAlias = Literal["full", "initials", "nothing"]
"""How much of who the patient is."""


@dataclass(frozen=True, slots=True)
class PageSettings:
    """How the page speaks and alerts.

    ``language`` None: the browser's. An alert sounds when it comes, and again after each of
    ``repeat_s``, the last of them over and over, until somebody acknowledges it; after
    ``escalate_after_s`` it is told to ``escalate_to`` too, a URL, if there is one.
    """

    language: Language | None = None
    patient: Shown = "full"
    repeat_s: tuple[float, ...] = (30.0, 60.0, 120.0)
    escalate_after_s: float = 180.0
    escalate_to: str | None = None
