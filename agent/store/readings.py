"""What a radiologist made of a result: readings finding by finding, and signed reports.

Both stand beside the result, which nothing here changes. None is overwritten: a later reading of
the same finding stands in place of the earlier one, and who took one back is stored with it.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, model_validator
from typing_extensions import Self

from agent.report import ReasonReport, SubtypeWord
from agent.store.database import Database
from agent.store.extents import Extent

LONGEST_NOTE: Final = 1000
LARGEST_INDEX: Final = 2**15
"""Of a voxel. Ours: no scanner makes more slices, rows or columns."""

Judged: TypeAlias = Literal["correct", "changed", "not_blood", "missed"]

SideWord: TypeAlias = Literal["left", "right", "midline"]

Instead: TypeAlias = Literal[
    "calcification",
    "artefact",
    "partial volume",
    "normal dense sinus or falx",
    "tumour",
    "contrast agent",
    "post-operative",
    "other",
]
"""What was taken for blood."""

SectionName: TypeAlias = Literal[
    "clinical", "technique", "comparison", "findings", "not_assessed", "impression"
]

READING: Final = "SELECT readings.*, volume_ml FROM readings LEFT JOIN extents ON reading_id = id"

Index: TypeAlias = Annotated[int, Field(ge=0, lt=LARGEST_INDEX)]


class _Stored(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Judgement(_Stored):
    """What one finding of a result is, or a bleed that is no finding."""

    judged: Judged
    finding: Index | None = None
    """Index among the result's findings; None where a bleed was missed."""
    subtype: SubtypeWord | None = None
    """Which kind it is; None where that was right, or is not told."""
    side: SideWord | None = None
    """Likewise the patient's side."""
    instead: Instead | None = None
    """What it is, where it is no blood."""
    voxel_kji: tuple[Index, Index, Index] | None = None
    """A voxel of a missed bleed: slice, row and column of the kept slices."""
    redrawn: bool = False
    """Whether its extent was drawn as well, in place of the outlined one."""
    note: Annotated[str, Field(max_length=LONGEST_NOTE)] = ""

    @model_validator(mode="after")
    def _is_one_of_four(self) -> Self:
        missed = self.judged == "missed"
        changed = bool(self.subtype or self.side or self.redrawn)
        problems = {
            "a finding, unless a bleed was missed": missed is not (self.finding is None),
            "where a missed bleed is, and only then": missed is not bool(self.voxel_kji),
            "what it is instead of blood, and only then": (self.judged == "not_blood")
            is not bool(self.instead),
            "what is changed": self.judged == "changed" and not changed,
            "kind, side and extent only of what is blood, and otherwise than was said": changed
            and self.judged in ("correct", "not_blood"),
            "what else, in the note": self.instead == "other" and not self.note,
        }
        wrong = [said for said, is_so in problems.items() if is_so]
        if wrong:
            raise ValueError("; ".join(wrong))
        return self


class Reading(_Stored):
    """Somebody's judgement on a result. ``taken_back_by`` is None while it stands."""

    reading_id: int
    revision: int
    """Of the result."""
    judgement: Judgement
    who: str
    at_utc: datetime
    taken_back_by: str | None = None
    taken_back_utc: datetime | None = None
    volume_ml: float | None = None
    """Of the extent that was drawn, None where none was."""
    extent: Extent | None = None
    """What was drawn; None also where it is not asked for."""


class Sentence(_Stored):
    """One sentence of a report, and what it was made of."""

    text: str
    """As it is signed, in the report's language."""
    reason: ReasonReport | None
    """The code and values of which it was made; None where a person wrote it."""


class Section(_Stored):
    """One part of a report."""

    section: SectionName
    title: str
    sentences: tuple[Sentence, ...]


class SignedReport(_Stored):
    """One version of a report as it was signed."""

    series_uid: str
    """The series whose result it reports, which spoke for its examination."""
    revision: int
    """Of that result."""
    version: int
    """1 for the first that was signed of this series."""
    language: str
    sections: tuple[Section, ...]
    who: str
    at_utc: datetime

    @property
    def text(self) -> str:
        """All of it, as it is read."""
        return "\n\n".join(
            "\n".join((one.title.upper(), *(sentence.text for sentence in one.sentences)))
            for one in self.sections
        )


def standing(readings: Iterable[Reading]) -> list[Reading]:
    """Return the readings that stand: the latest of each finding, and every missed bleed."""
    kept: dict[tuple[int, int | None, int | None], Reading] = {}
    for one in readings:
        finding = one.judgement.finding
        key = one.revision, finding, one.reading_id if finding is None else None
        kept.pop(key, None)
        if one.taken_back_by is None:
            kept[key] = one
    return list(kept.values())


def readings_of(database: Database, series_uid: str) -> list[Reading]:
    """Return all readings of a series' results, oldest first, also those taken back."""
    rows = database.rows(f"{READING} WHERE series_uid = ? ORDER BY id", series_uid)
    return list(map(reading_of, rows))


def signed_reports_of(database: Database, series_uids: Iterable[str]) -> list[SignedReport]:
    """Return all versions of the reports on some series, oldest first."""
    rows = database.rows_of_series("signed_reports", series_uids, "version")
    return list(map(signed_report_of, rows))


def reading_of(row: sqlite3.Row) -> Reading:
    """Read a row of ``readings``."""
    return Reading(
        reading_id=row["id"],
        revision=row["revision"],
        judgement=Judgement.model_validate_json(row["judgement"]),
        who=row["who"],
        at_utc=row["at_utc"],
        taken_back_by=row["taken_back_by"],
        taken_back_utc=row["taken_back_utc"],
        volume_ml=row["volume_ml"],
    )


def signed_report_of(row: sqlite3.Row) -> SignedReport:
    """Read a row of ``signed_reports``."""
    return SignedReport(
        series_uid=row["series_uid"],
        revision=row["revision"],
        version=row["version"],
        language=row["language"],
        sections=json.loads(row["sections"]),
        who=row["who"],
        at_utc=row["at_utc"],
    )
