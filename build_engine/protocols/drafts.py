"""A drafted profile as the TOML that a service engineer reads and mends."""

from __future__ import annotations

import json
import textwrap
from dataclasses import dataclass
from typing import Final, TypeAlias

Value: TypeAlias = str | int | float | list[float]

COMMENT_WIDTH: Final = 100


@dataclass(frozen=True, slots=True)
class Inferred:
    """A key's value and what it was inferred from; no value where it is left to the base."""

    key: str
    value: Value | None
    why: str


@dataclass(frozen=True, slots=True)
class Draft:
    """A profile of its own name, based on another: ``lines`` are set, ``left`` to the base."""

    name: str
    based_on: str
    source: str
    lines: tuple[Inferred, ...]
    left: tuple[Inferred, ...]

    @property
    def text(self) -> str:
        """The profile's file."""
        head = (
            f"Drafted by `bleedwatch protocol learn` from {self.source}. Read each line, mend what "
            f"is wrong, and try it with `protocol test`. What is not set here is {self.based_on}'s."
        )
        parts = [
            _comment(head),
            f'name = "{self.name}"\nbased_on = "{self.based_on}"',
            *(f"{_comment(one.why)}\n{one.key} = {toml_value(one.value)}" for one in self.lines),
        ]
        if self.left:
            left = [_comment(f"{one.key}: {one.why}", "#   ", "#     ") for one in self.left]
            parts.append("\n".join((f"# Left to {self.based_on}:", *left)))
        return "\n\n".join(parts) + "\n"


def toml_value(value: Value | None) -> str:
    """Write a value as TOML: patterns between single quotes, which take backslashes as they are."""
    if isinstance(value, str):
        if value.isprintable() and "'" not in value:
            return f"'{value}'"
        # JSON's escapes are TOML's, but for one character that TOML will not have bare.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return repr(value)


def _comment(text: str, first: str = "# ", then: str = "# ") -> str:
    return textwrap.fill(
        text,
        COMMENT_WIDTH,
        initial_indent=first,
        subsequent_indent=then,
        break_on_hyphens=False,
    )
