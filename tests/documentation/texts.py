"""What people read: README and pages, and the commands, options, extras and links in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2]

TEXTS = (
    SOURCE / "README.md",
    *sorted((SOURCE / ".docs").glob("*.md")),
    *sorted((SOURCE / ".github").glob("*.md")),
    SOURCE / "engines" / "CONTRACT.md",
)

CODE = re.compile(r"```\w*\n(.*?)```|`([^`\n]+)`", re.DOTALL)

COMMAND = re.compile(r"(?:^|&& |sudo (?:-u \w+ )?)\s*bleedwatch +(.+)")


@dataclass(frozen=True, slots=True)
class Shown:
    """A call of ``bleedwatch`` that a text shows."""

    text: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        """Say it as the text does, for a test's name."""
        return f"{self.text}: {' '.join(self.words)}"


def shown_in(path: Path) -> list[Shown]:
    """Return every call of the program in a text's code."""
    lines = [
        line.partition(" #")[0]
        for block, span in CODE.findall(path.read_text(encoding="utf-8"))
        for line in (block or span).splitlines()
        if not line.startswith("#")
    ]
    calls = [found[1] for line in lines if (found := COMMAND.search(line))]
    return [Shown(path.name, words) for call in calls for words in _alternatives(call)]


def _alternatives(call: str) -> list[tuple[str, ...]]:
    """Split ``user add | list`` and ``status | studies``, and what follows in a shell."""
    words = re.split(r"&&|;|\)|>", call)[0].split()
    alternatives: list[list[str]] = [[]]
    for word in words:
        if word == "|":
            alternatives.append([])
        else:
            alternatives[-1].append(word)
    return [tuple(one) for one in alternatives if one]


def links_in(path: Path) -> list[str]:
    """Return where a text's links and pictures lead to."""
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    return re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'(?:src|href)="([^"]+)"', text)


def anchors_of(path: Path) -> set[str]:
    """Return the anchors that GitHub and MkDocs give a text's headings."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    plain = (re.sub(r"[^\w\s-]", "", heading.lower()) for heading in headings)
    return {re.sub(r"\s+", "-", heading.strip()) for heading in plain}
