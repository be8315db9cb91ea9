"""MkDocs: a link out of the pages is a file of the repository, which the site does not hold."""

from __future__ import annotations

import re
from typing import Any

LINK = re.compile(r"\[([^\]]+)\]\(\.\./([^)]+)\)")


def on_page_markdown(markdown: str, **_page: Any) -> str:  # noqa: ANN401 - MkDocs' own objects
    """Name the file instead."""
    return LINK.sub(lambda link: _named(link[1], link[2]), markdown)


def _named(text: str, path: str) -> str:
    return f"`{path}`" if text in path else f"{text} (`{path}`)"
