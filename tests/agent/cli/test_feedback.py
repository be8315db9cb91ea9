"""``bleedwatch feedback``: what was said leaves the box, and who the patient is does not."""

from __future__ import annotations

import csv
import io
import json

import pytest

from agent.store.drawings import DrawnSegment
from agent.wiring import system_clock
from tests.agent.cli.conftest import Call
from tests.agent.reports import add_result, not_suspected, receive, report
from tests.agent.stored import Store


@pytest.fixture
def said(store: Store, call: Call) -> Call:
    """Call ``feedback`` on a store in which something was said of two of three series."""
    for uid, told in (("1.1", report), ("1.2", not_suspected), ("1.3", report)):
        receive(store, system_clock, uid)
        add_result(store, told(uid))
    store.console.acknowledge("1.1", 1, "Ann", "=1+1", "artefact")
    store.console.judge("1.2", 1, "Dr Bob", "a bleed was missed", agrees=False)
    return lambda *options: call("feedback", *options)


def test_what_was_said_is_exported_without_the_patient(said: Call) -> None:
    lines = json.loads(said("--json").stdout)

    assert [line["series_uid"] for line in lines] == ["1.1", "1.2"]
    assert (lines[0]["state"], lines[0]["dismissed_because"]) == ("suspected", "artefact")
    assert (lines[1]["verdict"], lines[1]["verdict_note"]) == ("disagree", "a bleed was missed")
    assert not any(value in json.dumps(lines) for value in ("DOE", "P1", "19500101", "A1"))


def test_a_spreadsheet_takes_no_note_for_a_formula(said: Call) -> None:
    first, _second = csv.DictReader(io.StringIO(said("--csv").stdout))

    assert first["note"] == "'=1+1"
    assert first["subtypes"] == "subdural"


def test_people_read_a_table_and_how_often_they_agree(said: Call) -> None:
    table = said().stdout

    assert "dismissed: artefact by Ann" in table
    assert "2 series; 0 of 1 verdicts agree" in table


def test_a_later_day_has_nothing_to_tell(said: Call) -> None:
    assert json.loads(said("--since", "2100-01-01", "--json").stdout) == []


def test_what_somebody_outlined_elsewhere_is_told_beside_ours(store: Store, said: Call) -> None:
    segments = [DrawnSegment(label=one, volume_ml=ml) for one, ml in (("a", 3.0), ("DOE", 1.25))]
    for number, who in enumerate(("Dr Rae", "Dr Bob")):
        store.console.draw(("1.3", 1), f"1.9.{number}", who, segments)

    (line,) = (one for one in json.loads(said("--json").stdout) if one["series_uid"] == "1.3")

    assert (line["drawn_ml"], line["drawn_by"]) == (4.25, "Dr Bob")
    assert line["total_volume_ml"] == 31.4
    assert "DOE" not in json.dumps(line)
