"""agent.deliver.dicom: what is made of a result says the same as the result, on the same slices."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from io import BytesIO

import highdicom as hd
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from agent.deliver.dicom.objects import objects_of
from agent.deliver.dicom.result import instance_uid
from agent.deliver.result import StoredResult, date_of, time_of
from agent.deliver.settings import KINDS
from tests.agent.deliver.results import HEIGHTS_MM, stored_result

HEADS = {
    "even": {},
    "tilted and uneven": {"heights_mm": HEIGHTS_MM["uneven"], "tilt_deg": 18.0},
    "300 thin slices": {"heights_mm": np.arange(300) * 0.5},
    "Enhanced CT": {"enhanced": True},
}


def made(result: StoredResult) -> dict[str, Dataset]:
    """Make everything, write it, and read it back, by modality and SOP class."""
    found = {}
    for one in objects_of(result, KINDS):
        written = BytesIO()
        one.save_as(written, enforce_file_format=True)
        written.seek(0)
        read = dcmread(written)
        found[read.SOPClassUID.name] = read
    return found


def texts(data: Dataset) -> list[str]:
    """All texts of a document, in order."""
    found = [data.TextValue] if "TextValue" in data else []
    for item in data.get("ContentSequence", ()):
        found += texts(item)
    return found


@pytest.fixture(scope="module", params=HEADS)
def head(request: pytest.FixtureRequest) -> tuple[StoredResult, dict[str, Dataset]]:
    result = stored_result(**HEADS[request.param])
    return result, made(result)


@pytest.mark.slow
def test_each_voxel_of_a_finding_is_in_its_segment_on_its_own_slice(head) -> None:
    result, objects = head
    segmentation = hd.seg.Segmentation.from_dataset(objects["Segmentation Storage"])
    shown = np.flatnonzero(result.numbers.any(axis=(1, 2)))
    images = result.images.images

    if images[0].frame is None:
        masks = segmentation.get_pixels_by_source_instance(
            [images[k].sop_uid for k in shown], combine_segments=True
        )
    else:
        masks = segmentation.get_pixels_by_source_frame(
            images[0].sop_uid, [images[k].frame for k in shown], combine_segments=True
        )

    assert (masks == result.numbers[shown]).all()


@pytest.mark.slow
def test_frames_have_the_images_own_positions(head) -> None:
    result, objects = head
    segmentation = objects["Segmentation Storage"]
    positions = {image.position_lps_mm for image in result.images.images}

    for groups in segmentation.PerFrameFunctionalGroupsSequence:
        position = groups.PlanePositionSequence[0].ImagePositionPatient
        assert min(np.abs(np.subtract(position, one)).max() for one in positions) < 1e-6


def test_segments_are_coded_and_coloured(head) -> None:
    _, objects = head
    segments = objects["Segmentation Storage"].SegmentSequence

    assert [one.SegmentLabel for one in segments] == [
        "1 Subdural hemorrhage, left frontal",
        "2 Intraventricular hemorrhage, right ventricles",
    ]
    assert all(len(one.RecommendedDisplayCIELabValue) == 3 for one in segments)
    assert {one.SegmentedPropertyTypeCodeSequence[0].CodeValue for one in segments} == {"50960005"}
    assert segments[1].AnatomicRegionSequence[0].CodeMeaning == "Brain ventricle"
    assert {one.SegmentAlgorithmType for one in segments} == {"AUTOMATIC"}


def test_measurements_are_those_of_the_findings(head) -> None:
    result, objects = head
    report = hd.sr.Comprehensive3DSR.from_dataset(objects["Comprehensive 3D SR Storage"])
    groups = report.content.get_volumetric_roi_measurement_groups()

    assert [group.tracking_uid for group in groups] == [
        segment.TrackingUID for segment in objects["Segmentation Storage"].SegmentSequence
    ]
    for group, finding in zip(groups, result.report.findings, strict=True):
        values = {one.name.meaning: one for one in group.get_measurements()}
        assert values["Volume"].value == finding.volume_ml
        assert values["Volume"].unit.value == "mL"
        assert values["Probability"].value == finding.probability
        sizes = [values[name].value for name in ("Long axis", "Short axis", "Height")]
        assert sizes == list(finding.extent_mm)
        reach = [
            (one.MeasuredValueSequence[0].NumericValue, unit.CodeValue)
            for one in values["Volume"][0].ContentSequence
            for unit in one.MeasuredValueSequence[0].MeasurementUnitsCodeSequence
        ]
        low_ml, high_ml = finding.volume_interval_ml
        assert [unit for _, unit in reach] == ["mL", "mL"]
        assert [float(mL) for mL, _ in reach] == pytest.approx(
            [high_ml - finding.volume_ml, finding.volume_ml - low_ml]
        )
    assert [group.finding_sites[0].laterality.meaning for group in groups] == ["Left", "Right"]


def test_the_head_as_a_whole_is_told_once(head) -> None:
    _, objects = head
    report = hd.sr.Comprehensive3DSR.from_dataset(objects["Comprehensive 3D SR Storage"])
    (whole,) = report.content.get_image_measurement_groups()

    values = {one.name.meaning: one.value for one in whole.get_measurements()}
    assert values == {"Probability": 0.97, "Midline shift": 6.0, "Volume": 31.4}
    said = {one.name.meaning: one.value.meaning for one in whole.get_qualitative_evaluations()}
    assert said == {
        "Answer of the algorithm": "Intracranial hemorrhage suspected",
        "Intraventricular extension": "Yes",
    }


def test_the_key_images_are_those_of_the_findings(head) -> None:
    result, objects = head
    images = result.images.images
    named = [
        item.ReferencedSOPSequence[0]
        for item in objects["Key Object Selection Document Storage"].ContentSequence
        if item.ValueType == "IMAGE"
    ]

    key = sorted(finding.key_slice for finding in result.report.findings)
    assert {one.ReferencedSOPInstanceUID for one in named} == {images[k].sop_uid for k in key}


def test_everything_says_that_it_is_no_diagnosis_and_whose_it_is(head) -> None:
    result, objects = head

    assert len(objects) == 5
    for one in objects.values():
        assert "AI result, not for diagnosis" in one.SeriesDescription
        assert (one.PatientID, one.PatientName) == ("P1", "Müller^Jörg")
        assert one.StudyInstanceUID == result.identity.study_uid
        assert one.AccessionNumber == "A1"
        assert one.SeriesInstanceUID != result.report.series_uid
    for name in ("Comprehensive 3D SR Storage", "Basic Text SR Storage"):
        assert objects[name].VerificationFlag == "UNVERIFIED"
        assert objects[name].PreliminaryFlag == "PRELIMINARY"


def test_what_is_not_suspected_is_never_called_absent() -> None:
    objects = made(stored_result(state="not_suspected", findings=(), total_volume_ml=0.0))

    assert set(objects) == {"Comprehensive 3D SR Storage", "Basic Text SR Storage"}
    said = " ".join(texts(objects["Basic Text SR Storage"]))
    assert "Intracranial hemorrhage not suspected" in said
    assert "does not exclude" in said
    assert "no hemorrhage" not in said.lower()


def test_what_was_not_analysed_says_why() -> None:
    why = {"code": "lossy", "values": {}, "text": "3 slices are missing", "what_to_do": "send"}
    objects = made(
        stored_result(state="not_analysed", findings=(), total_volume_ml=None, score=None, **why)
    )

    assert set(objects) == {"Comprehensive 3D SR Storage", "Basic Text SR Storage"}
    assert "Not analysed: 3 slices are missing" in texts(objects["Basic Text SR Storage"])


@pytest.mark.slow
def test_a_later_result_names_the_one_whose_place_it_takes() -> None:
    first = stored_result()
    second = stored_result(revision=2, result_id="later", predecessor=first.report.result_id)
    before, after = made(first), made(second)

    for name in ("Comprehensive 3D SR Storage", "Basic Text SR Storage"):
        (study,) = after[name].PredecessorDocumentsSequence
        (former,) = study.ReferencedSeriesSequence[0].ReferencedSOPSequence
        assert former.ReferencedSOPInstanceUID == before[name].SOPInstanceUID
        assert former.ReferencedSOPClassUID == before[name].SOPClassUID
        assert "PredecessorDocumentsSequence" not in before[name]
    for name, one in after.items():
        assert one.SOPInstanceUID != before[name].SOPInstanceUID
        assert one.SeriesInstanceUID == before[name].SeriesInstanceUID
        assert one.InstanceNumber == 2


def test_a_site_may_want_the_written_report_alone() -> None:
    (only,) = objects_of(stored_result(), ["report"])

    assert only.SOPClassUID.name == "Basic Text SR Storage"


@pytest.mark.slow
def test_measurements_without_segmentation_refer_to_the_images() -> None:
    (only,) = objects_of(stored_result(), ["measurements"])
    report = hd.sr.Comprehensive3DSR.from_dataset(only)

    assert len(report.content.get_image_measurement_groups()) == 3


def test_missing_headers_are_no_obstacle() -> None:
    """highdicom fails where a birth date is missing; scanners leave out what they like."""
    result = stored_result()
    empty = dict.fromkeys(("study_date", "study_time", "study_id", "referring_physician"), "")
    images = result.images.model_copy(
        update={**empty, "thickness_mm": None, "frame_of_reference_uid": "1.2"}
    )
    identity = type(result.identity)("", "", "", "", result.identity.study_uid, "")
    bare = StoredResult(
        result.report, result.at, identity, images, result.numbers, result.key_png, None
    )

    assert len(list(objects_of(bare, KINDS))) == 5


IDENTITIES = (
    {"birth_date": "1950"},
    {"birth_date": "01.01.1950"},
    {"birth_date": "1950-01-01"},
    {"sex": "MALE"},
    {"sex": "X"},
    {"patient_name": "Yamada^Tarou=山田^太郎=やまだ^たろう"},
    {"patient_name": "A" * 200},
    {"patient_name": "DOE^JANE\\DOE^JOHN"},
    {"patient_id": "ä" * 80},
    {"accession": "A" * 30},
)
IMAGES = (
    {"study_date": "2026.11.30", "study_time": "08:30:00"},
    {"study_date": "garbage", "study_time": "99"},
    {"study_time": "083000.1234567"},
    {"study_date": "20261130-20261201"},
    {"study_id": "S" * 40},
    {"referring_physician": "A=B=C=D"},
    {"referring_physician": "Grey^Meredith\\Yang^Cristina"},
    {"sop_class_uid": ""},
    {"frame_of_reference_uid": ""},
)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("who", IDENTITIES, ids=str)
def test_no_odd_word_about_the_patient_is_an_obstacle(who: dict[str, str]) -> None:
    result = stored_result(size=64)

    objects = objects_of(replace(result, identity=replace(result.identity, **who)), KINDS)

    for one in objects:
        one.save_as(BytesIO(), enforce_file_format=True)
        name = who.get("patient_name", "Müller^Jörg")
        assert one.PatientName == name.partition("\\")[0]
        assert one.PatientID == who.get("patient_id", "P1")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("said", IMAGES, ids=str)
def test_no_odd_word_about_the_study_is_an_obstacle(said: dict[str, str]) -> None:
    result = stored_result(size=64)

    objects = objects_of(replace(result, images=result.images.model_copy(update=said)), KINDS)

    assert len([one.save_as(BytesIO(), enforce_file_format=True) for one in objects]) == 5


@pytest.mark.parametrize(
    ("written", "date"),
    [
        ("20261130", "20261130"),
        ("2026.11.30", "20261130"),
        ("20261399", ""),
        ("2026", ""),
        ("", ""),
    ],
)
def test_a_date_is_a_date_or_left_out(written: str, date: str) -> None:
    assert date_of(written) == date


@pytest.mark.parametrize(
    ("written", "time"),
    [("083000", "083000"), ("08:30:00", "083000"), ("083000.1234567", "083000.123456"),
     ("08", "08"), ("99", ""), ("0", ""), ("", "")],
)  # fmt: skip
def test_a_time_is_a_time_or_left_out(written: str, time: str) -> None:
    assert time_of(written) == time


DIGEST = """
import hashlib, io
from agent.deliver.dicom.objects import objects_of
from agent.deliver.settings import KINDS
from tests.agent.deliver.results import stored_result
for one in objects_of(stored_result(), KINDS):
    written = io.BytesIO()
    one.save_as(written, enforce_file_format=True)
    print(hashlib.sha256(written.getvalue()).hexdigest())
"""


@pytest.mark.slow
def test_made_again_by_another_process_every_object_is_the_same() -> None:
    first, second = (
        subprocess.run([sys.executable, "-c", DIGEST], capture_output=True, text=True, check=True)
        for _ in range(2)
    )

    assert len(first.stdout.split()) == 5
    assert first.stdout == second.stdout


def test_a_uid_is_a_uid() -> None:
    uids = {instance_uid("some result", kind) for kind in KINDS}

    assert len(uids) == len(KINDS)
    assert all(uid.is_valid and uid.startswith("2.25.") for uid in uids)
