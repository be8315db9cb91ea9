"""Values that name a patient or a person, and every spelling in which bytes may hold them."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

ENCODINGS = "utf-8", "latin-1", "utf-16-le", "utf-16-be"


class Planted:
    """Hands out a value of its own for each place, and finds what came out of it."""

    def __init__(self) -> None:
        self.places: dict[str, str] = {}

    def __call__(self, place: str) -> str:
        value = f"Plänted^Zq{len(self.places):04d}x"
        self.places[value] = place
        return value

    def found_in(self, contents: Iterable[bytes]) -> list[str]:
        """Return the places whose values bytes hold in any spelling."""
        whole = b"\n".join(contents).lower()
        return [
            place
            for value, place in self.places.items()
            if any(spelling in whole for spelling in spellings(value))
        ]


def spellings(value: str) -> list[bytes]:
    texts = (
        value,
        value.replace("^", " "),
        value.split("^")[1],
        quote(value),
        json.dumps(value)[1:-1],
    )
    return [text.lower().encode(encoding) for text in texts for encoding in ENCODINGS]


def unpacked(path: Path) -> list[bytes]:
    """Return what an archive holds: names and contents, and the archive's own bytes."""
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        return [path.read_bytes(), *(name.encode() for name in names), *map(archive.read, names)]
