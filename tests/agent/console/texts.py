"""Every text that the page may show, gathered from where it is written.

``python -m tests.agent.console.texts`` brings the catalogues up to date with it: new texts come in
untranslated, those that nobody says any more go.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

from babel.messages import Catalog
from babel.messages.extract import extract
from babel.messages.pofile import read_po, write_po

from agent.console.app import STATIC
from agent.console.feedback import REASONS
from agent.console.words import CATALOGUES
from agent.reasons import PAGE
from agent.records import Region, Side, Subtype

AGENT = Path(__file__).parents[3] / "agent"

SPOKEN: dict[str, tuple[str, ...]] = {
    "console/sign_in.py": ("WRONG", "TOO_MANY"),
}
"""Where the agent says what a technologist reads: functions and constants of its modules."""


FUNCTION = ast.FunctionDef | ast.AsyncFunctionDef


def texts() -> set[str]:
    """Every text, in English."""
    return {*_of_scripts(), *_of_pages(), *_of_reports(), *agent_sentences()}


def agent_sentences() -> set[str]:
    """What the agent says and the catalogues hold, with ``{1}`` … for what it fills in."""
    said = {text for path, names in SPOKEN.items() for text in _said_in(AGENT / path, names)}
    with (CATALOGUES / "de.po").open("rb") as file:
        known = {message.id for message in read_po(file)}
    templates = {text for one in PAGE.values() for text in (one.text, one.what_to_do) if text}
    return said | {_numbered(text) for text in templates} & known


def _numbered(template: str) -> str:
    numbers = iter(range(1, 10))
    return re.sub(r"\{[^}]*\}", lambda _: f"{{{next(numbers)}}}", template)


def _of_scripts() -> Iterator[str]:
    for path in sorted(STATIC.glob("*.js")):
        with path.open("rb") as file:
            for _, text, _, _ in extract("javascript", file, keywords={"t": None}):
                if text:
                    yield str(text)


def _of_pages() -> Iterator[str]:
    for path in sorted(STATIC.glob("*.html")):
        page = _Page()
        page.feed(path.read_text(encoding="utf-8"))
        yield from page.texts


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._translated = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = dict(attrs)
        self._translated = "data-t" in names
        if label := names.get("aria-label"):
            self.texts.append(label)

    def handle_endtag(self, tag: str) -> None:
        self._translated = False

    def handle_data(self, data: str) -> None:
        if self._translated and data.strip():
            self.texts.append(data.strip())


def _of_reports() -> Iterator[str]:
    yield from (subtype.word for subtype in Subtype)
    yield from (side.value for side in Side)
    yield from (region.word for region in Region)
    yield from REASONS


def _said_in(path: Path, names: tuple[str, ...]) -> Iterator[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = [node for node in ast.walk(tree) if _name_of(node) in names]
    assert {_name_of(node) for node in found} == set(names), f"{path}: not all of {names} there"
    for node in found:
        yield from _sentences(node)


def _name_of(node: ast.AST) -> str | None:
    target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
    if isinstance(target, ast.Name):
        return target.id
    return node.name if isinstance(node, FUNCTION) else None


def _sentences(node: ast.AST) -> Iterator[str]:
    parts = [*ast.iter_child_nodes(node)]
    if isinstance(node, FUNCTION) and ast.get_docstring(node):
        parts.remove(node.body[0])
    for part in parts:
        if isinstance(part, ast.JoinedStr):
            yield _pattern(part)
        elif (
            isinstance(part, ast.Constant)
            and isinstance(part.value, str)
            and " " in part.value.strip()
        ):
            yield part.value
        else:
            yield from _sentences(part)


def _pattern(text: ast.JoinedStr) -> str:
    n, parts = 0, []
    for part in text.values:
        if isinstance(part, ast.Constant):
            parts.append(str(part.value))
        else:
            n += 1
            parts.append(f"{{{n}}}")
    return "".join(parts)


def main() -> None:
    """Bring the catalogues up to date."""
    for path in sorted(CATALOGUES.glob("*.po")):
        with path.open("rb") as file:
            known = read_po(file, locale=path.stem)
        catalogue = Catalog(locale=path.stem)
        for text in sorted(texts()):
            before = known.get(text)
            catalogue.add(text, before.string if before else "")
        with path.open("wb") as file:
            write_po(file, catalogue, width=100, omit_header=True, sort_output=True)


if __name__ == "__main__":
    main()
