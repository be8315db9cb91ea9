"""The page's words in its languages, from gettext catalogues."""

from __future__ import annotations

from pathlib import Path
from typing import Final, cast

from babel import negotiate_locale
from babel.messages.pofile import read_po

from agent.console.settings import LANGUAGES, Language

CATALOGUES: Final = Path(__file__).parent / "languages"


def words(language: Language) -> dict[str, str]:
    """Return the translation of each English text; none for English itself."""
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
    """Choose the language that a browser asks for, English if the page speaks none of them.

    Preference is by order: browsers send the languages that a person reads, the dearest first.
    """
    asked = [
        part.partition(";")[0].strip().replace("-", "_") for part in accept_language.split(",")
    ]
    return cast("Language", negotiate_locale(asked, LANGUAGES) or "en")
