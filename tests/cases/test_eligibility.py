"""Plain heads that a word once refused, and what the images say where words disagree."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset

from tests.cases.conftest import Answer
from tests.cases.exports import head, hu_of, save_all, set_stored


def called(images: list[Dataset], **attributes: str) -> list[Dataset]:
    for image in images:
        for keyword, value in attributes.items():
            setattr(image, keyword, value)
    return images


@pytest.mark.slow
@pytest.mark.parametrize(
    "description", ["STD BRAIN 1MM, iDose", "PLAIN THIN, iDose (4)", "Head 5mm low dose"]
)
def test_a_dose_or_an_iterative_reconstruction_in_the_name_is_no_dose_report(
    answer: Answer, tmp_path: Path, description: str
) -> None:
    philips = {"Manufacturer": "Philips", "ManufacturerModelName": "Ingenuity CT"}
    images = called(head(), SeriesDescription=description, ConvolutionKernel="UB", **philips)
    save_all(images, tmp_path / "in")

    assert answer(tmp_path / "in").state == "not_suspected"


@pytest.mark.slow
@pytest.mark.parametrize(
    "attributes",
    [
        {"SeriesDescription": "CT HEAD WO IV CONTRAST"},
        {"SeriesDescription": "CT HEAD WITHOUT IV CONTRAST"},
        {"SeriesDescription": "Head_WO_CONTRAST"},
        {"SeriesDescription": "CRANE SANS CONTRASTE"},
        {"SeriesDescription": "CEREBRO SIN CONTRASTE"},
        {"SeriesDescription": "Tete sans IV", "BodyPartExamined": "CRANE"},
        {"SeriesDescription": "Craneo simple", "BodyPartExamined": "CRANEO"},
        {"SeriesDescription": "Head 5.0", "ContrastBolusAgent": "N/A"},
        {"SeriesDescription": "Head 5.0", "ContrastBolusAgent": "WITHOUT CONTRAST"},
        {"SeriesDescription": "", "StudyDescription": "CT HEAD W/O IV CONTRAST"},
        {"SeriesDescription": "Unenhanced head"},
        {"SeriesDescription": "HEAD (trauma, orbits incl.)"},
    ],
    ids=str,
)
def test_a_head_without_contrast_is_analysed_in_whatever_words_it_is_said(
    answer: Answer, tmp_path: Path, attributes: dict[str, str]
) -> None:
    save_all(called(head(), **attributes), tmp_path / "in")

    report = answer(tmp_path / "in")

    assert (report.state, report.caveats) == ("not_suspected", ())


def test_where_words_disagree_and_no_vessel_shows_contrast_it_is_analysed_with_the_caveat(
    answer: Answer, tmp_path: Path
) -> None:
    said = {"SeriesDescription": "CT HEAD WO", "ContrastBolusAgent": "OMNIPAQUE 350"}
    save_all(called(head(), **said), tmp_path / "in")

    report = answer(tmp_path / "in")

    assert report.state == "not_suspected"
    (caveat,) = report.caveats
    assert "contrast agent is not excluded" in str(caveat)


def test_where_words_disagree_and_vessels_show_contrast_it_is_refused(
    answer: Answer, tmp_path: Path
) -> None:
    said = {"SeriesDescription": "CT HEAD WO", "ContrastBolusAgent": "OMNIPAQUE 350"}
    images = called(head(), **said)
    for image in images:
        with_vessels(image)
    save_all(images, tmp_path / "in")

    report = answer(tmp_path / "in")

    assert (report.state, report.code) == ("not_analysed", "contrast_seen")


def with_vessels(image: Dataset) -> None:
    """Draw six vessels of 8 mm that rise through the brain."""
    hu = hu_of(image)
    rows, columns = np.indices(hu.shape)
    head_rows, head_columns = np.nonzero(hu > -300)
    if not len(head_rows):
        return
    for row_mm, column_mm in ((-20, -25), (-20, 25), (5, -30), (5, 30), (30, -20), (30, 20)):
        row = head_rows.mean() + row_mm / float(image.PixelSpacing[0])
        column = head_columns.mean() + column_mm / float(image.PixelSpacing[1])
        vessel = np.hypot(rows - row, columns - column) * float(image.PixelSpacing[0]) < 4
        hu[vessel & (hu > 0) & (hu < 60)] = 300
    set_stored(image, hu - int(image.RescaleIntercept))
