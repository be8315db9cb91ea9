"""What the console's API answers to the radiologist's pages: one model for each, for the schema."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

from agent.console.before import Before
from agent.console.settings import Language
from agent.records import State
from agent.report import ReasonReport
from agent.store.drawings import Drawing
from agent.store.readings import Reading, Section, SignedReport
from agent.store.view import DeliveryView, ExaminationView, PatientView
from agent.urgency import Urgency


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ReadingLine(_Answer):
    """One examination of the reading list."""

    examination_uid: str
    test: bool
    patient: PatientView
    state: State
    last_slice_utc: datetime
    subtypes: tuple[str, ...]
    """Kinds of its findings, each once, the largest finding's first."""
    total_volume_ml: float | None
    midline_shift_mm: float | None
    score: float | None
    urgency: Urgency | None
    """How urgently it is to be read, None where nothing presses."""
    waits: bool
    """Whether an alert of it waits for somebody's answer."""
    n_findings: int
    n_read: int
    """Findings that a radiologist has read."""
    signed_by: str | None
    """Who signed the latest report on its result, None where nobody has."""


class ReadingList(_Answer):
    """Of ``GET /api/reading``: what is not signed first, in order of urgency."""

    schema_version: Literal[1] = 1
    at_utc: datetime
    examinations: tuple[ReadingLine, ...]


class DraftAnswer(_Answer):
    """A draft of a report, as said in one language."""

    language: Language
    sections: tuple[Section, ...]


class SignedView(SignedReport):
    """A signed report, and how far it is on its way to the archives that are to have it."""

    sent: tuple[DeliveryView, ...]


class ExaminationAnswer(_Answer):
    """Of ``GET /api/exam/{uid}``: an examination with all that was read of it."""

    schema_version: Literal[1] = 1
    examination: ExaminationView
    """With whose it is, as far as the page may tell that."""
    standing: tuple[Reading, ...]
    """The readings that stand of the result that speaks for it."""
    before: Before | None
    """The same patient's previous examination beside it, None where there is none."""
    draft: DraftAnswer | None
    """None before there is a result."""
    signed: tuple[SignedView, ...]
    """Every signed version of any of its series, oldest first."""
    drawings: tuple[Drawing, ...]
    """What people outlined on any of its series elsewhere, oldest first."""
    may_not_read: ReasonReport | None
    """Why whoever asks may not read findings; None where that is allowed."""
    may_not_sign: ReasonReport | None
    """Likewise sign a report."""
