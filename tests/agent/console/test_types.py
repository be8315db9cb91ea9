"""The types that the page's JavaScript is checked against are those of what the server sends."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from agent.console.before import Before
from agent.report import FindingReport, SeriesReport, SliceStack
from agent.store.view import (
    AcknowledgementView,
    ExaminationView,
    PatientView,
    SeriesView,
    VerdictView,
)

TYPES = Path(__file__).parents[2] / "js" / "api.d.ts"

ADDED_BY_THE_CONSOLE = {
    "SliceStack": {"kept", "n"},
    "Series": {"last_slice_age_s", "escalation_problem", "unread_files"},
    "Examination": {"urgency", "before", "drawn"},
}


def fields(interface: str) -> set[str]:
    """Return the fields that the page reads of one kind of object."""
    pattern = rf"^interface {interface} \{{\n(.*?)^\}}"
    found = re.search(pattern, TYPES.read_text(), re.MULTILINE | re.DOTALL)
    assert found, interface
    return set(re.findall(r"^  (\w+):", found[1], re.MULTILINE)) - ADDED_BY_THE_CONSOLE.get(
        interface, set()
    )


@pytest.mark.parametrize(
    ("interface", "model"),
    [
        ("Finding", FindingReport),
        ("Report", SeriesReport),
        ("SliceStack", SliceStack),
        ("Patient", PatientView),
        ("Series", SeriesView),
        ("Examination", ExaminationView),
        ("Answer", AcknowledgementView),
        ("Answer", VerdictView),
        ("Before", Before),
    ],
)
def test_what_the_page_reads_is_sent(interface: str, model: type[BaseModel]) -> None:
    assert fields(interface) - model.model_fields.keys() == set()
