"""What a site configures of the page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

LANGUAGES: Final = ("en", "de", "fr", "es", "zh")

Language: TypeAlias = Literal["en", "de", "fr", "es", "zh"]

Shown: TypeAlias = Literal["full", "initials", "nothing"]
"""How much of the patient's identity the page shows."""


@dataclass(frozen=True, slots=True)
class PageSettings:
    """The page's language, and how it alerts.

    ``language`` None is the browser's. An alert sounds at once, then after each of ``repeat_s``,
    then after the last of these again and again, until somebody acknowledges it. One that nobody
    has acknowledged for ``escalate_after_s`` is posted to the URL ``escalate_to``, if one is set.
    ``call`` is the site's own line for what to do next, such as whom to call; "" where it has none.
    ``signed_to`` are the channels that are sent what radiologists sign.
    """

    language: Language | None = None
    patient: Shown = "full"
    repeat_s: tuple[float, ...] = (30.0, 60.0, 120.0)
    escalate_after_s: float = 180.0
    escalate_to: str | None = None
    call: str = ""
    signed_to: tuple[str, ...] = ()
