"""Heads exported again by other people's programs: the same values in the same places."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
import urllib.request
import warnings
import zipfile
from collections.abc import Iterator
from email import message_from_bytes, policy
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    EnhancedCTImageStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
    generate_uid,
)

from agent.assemble.dicom_file import ReadSlice, read_slices
from agent.assemble.limits import ReadLimits
from tests.agent.deliver.archives import Orthanc, needs_orthanc
from tests.cases.conftest import Answer
from tests.cases.exports import head, save, save_all

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


OF_FRAMES = {
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "SliceThickness",
    "SliceLocation",
    "RescaleSlope",
    "RescaleIntercept",
    "RescaleType",
    "InstanceNumber",
    "PixelData",
    "ConvolutionKernel",
}
"""What an Enhanced CT object has in its functional groups, or not at all."""


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


@pytest.mark.slow
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


@pytest.mark.parametrize("n_objects", [1, 3], ids=["one object", "a concatenation"])
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless, JPEGLSLossless])
def test_enhanced_ct_by_pydicom(
    syntax: str, n_objects: int, originals: list[Path], tmp_path: Path
) -> None:
    """Each frame has its own place, and its own rescale, in functional groups."""
    images = [dcmread(path) for path in originals][::-1]
    found = []
    for n in range(n_objects):
        part = images[n * len(images) // n_objects : (n + 1) * len(images) // n_objects]
        made = enhanced(part, n + 1, n_objects)
        if syntax != ExplicitVRLittleEndian:
            made.compress(syntax, generate_instance_uid=False)
        found += read_slices(save(made, tmp_path / f"E{n}"), ReadLimits())

    same(sorted(found, key=lambda one: one.header.position_lps_mm[2]), originals)


def enhanced(images: list[Dataset], number: int, n_objects: int) -> Dataset:
    """Make one Enhanced CT object, the part ``number`` of a concatenation where there are more."""
    first = images[0]
    made = Dataset()
    for element in first:
        if element.keyword not in OF_FRAMES:
            made.add(element)
    made.SOPClassUID, made.SOPInstanceUID = EnhancedCTImageStorage, generate_uid()
    made.ImageType, made.NumberOfFrames = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"], len(images)
    if n_objects > 1:
        made.InConcatenationNumber, made.InConcatenationTotalNumber = number, n_objects
    shared = Dataset()
    shared.CTReconstructionSequence = [item(ConvolutionKernel="STANDARD")]
    made.SharedFunctionalGroupsSequence = [shared]
    made.PerFrameFunctionalGroupsSequence, pixels = [], []
    for n, image in enumerate(images):
        intercept = float(image.RescaleIntercept) - 3 * n
        groups = Dataset()
        groups.PlanePositionSequence = [item(ImagePositionPatient=image.ImagePositionPatient)]
        groups.PlaneOrientationSequence = [
            item(ImageOrientationPatient=image.ImageOrientationPatient)
        ]
        groups.PixelMeasuresSequence = [
            item(PixelSpacing=image.PixelSpacing, SliceThickness=image.SliceThickness)
        ]
        groups.PixelValueTransformationSequence = [
            item(RescaleSlope=1, RescaleIntercept=intercept, RescaleType="HU")
        ]
        made.PerFrameFunctionalGroupsSequence.append(groups)
        pixels.append((image.pixel_array + 3 * n).astype("<u2").tobytes())
    made.BitsStored, made.HighBit = 16, 15
    made.PixelData = b"".join(pixels)
    made["PixelData"].VR = "OW"
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    return made


def item(**values: object) -> Dataset:
    made = Dataset()
    for keyword, value in values.items():
        setattr(made, keyword, value)
    return made


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


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    with Orthanc(tmp_path_factory.mktemp("orthanc")) as archive:
        yield archive


def called(archive: Orthanc, path: str, body: bytes | None = None, accept: str = "*/*") -> bytes:
    request = urllib.request.Request(
        f"http://127.0.0.1:{archive.http_port}/{path}", body, {"Accept": accept}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.headers.as_bytes() + answer.read() if "multipart" in accept else answer.read()


def kept(archive: Orthanc, paths: list[Path]) -> tuple[str, str]:
    """Store images of one study: Orthanc's name for the study, and its UID."""
    stored = [json.loads(called(archive, "instances", path.read_bytes())) for path in paths]
    return stored[0]["ParentStudy"], str(dcmread(paths[0]).StudyInstanceUID)


def unpacked(archive: bytes, folder: Path) -> list[Path]:
    with zipfile.ZipFile(io.BytesIO(archive)) as files:
        files.extractall(folder)
    return [path for path in folder.rglob("*") if path.is_file() and path.name != "DICOMDIR"]


def read_again(paths: list[Path], originals: list[Path]) -> None:
    """Images keep their UIDs: in the order of the originals they are the same."""
    found = [read for path in paths for read in read_slices(path, ReadLimits())]
    by_uid = {one.header.sop_uid: one for one in found}
    same([by_uid[one.header.sop_uid] for one in as_they_were(originals)], originals)


@needs_orthanc
@pytest.mark.parametrize(
    "syntax",
    [
        None,
        ImplicitVRLittleEndian,
        DeflatedExplicitVRLittleEndian,
        JPEGLosslessSV1,
        JPEGLSLossless,
    ],
)
def test_orthanc_by_its_rest_interface(
    syntax: str | None, orthanc: Orthanc, originals: list[Path], tmp_path: Path
) -> None:
    study, _ = kept(orthanc, originals)
    asked = {"Synchronous": True} | ({"Transcode": syntax} if syntax else {})

    archive = called(orthanc, f"studies/{study}/archive", json.dumps(asked).encode())

    written = unpacked(archive, tmp_path)
    read_again(written, originals)
    syntaxes = {dcmread(path).file_meta.TransferSyntaxUID for path in written}
    assert syntaxes == {syntax or ExplicitVRLittleEndian}


@needs_orthanc
def test_orthanc_by_dicomweb(orthanc: Orthanc, originals: list[Path], tmp_path: Path) -> None:
    _, uid = kept(orthanc, originals)

    parts = message_from_bytes(
        called(
            orthanc,
            f"dicom-web/studies/{uid}",
            accept='multipart/related; type="application/dicom"; transfer-syntax=*',
        ),
        policy=policy.HTTP,
    )
    for n, part in enumerate(parts.iter_parts()):
        (tmp_path / f"D{n}").write_bytes(part.get_payload(decode=True))

    read_again(sorted(tmp_path.iterdir()), originals)


@pytest.mark.slow
@needs_orthanc
def test_a_medium_that_orthanc_writes_gives_the_same_answer(
    orthanc: Orthanc, answer: Answer, tmp_path: Path
) -> None:
    """With a DICOMDIR, and names of its own."""
    paths = save_all(head(bleed=True), tmp_path / "scanner")
    study, _ = kept(orthanc, paths)

    unpacked(called(orthanc, f"studies/{study}/media"), tmp_path / "medium")

    before, after = answer(tmp_path / "scanner", "dense"), answer(tmp_path / "medium", "dense")
    assert before.state == "suspected"
    assert (after.state, after.score, after.geometry) == (
        before.state,
        before.score,
        before.geometry,
    )
