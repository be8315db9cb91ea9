"""A segmentation that 3D Slicer saves is read: it writes them by dcmqi, as is done here."""

from __future__ import annotations

import json
import subprocess
import sysconfig
from pathlib import Path

import numpy as np
import pytest

from agent.deliver.dicom.drawn import DrawnOn, measured, read_segmentation, series_referred_to
from agent.deliver.result import StoredResult
from agent.errors import FileRefused
from tests.agent.deliver.results import HEIGHTS_MM, image_files, stored_result

WRITER = Path(sysconfig.get_path("scripts")) / "itkimage2segimage"

CODES = {
    "SegmentedPropertyCategoryCodeSequence": (
        "49755003",
        "SCT",
        "Morphologically Altered Structure",
    ),
    "SegmentedPropertyTypeCodeSequence": ("50960005", "SCT", "Hemorrhage"),
}


def nrrd(labels: np.ndarray, result: StoredResult) -> bytes:
    """Write labels (k, row, column) as Slicer does, in the patient's space."""
    of = result.images
    first, last = (np.array(of.images[k].position_lps_mm) for k in (0, -1))
    step_mm = (last - first) / (len(of.images) - 1)
    down_mm, across_mm = of.pixel_spacing_mm
    across = np.array(of.row_direction) * across_mm
    down = np.array(of.column_direction) * down_mm
    axes = " ".join(
        "({})".format(",".join(f"{v:.9f}" for v in axis)) for axis in (across, down, step_mm)
    )
    header = (
        "NRRD0004\ntype: short\ndimension: 3\nspace: left-posterior-superior\n"
        f"sizes: {' '.join(map(str, labels.shape[::-1]))}\nspace directions: {axes}\n"
        "kinds: domain domain domain\nendian: little\nencoding: raw\n"
        f"space origin: {_vector(first)}\n\n"
    )
    return header.encode() + labels.astype("<i2").tobytes()


def _vector(values: np.ndarray) -> str:
    return "({})".format(",".join(f"{value:.9f}" for value in values))


def saved(folder: Path, labels: np.ndarray, result: StoredResult) -> bytes:
    """Save labels as a segmentation of the result's images."""
    images = folder / "images"
    images.mkdir()
    for k, image in enumerate(image_files(result)):
        (images / f"{k:04d}.dcm").write_bytes(image)
    segments = [
        {
            "labelID": int(number),
            "SegmentDescription": f"corrected {number}",
            "SegmentLabel": f"corrected {number}",
            "SegmentAlgorithmType": "MANUAL",
            "recommendedDisplayRGBValue": [255, 0, 0],
        }
        | {
            name: {"CodeValue": value, "CodingSchemeDesignator": scheme, "CodeMeaning": meaning}
            for name, (value, scheme, meaning) in CODES.items()
        }
        for number in np.unique(labels[labels > 0])
    ]
    about = {
        "ContentCreatorName": "Reader^Rae",
        "SeriesDescription": "Segmentation",
        "segmentAttributes": [segments],
    }
    (folder / "about.json").write_text(json.dumps(about))
    (folder / "labels.nrrd").write_bytes(nrrd(labels, result))
    made = folder / "saved.dcm"
    subprocess.run(
        [
            WRITER, "--inputImageList", folder / "labels.nrrd", "--inputDICOMDirectory", images,
            "--inputMetadata", folder / "about.json", "--outputDICOM", made, "--skip",
        ],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    return made.read_bytes()


@pytest.mark.parametrize("tilt_deg", [0.0, 15.0])
def test_what_slicer_saves_of_a_corrected_finding_is_read_as_the_readers(
    tmp_path: Path, tilt_deg: float
) -> None:
    result = stored_result(tilt_deg=tilt_deg)
    corrected = np.where(result.numbers == 1, result.numbers, 0)
    corrected[:, ::2] = 0

    data = read_segmentation(saved(tmp_path, corrected, result))

    series_uid = result.report.series_uid
    assert series_referred_to(data) == [series_uid]
    drawn = measured(data, DrawnOn(series_uid, result.identity, result.images))
    (segment,) = drawn.segments
    expected_ml = float((corrected > 0).sum(axis=(1, 2)) @ result.images.voxels_ml)
    assert segment.volume_ml == pytest.approx(expected_ml)
    assert segment.label == "corrected 1"
    assert drawn.by == "Reader^Rae"


def test_what_it_saves_of_an_unevenly_spaced_head_is_refused_by_name(tmp_path: Path) -> None:
    result = stored_result(heights_mm=HEIGHTS_MM["uneven"])
    data = read_segmentation(saved(tmp_path, np.where(result.numbers == 1, 1, 0), result))

    with pytest.raises(FileRefused) as refused:
        measured(data, DrawnOn(result.report.series_uid, result.identity, result.images))
    assert refused.value.reason.code == "drawing_frames_unnamed"
