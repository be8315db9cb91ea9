"""What bash completes, answered from a file.

To load a command and learn its options takes up to a second, which nobody waits for at a TAB.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypedDict

FILE: Final = Path(__file__).with_name("words.json")
"""Every command's ``Node``; ``python -m tests.documentation.words`` writes it."""


class Node(TypedDict):
    """What may follow the program's or a command's name."""

    commands: dict[str, Any]
    """By name, each a ``Node``."""
    options: dict[str, list[str] | None]
    """By name, the words of which its value is one: none where any will do, None for a flag."""
    arguments: list[str]
    """Of which its arguments are, where not any word will do."""


def completed(environment: Mapping[str, str]) -> list[str]:
    """Return what may stand at bash's cursor; nothing for a command that is not ours."""
    try:
        words = shlex.split(environment.get("COMP_WORDS", ""))
    except ValueError:  # a quotation that is not closed yet
        return []
    at = int(environment.get("COMP_CWORD", "1"))
    begun = words[at] if at < len(words) else ""
    program: Node = json.loads(FILE.read_text(encoding="utf-8"))
    return [word for word in _following(program, words[1:at], begun) if word.startswith(begun)]


def _following(node: Node, before: Sequence[str], begun: str) -> list[str]:
    for word in before:
        node = node["commands"].get(word, node)
    values = node["options"].get(before[-1]) if before else None
    if values is not None:
        return values
    if begun.startswith("-"):
        return [option for option in node["options"] if option not in before]
    return [*node["commands"], *node["arguments"]]
