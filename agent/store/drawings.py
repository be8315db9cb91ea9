"""What people outlined on a series' images by another program, beside the result that it had."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from datetime import datetime
from typing import Final

from pydantic import BaseModel, ConfigDict

from agent.store.database import Database

MOST_KEPT: Final = 20
"""Of one series. Ours: more are no corrections."""


class _Stored(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DrawnSegment(_Stored):
    """One segment, as it is called by who drew it."""

    label: str
    volume_ml: float


class Drawing(_Stored):
    """A segmentation that somebody drew or corrected, and sent."""

    series_uid: str
    """Of the images."""
    revision: int
    """Of the series' result at that time."""
    sop_uid: str
    """Of the segmentation itself, which the archive has."""
    who: str
    """Who drew it, as it says, else the AE title that sent it."""
    at_utc: datetime
    segments: tuple[DrawnSegment, ...]

    @property
    def volume_ml(self) -> float:
        """Of all segments together [mL]."""
        return sum(one.volume_ml for one in self.segments)


def drawings_of(database: Database, series_uids: Iterable[str]) -> list[Drawing]:
    """Return what was drawn on some series, oldest first."""
    rows = database.rows_of_series("drawings", series_uids, "sop_uid")
    return list(map(_drawing_of, rows))


def _drawing_of(row: sqlite3.Row) -> Drawing:
    return Drawing(
        series_uid=row["series_uid"],
        revision=row["revision"],
        sop_uid=row["sop_uid"],
        who=row["who"],
        at_utc=row["at_utc"],
        segments=json.loads(row["segments"]),
    )
