"""Every text that the page may show, gathered from where it is written.

``python -m tests.agent.console.texts`` brings the catalogues up to date with it: new texts come in
untranslated, those that nobody says any more go.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import get_args

from babel.messages import Catalog
from babel.messages.extract import extract
from babel.messages.pofile import read_po, write_po

from agent.console.app import STATIC
from agent.console.feedback import REASONS
from agent.console.words import CATALOGUES
from agent.reasons import PAGE
from agent.records import Region, Side
from agent.report import SUBTYPES
from agent.store.readings import Instead

PLACE = re.compile(r"\{[^}]*\}")
"""Where a value goes."""


def texts() -> set[str]:
    """Every text, in English."""
    return {*_of_scripts(), *_of_pages(), *_of_reports(), *of_reasons()}


def of_reasons() -> set[str]:
    """Return the wordings of all that the page may be given a reason for, but for bare values."""
    templates = {text for one in PAGE.values() for text in (one.text, one.what_to_do)}
    return {text for text in templates if PLACE.sub("", text).strip(" :")}


def _of_scripts() -> Iterator[str]:
    for path in sorted(STATIC.glob("*.js")):
        with path.open("rb") as file:
            for _, said, _, _ in extract("javascript", file, keywords={"t": None, "tn": (2, 3)}):
                for text in (said,) if isinstance(said, str) else said:
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
    yield from SUBTYPES
    yield from (side.value for side in Side)
    yield from (region.word for region in Region)
    yield from REASONS
    yield from get_args(Instead)


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
