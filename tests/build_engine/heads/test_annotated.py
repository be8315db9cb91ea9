"""A site's own heads, annotated, become cases to train on."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest

from agent.assemble.dicom_file import read_slices
from agent.assemble.limits import ReadLimits
from agent.assemble.series import GrowingSeries
from agent.errors import ConfigError
from agent.preprocess import SliceInput
from agent.records import Subtype
from build_engine.heads.annotated import BOXES, MASK, SCAN, annotated_case, studies_in
from tests.phantoms import write_series

CONTRACT = SliceInput(1.0, 256, 2.5, 1, ((0.0, 80.0),), 4)
NAMES = {1: Subtype.SUBDURAL, 4: Subtype.EPIDURAL}
SHAPE_XYZ = (60, 80, 12)

RAS = np.diag([3.0, 3.0, 5.0, 1.0])
LPS_DOWN = np.diag([-3.0, -3.0, -5.0, 1.0])
TURNED = np.array([[0.0, 3.0, 0.0, -90.0], [3.0, 0.0, 0.0, -120.0], [0, 0, 5.0, 0], [0, 0, 0, 1]])


def write_study(folder: Path, affine: np.ndarray, labels: tuple[int, int] = (1, 4)) -> Path:
    """A ball of brain; label 1 in its left front, label 4 in its right back, higher up."""
    shape = SHAPE_XYZ if affine[0, 1] == 0 else (80, 60, 12)
    index = np.indices(shape).reshape(3, -1)
    centre = affine[:3, :3] @ ((np.array(shape) - 1) / 2) + affine[:3, 3]
    x, y, z = (affine[:3, :3] @ index + affine[:3, 3:] - centre[:, None]).reshape(3, *shape)
    hu = np.where(np.hypot(x, y) < 75, 32.0, -1000.0)
    hu[(np.hypot(x, y) >= 75) & (np.hypot(x, y) < 82)] = 900.0
    mask = np.zeros(shape)
    mask[(np.hypot(x + 40, y - 40) < 12) & (z < -10)] = labels[0]
    mask[(np.hypot(x - 40, y + 40) < 12) & (z > 10)] = labels[1]
    hu[mask > 0] = 70.0
    folder.mkdir(parents=True)
    nibabel.save(nibabel.Nifti1Image(hu, affine), folder / SCAN)
    nibabel.save(nibabel.Nifti1Image(mask.astype(np.int16), affine), folder / MASK)
    return folder


@pytest.mark.parametrize("affine", [RAS, LPS_DOWN, TURNED], ids=["RAS", "LPS, downwards", "turned"])
def test_however_a_scan_is_stored_left_front_and_up_are_the_patients(
    tmp_path: Path, affine: np.ndarray
):
    case = annotated_case(write_study(tmp_path / "one", affine), NAMES, CONTRACT)

    _, rows, columns = (at.mean() for at in np.nonzero(case.subtypes == Subtype.SUBDURAL))
    low = np.nonzero((case.subtypes == Subtype.SUBDURAL).any(axis=(1, 2)))[0]
    high = np.nonzero((case.subtypes == Subtype.EPIDURAL).any(axis=(1, 2)))[0]
    assert rows < 128 < columns  # the patient's left front lies up and right in a field
    assert low.max() < high.min()
    blood_hu = case.fields[case.subtypes > 0]
    assert np.median(blood_hu) == pytest.approx(70.0, abs=2.0)
    assert case.named
    assert case.real
    assert case.boxed.sum() == len(low) + len(high)


def test_a_dicom_series_with_a_mask_is_read_too(tmp_path: Path):
    series = GrowingSeries()
    for path in write_series(tmp_path / "dicom", 12):
        series.add(*read_slices(path, ReadLimits())[0])
    grid = series.volume().grid
    to_lps = np.eye(4)
    to_lps[:3, 0] = np.array(grid.row_direction) * grid.column_spacing_mm
    to_lps[:3, 1] = np.array(grid.column_direction) * grid.row_spacing_mm
    to_lps[:3, 2] = grid.origins_lps_mm[1] - grid.origins_lps_mm[0]
    to_lps[:3, 3] = grid.origins_lps_mm[0]
    mask = np.zeros(grid.shape_kji[::-1], dtype=np.int16)
    mask[40:50, 20:30, 5:9] = 4
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ to_lps
    nibabel.save(nibabel.Nifti1Image(mask, affine), tmp_path / "dicom" / MASK)

    case = annotated_case(tmp_path / "dicom", NAMES, CONTRACT)

    assert np.flatnonzero(case.boxed).tolist() == [5, 6, 7, 8]
    rows, columns = (at.mean() for at in np.nonzero(case.subtypes[6] == Subtype.EPIDURAL))
    assert (rows - 127.5, columns - 127.5) == pytest.approx(
        ((24.5 - 31.5) * grid.row_spacing_mm, (44.5 - 31.5) * grid.column_spacing_mm), abs=1.5
    )


HEAD_LINE = "slice,column0,row0,column1,row1,label"


def box_about(mask: np.ndarray, label: int) -> list[str]:
    """One row of boxes.csv for each slice of a mask (x, y, z) that shows the label."""
    rows = []
    for z in np.flatnonzero((mask == label).any(axis=(0, 1))):
        x, y = np.nonzero(mask[:, :, z] == label)
        rows.append(f"{z},{x.min() - 1},{y.min() - 1},{x.max() + 1},{y.max() + 1},{label}")
    return rows


@pytest.mark.parametrize("affine", [RAS, LPS_DOWN, TURNED], ids=["RAS", "LPS, downwards", "turned"])
def test_boxes_instead_of_a_mask_find_the_same_blood(tmp_path: Path, affine: np.ndarray):
    study = write_study(tmp_path / "one", affine)
    masked = annotated_case(study, NAMES, CONTRACT)
    mask = np.asarray(nibabel.load(study / MASK).dataobj)
    rows = [HEAD_LINE, *box_about(mask, 1), *box_about(mask, 4)]
    (study / BOXES).write_text("\n".join(rows))
    (study / MASK).unlink()

    boxed = annotated_case(study, NAMES, CONTRACT)

    for subtype in NAMES.values():
        found, true = boxed.subtypes == subtype, masked.subtypes == subtype
        assert np.count_nonzero(found & true) > 0.8 * np.count_nonzero(true)
        assert not (found & ~true & (masked.fields < 47)).any()  # brain in a box is no blood
        assert found.any(axis=(1, 2)).tolist() == true.any(axis=(1, 2)).tolist()


def test_boxes_of_a_dicom_series_name_the_image_they_were_drawn_in(tmp_path: Path):
    paths = write_series(tmp_path / "one", 12)
    uid, bright = read_slices(paths[7], ReadLimits())[0]
    for path in paths:
        image = pydicom.dcmread(path)
        if image.SOPInstanceUID == uid.sop_uid:
            hu = np.full_like(image.pixel_array, 30 - int(image.RescaleIntercept))
            hu[40:50, 20:36] = 70 - int(image.RescaleIntercept)
            image.PixelData = hu.tobytes()
            image.save_as(path)
    (tmp_path / "one" / BOXES).write_text(f"{HEAD_LINE}\n{uid.sop_uid},18,38,37,51,4\n")

    case = annotated_case(tmp_path / "one", NAMES, CONTRACT)

    blood = case.subtypes == Subtype.EPIDURAL
    assert np.flatnonzero(blood.any(axis=(1, 2))).tolist() == [7]
    rows, columns = (at.mean() - 127.5 for at in np.nonzero(blood[7]))
    middle_ji = (44.5 - (bright.shape[0] - 1) / 2, 27.5 - (bright.shape[1] - 1) / 2)
    spacing_ji_mm = uid.row_spacing_mm, uid.column_spacing_mm
    assert (rows, columns) == pytest.approx(
        tuple(at * mm for at, mm in zip(middle_ji, spacing_ji_mm, strict=True)), abs=1.5
    )


def test_boxes_without_a_row_say_that_nothing_bleeds(tmp_path: Path):
    study = write_study(tmp_path / "one", RAS)
    (study / MASK).unlink()
    (study / BOXES).write_text(HEAD_LINE + "\n")

    case = annotated_case(study, NAMES, CONTRACT)

    assert not case.subtypes.any()
    assert not case.boxed.any()


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("3,10,10,20,20,9", "label 9 has no name"),
        ("3,10,10,20,x,1", "is no box"),
        ("3,10,10,20", "is no box"),
        ("3,20,10,10,20,1", "empty or begins outside"),
        ("3,-1,10,10,20,1", "empty or begins outside"),
        ("12,10,10,20,20,1", "holds no such place"),
        ("3,10,10,60,20,1", "holds no such place"),
    ],
)
def test_a_box_that_cannot_be_is_refused(tmp_path: Path, row: str, reason: str):
    study = write_study(tmp_path / "one", RAS)
    (study / MASK).unlink()
    (study / BOXES).write_text(f"{HEAD_LINE}\n{row}\n")

    with pytest.raises(ConfigError, match=reason):
        annotated_case(study, NAMES, CONTRACT)


def test_a_study_with_both_a_mask_and_boxes_is_refused(tmp_path: Path):
    study = write_study(tmp_path / "site" / "one", RAS)
    (study / BOXES).write_text(HEAD_LINE + "\n")

    with pytest.raises(ConfigError, match="both"):
        studies_in(tmp_path / "site")


def test_a_value_without_a_name_is_refused(tmp_path: Path):
    study = write_study(tmp_path / "one", RAS, labels=(1, 9))

    with pytest.raises(ConfigError, match=r"values \[9\] have no name"):
        annotated_case(study, NAMES, CONTRACT)


def test_a_folder_without_studies_or_without_a_mask_is_refused(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    (write_study(tmp_path / "site" / "one", RAS) / MASK).unlink()

    with pytest.raises(ConfigError, match="holds no folder"):
        studies_in(tmp_path / "empty")
    with pytest.raises(ConfigError, match=r"has neither mask\.nii\.gz nor boxes\.csv"):
        studies_in(tmp_path / "site")
