"""A patient who is corrected at the source: same images, same UIDs, another name or ID."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.console.audit import AuditLog
from agent.console.corrections import record_corrections
from agent.console.settings import PageSettings
from agent.console.snapshot import View
from agent.records import State
from agent.store.rows import SeriesRow
from tests.agent.box import Box
from tests.agent.reports import series_shown
from tests.heads import SEEING_BUNDLE, SeeingBackend
from tests.phantoms import uid, write_series

N = 24
UNKNOWN = {"PatientName": "UNKNOWN^E7", "PatientID": "E-7", "NumberOfSeriesRelatedInstances": N}
KNOWN = UNKNOWN | {"PatientName": "DOE^JANE", "PatientID": "4711"}

RESTARTS = pytest.mark.parametrize("restarted", [False, True], ids=["running", "restarted"])


@pytest.fixture
def box(tmp_path: Path) -> Box:
    backend = SeeingBackend(SEEING_BUNDLE, score=0.9)
    return Box(tmp_path / "store.sqlite", SEEING_BUNDLE, backend)


def row_of(box: Box) -> SeriesRow:
    row = box.store.queries.series(uid("series", 0))
    assert row
    return row


def export(box: Box, paths: list[Path], *, restarted: bool = False) -> None:
    if restarted:
        box.start()
    box.export(paths)
    box.wait()


@pytest.mark.slow
@RESTARTS
def test_the_row_and_the_alert_bear_the_corrected_patient_and_say_so(
    box: Box, tmp_path: Path, restarted: bool
) -> None:
    export(box, write_series(tmp_path / "a", N, **UNKNOWN))
    export(box, write_series(tmp_path / "b", N, **KNOWN), restarted=restarted)

    row = row_of(box)
    assert (row.identity.patient_name, row.identity.patient_id) == ("DOE^JANE", "4711")
    assert row.state is State.SUSPECTED
    assert row.alert is not None
    assert row.corrected is not None
    assert (row.corrected.patient_name, row.corrected.patient_id) == ("UNKNOWN^E7", "E-7")
    assert len(box.store.queries.history(row.uid)) == 1, "a correction is no new result"
    assert box.store.queries.unfinished() == []


@pytest.mark.slow
@RESTARTS
def test_the_correction_stands_after_a_further_restart_and_is_no_second_one(
    box: Box, tmp_path: Path, restarted: bool
) -> None:
    first = write_series(tmp_path / "a", N, **UNKNOWN)
    second = write_series(tmp_path / "b", N, **KNOWN)
    export(box, first)
    export(box, second, restarted=restarted)
    assert box.store.console.request(uid("series", 0))
    box.start()
    box.agent.intake.open_requested()
    box.wait()

    assert row_of(box).identity.patient_id == "4711"
    assert row_of(box).state is State.SUSPECTED
    assert len(box.store.queries.corrections_to_record()) == 1


@pytest.mark.slow
@RESTARTS
def test_one_image_of_somebody_else_is_no_correction_and_refuses_the_series(
    box: Box, tmp_path: Path, restarted: bool
) -> None:
    export(box, write_series(tmp_path / "a", N, **UNKNOWN))
    export(box, write_series(tmp_path / "b", N, **KNOWN)[:1], restarted=restarted)

    assert (row_of(box).report.state, row_of(box).report.code) == (
        "not_analysed",
        "identity_differs",
    )
    assert row_of(box).identity.patient_id == "E-7"
    assert row_of(box).corrected is None


@pytest.mark.slow
def test_two_patients_in_one_series_are_refused_and_analysed_once_the_source_has_corrected_them(
    box: Box, tmp_path: Path
) -> None:
    first = write_series(tmp_path / "a", N, **UNKNOWN)
    second = write_series(tmp_path / "b", N, **KNOWN)

    export(box, [*first[:12], *second[12:]])
    refused = row_of(box).report
    export(box, second[:12])

    assert refused.code == "identity_differs"
    assert row_of(box).report.state == "suspected"
    assert row_of(box).identity.patient_id == "4711"


@pytest.mark.slow
def test_images_of_another_study_are_never_taken_for_a_correction(box: Box, tmp_path: Path) -> None:
    export(box, write_series(tmp_path / "a", N, **UNKNOWN))
    export(box, write_series(tmp_path / "b", N, **UNKNOWN, StudyInstanceUID="1.2.3"))

    assert row_of(box).report.code == "identity_differs"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shown", "former"),
    [("full", ("UNKNOWN^E7", "E-7")), ("initials", ("U.^E.", "")), ("none", ("", ""))],
)
def test_the_page_tells_whose_it_was_said_to_be_as_far_as_the_site_lets_it(
    box: Box, tmp_path: Path, shown: str, former: tuple[str, str]
) -> None:
    export(box, write_series(tmp_path / "a", N, **UNKNOWN))
    export(box, write_series(tmp_path / "b", N, **KNOWN))

    settings = PageSettings(patient=shown)
    (series,) = series_shown(View(box.store.queries, box.clock(), "boot", settings, {}).snapshot())

    corrected = series["corrected"]
    assert (corrected["patient_name"], corrected["patient_id"]) == former
    assert series["corrected_utc"] == corrected["at_utc"]


@pytest.mark.slow
def test_the_audit_log_has_the_correction_once_and_nobodys_name(box: Box, tmp_path: Path) -> None:
    export(box, write_series(tmp_path / "a", N, **UNKNOWN))
    export(box, write_series(tmp_path / "b", N, **KNOWN))
    path = tmp_path / "audit.log"
    audit = AuditLog(path, box.clock, lambda *_: None)

    for _ in range(2):
        record_corrections(box.store.console, audit)

    (line,) = path.read_text().splitlines()
    assert "patient-corrected" in line
    assert uid("series", 0) in line
    assert not any(name in line for name in ("DOE", "UNKNOWN", "4711", "E-7"))
