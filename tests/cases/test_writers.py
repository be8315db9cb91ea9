"""Heads exported again by other people's programs: the same values in the same places."""

from __future__ import annotations

import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless, generate_uid

from agent.assemble.dicom_file import ReadSlice, read_slices
from agent.assemble.limits import ReadLimits
from tests.cases.exports import head, save_all

GDCM = Path(sys.executable).with_name("gdcmconv")

DCMTK = {
    "implicit": ("dcmconv", "+ti"),
    "big-endian": ("dcmconv", "+tb"),
    "deflated": ("dcmconv", "+td"),
    "data set alone": ("dcmconv", "-F"),
    "RLE": ("dcmcrle",),
    "JPEG-LS": ("dcmcjpls", "+el"),
    "JPEG lossless": ("dcmcjpeg", "+el"),
    "JPEG lossless, first order": ("dcmcjpeg", "+e1"),
    "JPEG lossless, in fragments": ("dcmcjpeg", "+e1", "+fs", "4"),
}

DCMTK_LOSSY = {
    "sequential": ("dcmcjpeg", "+ee"),
    "progressive": ("dcmcjpeg", "+ep"),
    "spectral selection": ("dcmcjpeg", "+es"),
}

GDCM_WAYS = {
    "raw": ("-w",),
    "implicit": ("--raw", "--implicit"),
    "deflated": ("--deflated",),
    "JPEG": ("-J",),
    "JPEG 2000": ("-K",),
    "JPEG-LS": ("-L",),
    "RLE": ("-R",),
}


def scanner_files(folder: Path) -> list[Path]:
    """A few slices of 12 bits, as scanners store them."""
    images = head()[4::9]
    for image in images:
        image.BitsStored, image.HighBit = 12, 11
        stored = np.clip(image.pixel_array, 0, 4095).astype("<u2")
        image.PixelData = stored.tobytes()
    return save_all(images, folder)


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return scanner_files(tmp_path_factory.mktemp("scanner"))


def by(program: tuple[str, ...], originals: list[Path], folder: Path) -> list[ReadSlice]:
    if shutil.which(program[0]) is None:
        pytest.skip(f"{program[0]} is not here")
    found = []
    for path in originals:
        subprocess.run([*program, path, folder / path.name], check=True, capture_output=True)
        found += read_slices(folder / path.name, ReadLimits())
    return found


def as_they_were(originals: list[Path]) -> list[ReadSlice]:
    return [read_slices(path, ReadLimits())[0] for path in originals]


def same(found: list[ReadSlice], originals: list[Path]) -> None:
    before = as_they_were(originals)
    assert [one.header.digest for one in found] == [one.header.digest for one in before]
    assert [one.header.position_lps_mm for one in found] == [
        one.header.position_lps_mm for one in before
    ]


@pytest.mark.parametrize("program", DCMTK.values(), ids=DCMTK)
def test_dcmtk(program: tuple, originals: list[Path], tmp_path: Path) -> None:
    same(by(program, originals, tmp_path), originals)


@pytest.mark.parametrize("program", DCMTK_LOSSY.values(), ids=DCMTK_LOSSY)
def test_lossy_jpeg_by_dcmtk(program: tuple, originals: list[Path], tmp_path: Path) -> None:
    for found, before in zip(
        by(program, originals, tmp_path), as_they_were(originals), strict=True
    ):
        assert found.header.lossy
        assert np.abs(found.hu.astype(int) - before.hu).mean() < 5


@pytest.mark.parametrize("way", GDCM_WAYS.values(), ids=GDCM_WAYS)
def test_gdcm(way: tuple, originals: list[Path], tmp_path: Path) -> None:
    same(by((str(GDCM), *way), originals, tmp_path), originals)


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless])
def test_pydicom(syntax: str, originals: list[Path], tmp_path: Path) -> None:
    found = []
    for path in originals:
        image = dcmread(path)
        image.compress(syntax, generate_instance_uid=False)
        image.save_as(tmp_path / path.name)
        found += read_slices(tmp_path / path.name, ReadLimits())
    same(found, originals)


def test_legacy_converted_enhanced_ct_by_highdicom(originals: list[Path], tmp_path: Path) -> None:
    legacy = pytest.importorskip("highdicom.legacy")
    images = [dcmread(path) for path in originals]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = legacy.LegacyConvertedEnhancedCTImage(
            images,
            series_instance_uid=generate_uid(),
            series_number=9,
            sop_instance_uid=generate_uid(),
            instance_number=1,
        )
    made.save_as(tmp_path / "one")

    frames = read_slices(tmp_path / "one", ReadLimits())

    same(sorted(frames, key=lambda one: one.header.position_lps_mm[2]), originals)
