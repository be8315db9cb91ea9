"""However a head was written, it is the same head."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset, write_file_meta_info
from pydicom.uid import (
    JPEG2000,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    JPEGLSNearLossless,
    LegacyConvertedEnhancedCTImageStorage,
    RLELossless,
)

from agent.assemble.dicom_file import read_slices
from agent.assemble.limits import ReadLimits
from tests.cases.conftest import Answer, Replay
from tests.cases.exports import head, renamed, save, save_all
from tests.phantoms import write_enhanced

N = 32
CHARSET = b"\x08\x00\x05\x00CS"
DELIMITER = b"\xfe\xff\xdd\xe0\0\0\0\0"
UNDEFINED = b"\xff\xff\xff\xff"


def written(image: Dataset, syntax: str, *, declared: str | None = None) -> bytes:
    """Encode an image in one uncompressed syntax, and have the meta information declare another."""
    implicit, little = syntax == ImplicitVRLittleEndian, syntax != ExplicitVRBigEndian
    if not little:
        stored = np.frombuffer(image.PixelData, "<u2").byteswap()
        image.PixelData = stored.tobytes()
    out = DicomBytesIO()
    out.is_little_endian, out.is_implicit_VR = True, False
    image.file_meta.TransferSyntaxUID = declared or syntax
    image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    out.write(b"\0" * 128 + b"DICM")
    write_file_meta_info(out, image.file_meta)
    out.is_little_endian, out.is_implicit_VR = little, implicit
    write_dataset(out, image)
    return out.getvalue()


def plain(image: Dataset) -> bytes:
    return written(image, ExplicitVRLittleEndian)


def dataset_only(content: bytes) -> bytes:
    """Leave out preamble and meta information, as a network store does."""
    group_length = int.from_bytes(content[140:144], "little")
    return content[144 + group_length :]


def without_transfer_syntax(image: Dataset) -> bytes:
    content = plain(image)
    at = content.index(b"\x02\x00\x10\x00UI")
    length = int.from_bytes(content[at + 6 : at + 8], "little")
    return content[:at] + content[at + 8 + length :]


def compressed(image: Dataset, syntax: str = RLELossless) -> bytes:
    image.compress(syntax, generate_instance_uid=False)
    out = DicomBytesIO()
    image.save_as(out, enforce_file_format=True)
    return out.getvalue()


def closed_by(end: bytes, syntax: str = RLELossless) -> Callable[[Dataset], bytes]:
    return lambda image: compressed(image, syntax).removesuffix(DELIMITER) + end


def padded_after(image: Dataset) -> bytes:
    """Leave the delimiter out, and go on with Data Set Trailing Padding."""
    return closed_by(b"\xfc\xff\xfc\xffOB\0\0\x04\0\0\0\0\0\0\0")(image)


def padded_by_any_byte(end: bytes) -> Callable[[Dataset], bytes]:
    """Make a frame's length even by a byte that is not zero, as DCMTK and so Orthanc do."""

    def write(image: Dataset) -> bytes:
        image.compress(JPEGLSLossless, generate_instance_uid=False)
        frame = next(generate_frames(image.PixelData, number_of_frames=1))
        stream = frame[: frame.rindex(b"\xff\xd9") + 2]
        padding = b"\x9c" if len(stream) % 2 else b"\x9c\x21"
        image.PixelData = encapsulate([stream + padding], has_bot=False)
        out = DicomBytesIO()
        image.save_as(out, enforce_file_format=True)
        return out.getvalue().removesuffix(DELIMITER) + end

    return write


def compressed_in_other_words(image: Dataset) -> bytes:
    """Transcode the pixels and declare them uncompressed all the same."""
    content = compressed(image, JPEGLSLossless)
    return content.replace(b"1.2.840.10008.1.2.4.80", b"1.2.840.10008.1.2.1\0\0\0")


def uncompressed_in_other_words(image: Dataset) -> bytes:
    return written(image, ExplicitVRLittleEndian, declared=JPEG2000Lossless)


def encapsulated_raw(image: Dataset) -> bytes:
    image.PixelData = encapsulate([image.PixelData])
    image["PixelData"].VR, image["PixelData"].is_undefined_length = "OB", True
    return written(image, ExplicitVRLittleEndian, declared="1.2.840.10008.1.2.1.98")


def as_text(*keywords: str, vr: str = "UT", comma: bool = False) -> Callable[[Dataset], bytes]:
    """Write numbers as a text of another value representation, or with decimal commas."""

    def write(image: Dataset) -> bytes:
        for keyword in keywords:
            element = image[keyword]
            values = element.value if element.VM > 1 else [element.value]
            found = "\\".join(f"{float(value):.10g}" for value in values)
            said = found.replace(".", ",") if comma else found
            image[element.tag] = DataElement(element.tag, vr, said)
        return plain(image)

    return write


def unknown_vr(*keywords: str) -> Callable[[Dataset], bytes]:
    """Write elements as UN, as archives do with what they do not know."""

    def write(image: Dataset) -> bytes:
        for keyword in keywords:
            element = image[keyword]
            values = element.value if element.VM > 1 else [element.value]
            text = "\\".join(map(str, values)).encode()
            image[element.tag] = DataElement(element.tag, "UN", text + b" " * (len(text) % 2))
        return plain(image)

    return write


def as_doubles(*keywords: str) -> Callable[[Dataset], bytes]:
    """Write decimal strings as numbers."""

    def write(image: Dataset) -> bytes:
        for keyword in keywords:
            element = image[keyword]
            values = list(map(float, element.value)) if element.VM > 1 else float(element.value)
            image[element.tag] = DataElement(element.tag, "FD", values)
        return plain(image)

    return write


def group_lengths(image: Dataset) -> bytes:
    """Put group lengths before the groups, one of them wrong and one of unknown kind."""
    content = plain(image)
    at = content.index(CHARSET)
    wrong = b"\x08\x00\x00\x00UL\x04\0\x10\x27\0\0"
    pixels = content.rindex(b"\xe0\x7f\x10\x00OW")
    unknown = b"\xe0\x7f\x00\x00UN\0\0\x04\0\0\0\0\0\0\0"
    return content[:at] + wrong + content[at:pixels] + unknown + content[pixels:]


def sequence_without_end(image: Dataset) -> bytes:
    """Write a sequence and its item of undefined length, and leave out what closes the sequence."""
    content = plain(image)
    at = content.index(b"\x08\x00\x60\x00CS")
    item = b"\xfe\xff\x00\xe0" + UNDEFINED
    inside = b"\x08\x00\x50\x11UI\x04\x001.2\0"
    end_of_item = b"\xfe\xff\x0d\xe0\0\0\0\0"
    begun = b"\x08\x00\x51\x00SQ\0\0" + UNDEFINED
    return content[:at] + begun + item + inside + end_of_item + content[at:]


WRITERS = {
    "implicit said to be explicit": lambda i: written(
        i, ImplicitVRLittleEndian, declared=ExplicitVRLittleEndian
    ),
    "explicit said to be implicit": lambda i: written(
        i, ExplicitVRLittleEndian, declared=ImplicitVRLittleEndian
    ),
    "big-endian said to be little": lambda i: written(
        i, ExplicitVRBigEndian, declared=ExplicitVRLittleEndian
    ),
    "little-endian said to be big": lambda i: written(
        i, ExplicitVRLittleEndian, declared=ExplicitVRBigEndian
    ),
    "plain said to be deflated": lambda i: written(
        i, ExplicitVRLittleEndian, declared="1.2.840.10008.1.2.1.99"
    ),
    "syntax of a maker's own": lambda i: written(i, ImplicitVRLittleEndian, declared="1.2.3.4.5"),
    "compressed said to be plain": compressed_in_other_words,
    "plain said to be compressed": uncompressed_in_other_words,
    "encapsulated uncompressed": encapsulated_raw,
    "data set alone": lambda i: dataset_only(plain(i)),
    "implicit data set alone": lambda i: dataset_only(written(i, ImplicitVRLittleEndian)),
    "big-endian data set alone": lambda i: dataset_only(written(i, ExplicitVRBigEndian)),
    "compressed data set alone": lambda i: dataset_only(compressed(i)),
    "no preamble": lambda i: plain(i)[132:],
    "no preamble, but the magic": lambda i: plain(i)[128:],
    "preamble without the magic": lambda i: plain(i)[:128] + dataset_only(plain(i)),
    "no transfer syntax": without_transfer_syntax,
    "RLE not closed": closed_by(b""),
    "RLE closed by zeros": closed_by(bytes(8)),
    "RLE closed by an undefined length": closed_by(DELIMITER[:4] + UNDEFINED),
    "JPEG-LS not closed": closed_by(b"", JPEGLSLossless),
    "JPEG 2000 closed by zeros": closed_by(bytes(8), JPEG2000Lossless),
    "not closed, and padded": padded_after,
    "JPEG-LS padded by any byte": padded_by_any_byte(DELIMITER),
    "JPEG-LS padded by any byte, not closed": padded_by_any_byte(b""),
    "sequence not closed": sequence_without_end,
    "group lengths": group_lengths,
    "spacing as UT": as_text("PixelSpacing"),
    "rescale as LO": as_text("RescaleSlope", "RescaleIntercept", vr="LO"),
    "positions as ST": as_text("ImagePositionPatient", "ImageOrientationPatient", vr="ST"),
    "spacing with a decimal comma": as_text("PixelSpacing", vr="LO", comma=True),
    "all with decimal commas": as_text(
        "PixelSpacing",
        "ImagePositionPatient",
        "ImageOrientationPatient",
        "SliceThickness",
        vr="LO",
        comma=True,
    ),
    "numbers of unknown kind": unknown_vr("PixelSpacing", "ImagePositionPatient", "RescaleSlope"),
    "positions as FD": as_doubles("ImagePositionPatient", "ImageOrientationPatient"),
    "numbers as FD": as_doubles("PixelSpacing", "SliceThickness", "RescaleSlope"),
    "texts of unknown kind": unknown_vr("PatientID", "SeriesDescription", "BodyPartExamined"),
}


@pytest.fixture(scope="module")
def as_written_well(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[object, ...]]:
    return told(save_all(head(), tmp_path_factory.mktemp("well")))


def told(paths: list[Path]) -> list[tuple[object, ...]]:
    """Pixels and place of each slice, and whose it is."""
    headers = [read_slices(path, ReadLimits())[0].header for path in paths]
    return [
        (h.digest, *np.round((*h.position_lps_mm, h.row_spacing_mm), 6), h.series_uid, h.identity)
        for h in headers
    ]


@pytest.mark.slow
@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_every_slice_is_read_as_if_it_had_been_written_well(
    write: Callable, tmp_path: Path, as_written_well: list
) -> None:
    paths = []
    for n, image in enumerate(head()[::4]):
        paths.append(tmp_path / f"I{n}")
        paths[-1].write_bytes(write(image))

    assert told(paths) == as_written_well[::4]


def test_a_code_that_is_a_text_and_a_voltage_that_nobody_knew_refuse_no_image(
    tmp_path: Path,
) -> None:
    image = head()[0]
    image.KVP = "0"
    image.add_new("ContrastBolusAgentSequence", "LO", "NONE")
    image.add_new("AnatomicRegionSequence", "LO", "Brain")
    del image.BodyPartExamined

    header = read_slices(save_all([image], tmp_path)[0], ReadLimits())[0].header

    assert (header.kvp, header.contrast, header.body_part) == (None, "NONE", "Brain")


@pytest.mark.slow
@pytest.mark.parametrize("write", [WRITERS["data set alone"], WRITERS["RLE closed by zeros"]])
def test_a_head_written_so_is_analysed(write: Callable, answer: Answer, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for n, image in enumerate(head()):
        (tmp_path / "in" / f"I{n}").write_bytes(write(image))

    report = answer(tmp_path / "in")

    assert (report.state, report.geometry.slices) == ("not_suspected", N)


def test_a_legacy_converted_enhanced_image_is_analysed(answer: Answer, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    path = write_enhanced(tmp_path / "in" / "one", 30)
    content = path.read_bytes()
    ours, legacy = b"1.2.840.10008.5.1.4.1.1.2.1", LegacyConvertedEnhancedCTImageStorage.encode()
    path.write_bytes(content.replace(ours, legacy))

    (read, *_) = read_slices(path, ReadLimits())

    assert len(legacy) == len(ours)
    assert read.header.sop_uid.endswith(".frame1")


@pytest.mark.parametrize("decimals", [1, 2, 3])
@pytest.mark.parametrize("tilt_deg", [-18.0, 4.0, 10.0, 15.0, 25.0])
def test_an_orientation_of_few_decimals_is_one(
    decimals: int, tilt_deg: float, answer: Answer, tmp_path: Path
) -> None:
    images = head()
    tilt = np.radians(tilt_deg)
    for image in images:
        values = (1, 0, 0, 0, np.cos(tilt), -np.sin(tilt))
        image.ImageOrientationPatient = [f"{value:.{decimals}f}" for value in values]
    (path, *_) = save_all(images[:1], tmp_path)

    (read,) = read_slices(path, ReadLimits())

    found = np.degrees(
        np.arctan2(-read.header.column_direction[2], read.header.column_direction[1])
    )
    assert found == pytest.approx(tilt_deg, abs=57 * 10.0**-decimals)


@pytest.mark.parametrize(
    ("syntax", "how", "lossy"),
    [
        (JPEGLSNearLossless, {"jls_error": 2}, True),
        (JPEGLSNearLossless, {"jls_error": 0}, False),
        (JPEGLSLossless, {}, False),
        (JPEG2000, {"j2k_cr": [10]}, True),
        (JPEG2000Lossless, {}, False),
        (RLELossless, {}, False),
    ],
    ids=["JPEG-LS near", "JPEG-LS exact", "JPEG-LS", "JPEG 2000 lossy", "JPEG 2000", "RLE"],
)
def test_losses_that_no_header_tells_are_seen_in_the_pixels(
    tmp_path: Path, syntax: str, how: dict, *, lossy: bool
) -> None:
    image = head()[20]
    image.compress(syntax, generate_instance_uid=False, **how)
    image.pop("LossyImageCompression", None)

    assert read_slices(save_all([image], tmp_path)[0], ReadLimits())[0].header.lossy == lossy


def test_lossy_images_are_analysed_with_the_caveat(answer: Answer, tmp_path: Path) -> None:
    images = head()
    for image in images:
        image.LossyImageCompression = "01"
    save_all(images, tmp_path / "in")

    report = answer(tmp_path / "in")

    assert report.state == "not_suspected"
    assert [caveat.code for caveat in report.caveats] == ["lossy_pixels"]


@pytest.mark.parametrize(
    "syntax", ["1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.66"]
)
def test_pixels_that_nothing_reads_leave_a_row_with_the_reason(
    syntax: str, answer: Answer, tmp_path: Path
) -> None:
    images = head()
    for image in images:
        image.file_meta.TransferSyntaxUID = syntax
        image.PixelData = encapsulate([b"\xff\xd8\xff\xd9" * 100])
        image["PixelData"].VR, image["PixelData"].is_undefined_length = "OB", True
    save_all(images, tmp_path / "in")

    report = answer(tmp_path / "in")

    assert report.state == "not_analysed"
    assert report.code == "not_jpeg"


@pytest.mark.slow
@pytest.mark.parametrize("missing", ["SeriesInstanceUID", "StudyInstanceUID", "SOPClassUID"])
def test_images_that_lack_a_uid_have_a_row(missing: str, replay: Replay, tmp_path: Path) -> None:
    images = head()[:12]
    for image in images:
        del image[missing]
        image.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    save_all(images, tmp_path / "in")

    (report,) = replay(tmp_path / "in").reports

    assert report.state == "not_analysed"


def test_a_dicomdir_beside_the_images_is_left_out_without_a_word(
    replay: Replay, tmp_path: Path
) -> None:
    images = head()
    save_all(images, tmp_path / "in")
    index = renamed(images[0])
    index.file_meta.MediaStorageSOPClassUID = index.SOPClassUID = "1.2.840.10008.1.3.10"
    del index.PixelData
    save(index, tmp_path / "in" / "DICOMDIR")

    found = replay(tmp_path / "in")

    assert [report.state for report in found.reports] == ["not_suspected"]
    assert found.not_whole == {}


def of_a_vendors_class(image: Dataset) -> None:
    image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = "1.3.6.1.4.1.9590.100.1.9"


def compressed_every_third(image: Dataset) -> None:
    if image.InstanceNumber % 3 == 1:
        image.compress(RLELossless)


def with_an_intercept_of_its_own(image: Dataset) -> None:
    lower = 8 * image.InstanceNumber
    values = np.frombuffer(image.PixelData, "<u2").astype(np.int32) + lower
    image.RescaleIntercept, image.PixelData = -1024 - lower, values.astype("<u2").tobytes()


@pytest.mark.parametrize(
    "change",
    [of_a_vendors_class, compressed_every_third, with_an_intercept_of_its_own],
    ids=["SOP class of a vendor's own", "two transfer syntaxes", "an intercept for each slice"],
)
def test_a_head_of_an_odd_kind_is_analysed(
    change: Callable[[Dataset], None], answer: Answer, tmp_path: Path
) -> None:
    images = head()
    for image in images:
        change(image)
    save_all(images, tmp_path / "in")

    report = answer(tmp_path / "in")

    assert (report.state, report.geometry.slices) == ("not_suspected", N)


def test_a_vendors_object_without_an_image_is_none_of_a_series(
    replay: Replay, tmp_path: Path
) -> None:
    (raw, *_) = head()
    of_a_vendors_class(raw)
    del raw.Rows, raw.Columns, raw.PixelData
    save(raw, tmp_path / "in" / "raw")

    assert not replay(tmp_path / "in").reports


def test_images_that_no_header_counts_are_not_left_out_silently(
    answer: Answer, tmp_path: Path
) -> None:
    """One file that holds eight images, and says that it holds one."""
    images = head()
    for image in images:
        image.PixelData = image.PixelData * 8
    save_all(images, tmp_path / "in")

    report = answer(tmp_path / "in")

    assert (report.state, report.code) == ("not_analysed", "pixels_too_long")
