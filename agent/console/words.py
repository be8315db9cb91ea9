"""The page's translations, from gettext catalogues."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal, cast

from babel import negotiate_locale
from babel.messages.pofile import read_po
from pydantic import BaseModel, ConfigDict

from agent.console.settings import LANGUAGES, Language
from agent.reasons import PAGE

CATALOGUES: Final = Path(__file__).parent / "languages"


class Words(BaseModel):
    """What the page speaks: translations by the English text, and wordings by reasons' codes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    language: Language
    words: dict[str, str]
    reasons: dict[str, dict[Literal["text", "what_to_do"], str]]


def wordings(language: Language) -> dict[str, dict[str, str]]:
    """Return by code how each reason is said; none for English, in which it comes already."""
    translated = words(language)
    return {
        code: {
            "text": translated.get(one.text, one.text),
            "what_to_do": translated.get(one.what_to_do, one.what_to_do),
        }
        for code, one in (PAGE.items() if translated else ())
    }


def words(language: Language) -> dict[str, str]:
    """Return English text → translation; empty for English."""
    if language == "en":
        return {}
    with (CATALOGUES / f"{language}.po").open("rb") as file:
        catalogue = read_po(file, locale=language)
    return {
        str(message.id): str(message.string)
        for message in catalogue
        if message.id and message.string
    }


def spoken(accept_language: str) -> Language:
    """Return the first language of an Accept-Language header that there is a catalogue for.

    English where there is none. Quality values are ignored: browsers send the languages in order of
    preference.
    """
    preferred = [
        part.partition(";")[0].strip().replace("-", "_") for part in accept_language.split(",")
    ]
    return cast("Language", negotiate_locale(preferred, LANGUAGES) or "en")
