"""The tables of reasons on the troubleshooting page, from the table that the program speaks by.

``python -m tests.documentation.reasons`` writes them anew.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from agent.reasons import Wording, page, service

PAGE = Path(__file__).parents[2] / ".docs" / "troubleshooting.md"

BEGIN = "<!-- by python -m tests.documentation.reasons -->\n"

TABLES: dict[str, Mapping[str, Wording]] = {
    "A series was not analysed, or its result has a caveat": page.SERIES,
    "The series of an examination disagree, or one is missing": page.EXAMINATION,
    "Images that a scanner sent were not received": page.RECEIVED,
    "A file was left out": page.FILES,
    "Networks, bundles and the GPU": page.NETWORKS,
    "The box": page.BOX,
    "The configuration cannot be used": service.CONFIGURATION,
    "The inlet does not start, or refuses what is no image": service.INLET,
    "A command did nothing": service.COMMANDS,
    "Doctor": service.DOCTOR,
    "Making bundles, plans and profiles": service.BUILDING,
}


def with_tables(text: str) -> str:
    """Return the page with its tables as they are to be."""
    return text.partition(BEGIN)[0] + BEGIN + "\n" + "\n".join(map(_table, TABLES))


def _table(title: str) -> str:
    rows = [
        f"| `{code}` | {_cell(wording.text)} | {_cell(wording.what_to_do)} |"
        for code, wording in sorted(TABLES[title].items())
    ]
    head = ["| code | what it says | what to do |", "| --- | --- | --- |"]
    return "\n".join([f"## {title}", "", *head, *rows, ""])


def _cell(template: str) -> str:
    """Show a template, its values in italics."""
    return re.sub(r"\{(\w+)[^}]*\}", r"*\1*", template.replace("\n", " ")).replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
