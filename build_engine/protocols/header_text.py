"""What scanners and people write into headers, made fit for a profile: patterns, and no patient."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from agent.records import Identity

WORD: Final = re.compile(r"[^\W_]{2,}")

SHORT: Final = 4
"""A shorter word of a patient's name or number counts only as a whole word: "Li" is in "slice"."""


def pattern_for(texts: Iterable[str]) -> str:
    """Write the pattern that finds exactly these texts, whatever characters they hold.

    It holds no quote and no control character, and so stands as it is between TOML's quotes.
    """
    escaped = ["".join(map(_escaped, text)) for text in sorted(set(texts))]
    return f"^{escaped[0]}$" if len(escaped) == 1 else f"^({'|'.join(escaped)})$"


def _escaped(character: str) -> str:
    if character == "'" or not character.isprintable():
        return f"\\U{ord(character):08x}"
    return character if character in " -" else re.escape(character)


def printable(text: str) -> str:
    """Show a text on one line, whatever it holds."""
    return "".join(character if character.isprintable() else "�" for character in text)


def names_patient(text: str, identities: Iterable[Identity]) -> bool:
    """Say whether a text holds a word of a patient's name, number, birth date or accession."""
    words = {word.casefold() for word in WORD.findall(text)}
    whole = text.casefold()
    return any(
        word in words or ((len(word) >= SHORT or not word.isascii()) and word in whole)
        for identity in identities
        for word in _words_of(identity)
    )


def _words_of(identity: Identity) -> list[str]:
    texts = (identity.patient_name, identity.patient_id, identity.birth_date, identity.accession)
    return [word.casefold() for text in texts for word in WORD.findall(text)]
