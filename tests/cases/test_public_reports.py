"""What users of other programs have reported of real files, made anew: no row is missing for any.

Each is named for the project and the number of its issue or pull request.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless

from agent.assemble.dicom_file import read_slices
from agent.assemble.header import SliceRefused
from agent.assemble.limits import ReadLimits
from build_engine.bench.corpus import outcomes_of
from tests.cases.conftest import Answer
from tests.cases.exports import head, save, save_all

PIXELS = b"\xe0\x7f\x10\x00"
DELIMITER = b"\xfe\xff\xdd\xe0\0\0\0\0"
UNDEFINED = b"\xff\xff\xff\xff"
ICON = b"\x88\x00\x00\x02SQ\0\0"


def encoded(image: Dataset, path: Path) -> bytes:
    return save(image, path).read_bytes()


def delimiter_within_a_fragment(image: Dataset, path: Path) -> bytes:
    """pydicom 1140: compressed pixels hold the bytes of a sequence delimiter."""
    image.compress(RLELossless, generate_instance_uid=False)
    content = encoded(image, path)
    body, end = content.removesuffix(DELIMITER), DELIMITER
    at = body.rindex(b"\xfe\xff\x00\xe0")
    length = int.from_bytes(body[at + 4 : at + 8], "little") + 8
    fragment = body[at + 8 :] + b"\xfe\xff\xdd\xe0\x01\x02\x03\x04"
    return body[: at + 4] + length.to_bytes(4, "little") + fragment + end


def no_delimiter_at_the_end(image: Dataset, path: Path) -> bytes:
    """pydicom 1799: the file ends before the delimiter."""
    image.compress(RLELossless, generate_instance_uid=False)
    return encoded(image, path).removesuffix(DELIMITER)


def syntax_of_another(image: Dataset, path: Path) -> bytes:
    """dicom.ts 20: stored by a chain of programs, the last of which wrote another syntax."""
    content = encoded(image, path)
    return content.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2\0\0\0", 1)


def no_preamble_and_no_meta(image: Dataset, path: Path) -> bytes:
    """dicomParser 12: nothing but the data set, in implicit VR."""
    image.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    image.save_as(path, implicit_vr=True, little_endian=True)
    content = path.read_bytes()
    return content[content.index(b"\x08\x00\x05\x00") :]


def icon_of_undefined_length(image: Dataset, path: Path) -> bytes:
    """fo-dicom 763: an icon before the pixels, encapsulated, that zeros close."""
    inside = b"\xe0\x7f\x10\x00OB\0\0" + UNDEFINED + b"\xfe\xff\x00\xe0\0\0\0\0" + DELIMITER
    item = b"\xfe\xff\x00\xe0" + UNDEFINED + inside + b"\xfe\xff\x0d\xe0\0\0\0\0"
    content = encoded(image, path)
    at = content.rindex(PIXELS)
    return content[:at] + ICON + UNDEFINED + item + DELIMITER + content[at:]


def odd_length(image: Dataset, path: Path) -> bytes:
    """fo-dicom 284: pixels of an odd number of bytes."""
    content = encoded(image, path)
    at = content.rindex(PIXELS)
    length = int.from_bytes(content[at + 8 : at + 12], "little") + 1
    return content[: at + 8] + length.to_bytes(4, "little") + content[at + 12 :] + b"\0"


def unknown_elements_before_the_pixels(image: Dataset, path: Path) -> bytes:
    """dicomParser 49: a private sequence whose elements are of no known kind."""
    content = encoded(image, path)
    at = content.index(b"\x20\x00\x0d\x00UI")
    inside = b"\x19\x00\x02\x10??\0\0\0\0\0\0\x19\x00\x05\x10??\0\0\x02\0\0\x0030"
    item = b"\xfe\xff\x00\xe0" + len(inside).to_bytes(4, "little") + inside
    return content[:at] + b"\x19\x00\x01\x10SQ\0\0" + UNDEFINED + item + DELIMITER + content[at:]


def negative_spacing_between_slices(image: Dataset, path: Path) -> bytes:
    """Slicer 7987: Spacing Between Slices is negative, or nonsense; positions count."""
    image.SpacingBetweenSlices = "-5"
    return encoded(image, path)


READ = [
    delimiter_within_a_fragment,
    no_delimiter_at_the_end,
    syntax_of_another,
    no_preamble_and_no_meta,
    icon_of_undefined_length,
    odd_length,
    unknown_elements_before_the_pixels,
    negative_spacing_between_slices,
]


@pytest.mark.parametrize("write", READ, ids=lambda write: write.__name__)
def test_it_is_read_as_the_image_that_it_is(write: Callable, tmp_path: Path) -> None:
    (whole,) = read_slices(save(head()[10], tmp_path / "whole"), ReadLimits())

    content = write(head()[10], tmp_path / "made")
    (tmp_path / "odd").write_bytes(content)
    (read,) = read_slices(tmp_path / "odd", ReadLimits())

    assert read.header.digest == whole.header.digest
    assert read.header.position_lps_mm == whole.header.position_lps_mm


def without_pixels(image: Dataset) -> None:
    """cornerstone 623, vindr-cxr 3: a CT image without Pixel Data."""
    del image.PixelData
    image.add_new(0xFFFCFFFC, "OB", b"\1" * 8)


def of_several_frames(image: Dataset) -> None:
    """Slicer 7496: one CT Image with many frames, and one position."""
    image.NumberOfFrames = 3
    image.PixelData = image.PixelData * 3


def video(image: Dataset) -> None:
    """A syntax that no CT should have."""
    image.PixelData = encapsulate([b"\0\0\1\xb3" * 50])
    image["PixelData"].VR, image["PixelData"].is_undefined_length = "OB", True
    image.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.100"


@pytest.mark.parametrize(
    "spoil", [without_pixels, of_several_frames, video], ids=lambda spoil: spoil.__name__
)
def test_what_cannot_be_read_names_its_series(spoil: Callable, tmp_path: Path) -> None:
    image = head()[10]
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    spoil(image)

    with pytest.raises(SliceRefused) as refused:
        read_slices(save(image, tmp_path / "odd"), ReadLimits())

    assert refused.value.owner.series_uid == image.SeriesInstanceUID


def test_images_of_no_bytes_leave_gaps_that_are_named(answer: Answer, tmp_path: Path) -> None:
    """dcm2niix 156: of some images nothing came but their names."""
    paths = save_all(head(), tmp_path / "in")
    for path in paths[10:13]:
        path.write_bytes(b"")

    report = answer(tmp_path / "in")

    assert report.state == "not_analysed"
    assert "slices missing" in report.text


def test_positions_that_are_nonsense_leave_gaps_that_are_named(
    answer: Answer, tmp_path: Path
) -> None:
    """dcm2niix 539: in some headers positions are what memory held."""
    images = head()
    for image in images[10:12]:
        image.ImagePositionPatient = ["2.95029e-39", "3.42362e+09", "3.825"]
    save_all(images, tmp_path / "in")

    report = answer(tmp_path / "in")

    assert report.state == "not_analysed"
    assert "slices missing" in report.text


@pytest.mark.slow
def test_a_corpus_of_all_of_them_has_no_file_without_a_row(tmp_path: Path) -> None:
    for write in READ:
        (tmp_path / write.__name__).write_bytes(write(head()[10], tmp_path / "made"))
    (tmp_path / "notes.txt").write_text("not an image")

    outcomes = {one.path.name: one.fate for one in outcomes_of(sorted(tmp_path.iterdir()))}

    assert "no row" not in outcomes.values()
    assert outcomes["notes.txt"] == "left out"
