"""Other projects' own test files: no CT image among them is without a row."""

from __future__ import annotations

import importlib.util
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from agent.assemble.dicom_file import read_slices
from agent.assemble.limits import ReadLimits
from build_engine.bench.corpus import outcomes_of


def folder_of(package: str) -> Path:
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        pytest.skip(f"{package} is not installed")
    return Path(found.origin).parent


@pytest.mark.slow
@pytest.mark.parametrize(
    ("package", "at_least"), [("pydicom", 60), ("data_store", 6)], ids=["pydicom", "pydicom-data"]
)
def test_no_ct_image_is_without_a_row(package: str, at_least: int) -> None:
    folder = folder_of(package) / "data"
    paths = sorted(path for path in folder.rglob("*") if path.is_file())

    fates = Counter(one.fate for one in outcomes_of(paths))

    assert fates["no row"] == 0
    assert fates["slices"] + fates["row with the reason"] >= at_least


@pytest.mark.slow
@pytest.mark.parametrize("package", ["pydicom", "data_store"])
@pytest.mark.filterwarnings("ignore")
def test_ct_images_have_the_values_that_pydicom_gives_them(package: str) -> None:
    folder = folder_of(package) / "data"
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    shown = [one.path for one in outcomes_of(paths) if one.fate == "slices"]

    compared = 0
    for path in shown:
        image = dcmread(path, force=True)
        (first, *_) = read_slices(path, ReadLimits())
        if "PerFrameFunctionalGroupsSequence" in image:
            continue
        hu = np.rint(image.pixel_array * float(image.RescaleSlope) + float(image.RescaleIntercept))
        assert np.array_equal(first.hu, hu.clip(-32768, 32767)), path.name
        compared += 1

    assert compared > 0
