"""How one reason is put into words."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Wording:
    """English templates with named values, such as ``{height_mm:.1f}``; gettext's keys too.

    ``text`` says what is so, ``what_to_do`` what the reader can do about it, "" where nothing is to
    be done. Values are formatted by ``.Nf`` or not at all: the page formats the same templates.
    """

    text: str
    what_to_do: str = ""
