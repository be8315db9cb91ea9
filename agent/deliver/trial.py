"""The result of nobody that ``bleedwatch deliver test`` sends where no object is made."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from agent.deliver.result import StoredResult
from agent.reasons import Reason, plain
from agent.records import Identity
from agent.report import SeriesReport
from agent.sources import SourceImages

TRIAL_PATIENT: Final = "BLEEDWATCH-TEST"


def trial_result(study_uid: str, at: datetime) -> StoredResult:
    """Make a result that says to be a test, in a study of its own; ``at`` [UTC] is when."""
    report = SeriesReport(
        series_uid=f"{study_uid}.1",
        study_uid=study_uid,
        revision=1,
        result_id=study_uid,
        protocol=None,
        state="not_analysed",
        **plain(Reason("trial_message")),
        score=None,
        operating_point=None,
        threshold=None,
        total_volume_ml=None,
        midline_shift_mm=None,
        findings=(),
        caveats=(),
        geometry=None,
        completed_by=None,
        engine=None,
        timings_s={},
    )
    identity = Identity(TRIAL_PATIENT, "BLEEDWATCH^TEST", "", "", study_uid, "")
    images = SourceImages(
        sop_class_uid="",
        frame_of_reference_uid="",
        study_date=at.strftime("%Y%m%d"),
        study_time=at.strftime("%H%M%S"),
        study_id="TEST",
        referring_physician="",
        rows=0,
        columns=0,
        pixel_spacing_mm=(0.0, 0.0),
        row_direction=(1.0, 0.0, 0.0),
        column_direction=(0.0, 1.0, 0.0),
        thickness_mm=None,
        images=(),
    )
    return StoredResult(report, at, identity, images, None, None, None)


def is_trial(result: StoredResult) -> bool:
    """Whether a result is the test of a channel."""
    return result.identity.patient_id == TRIAL_PATIENT
