"""A reason put into words of one of the page's languages on the server, for texts that are signed.

The page words by itself what it only shows. A signed text has to be kept as it was read.
"""

from __future__ import annotations

from string import Formatter
from typing import Any

from babel.numbers import format_decimal

from agent.console.settings import Language
from agent.console.words import words
from agent.reasons import PAGE, SERVICE, Reason

AS_NEEDED = "0.######"
"""Babel's pattern of a number with the decimals that it has."""


class Speaker:
    """Says reasons in one language."""

    def __init__(self, language: Language) -> None:
        """Read the language's catalogue."""
        self._language = language
        self._words = words(language)

    def say(self, reason: Reason) -> str:
        """Say a reason; a value that is a word of the catalogue, such as a kind, is translated."""
        wording = (PAGE.get(reason.code) or SERVICE[reason.code]).text
        values = {name: self._value(value) for name, value in reason.values}
        return _Template(self._language).vformat(self._words.get(wording, wording), (), values)

    def _value(self, value: object) -> object:
        if isinstance(value, Reason):
            return self.say(value)
        if isinstance(value, tuple):
            return "; ".join(map(self.say, value))
        return self._words.get(value, value) if isinstance(value, str) else value


class _Template(Formatter):
    """Formats numbers as a language writes them, by ``.Nf`` or with the decimals that they have."""

    def __init__(self, language: Language) -> None:
        self._language = language

    def format_field(self, value: Any, format_spec: str) -> str:  # noqa: ANN401 - any value
        if isinstance(value, str):
            return value
        n_decimals = int(format_spec[1:-1]) if format_spec else None
        pattern = AS_NEEDED if n_decimals is None else f"0.{'0' * n_decimals}".rstrip(".")
        return format_decimal(value, pattern, locale=self._language)
