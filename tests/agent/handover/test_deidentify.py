"""agent.handover.deidentify: what is left of an image in which every attribute names someone."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.datadict import DicomDictionary, tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRBigEndian, JPEG2000Lossless, JPEGLossless

from agent.cli.replay import replayed
from agent.config import Config, InferConfig
from agent.errors import RequestRefused
from agent.handover.deidentify import KEPT, REPLACED, deidentified, uid_maker
from agent.report import SeriesReport
from tests.agent.handover.planted import Planted
from tests.phantoms import slice_dataset, uid, write, write_enhanced, write_series
from tests.tiny import BUNDLE, write_engines

TEXTS = {"AE", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT", "CS"}
LEFT = """
    AcquisitionNumber BitsAllocated BitsStored BodyPartExamined ContrastBolusAgent ConvolutionKernel
    Columns DeidentificationMethod FrameOfReferenceUID HighBit ImageOrientationPatient
    ImagePositionPatient ImageType InstanceNumber KVP Manufacturer ManufacturerModelName Modality
    PatientIdentityRemoved PhotometricInterpretation PixelData PixelSpacing RescaleIntercept
    RescaleSlope Rows SOPClassUID SOPInstanceUID SamplesPerPixel SeriesInstanceUID SliceThickness
    StudyInstanceUID
"""

NEW_UID = uid_maker("of this archive")


def plant(image: Dataset, planted: Planted) -> None:
    """Plant a value in every standard attribute that takes text and is not kept, and in others."""
    kept = {tag_for_keyword(keyword) for keyword in (*KEPT, *REPLACED, "BurnedInAnnotation")}
    for tag, (vr, _, _, _, keyword) in DicomDictionary.items():
        if vr in TEXTS and tag not in kept and tag >> 16 >= 8 and keyword:
            image.add_new(tag, vr, planted(keyword))
    image.SpecificCharacterSet = "ISO_IR 192"
    image.PatientComments = "plain letters are kept where they are meant to be"
    block = image.private_block(0x0011, "A VENDOR", create=True)
    block.add_new(1, "LO", planted("private"))
    block.add_new(2, "UN", planted("private bytes").encode("utf-16-le"))
    nested, deeper = Dataset(), Dataset()
    deeper.PatientName, nested.PatientComments = planted("deeper"), planted("nested")
    nested.ReferencedPatientSequence = [deeper]
    image.RequestAttributesSequence = [nested]
    image.OverlayData_6000 = b""
    image.add_new(0x60003000, "OW", planted("overlay!").encode("utf-16-le"))


def content_of(image: Dataset, path: Path, syntax: str = ExplicitVRBigEndian) -> bytes:
    write(image, path, syntax)
    return path.read_bytes()


@pytest.mark.filterwarnings(
    "ignore::UserWarning"
)  # pydicom: planted values are not as they must be
def test_of_every_attribute_that_may_name_someone_nothing_is_left(tmp_path: Path) -> None:
    planted, image = Planted(), slice_dataset()
    plant(image, planted)
    content = bytearray(content_of(image, tmp_path / "a.dcm", "1.2.840.10008.1.2.1"))
    preamble = planted("preamble").encode()
    content[: len(preamble)] = preamble

    left = deidentified(bytes(content), NEW_UID)

    assert len(planted.places) > 1400
    assert planted.found_in([left]) == []
    assert len(planted.found_in([bytes(content)])) > 1400
    assert uid("series", 0).encode() not in left
    kept = dcmread(BytesIO(left))
    assert kept.PatientIdentityRemoved == "YES"
    assert kept.ConvolutionKernel == "STANDARD"
    assert {element.keyword for element in kept if element.value} == set(LEFT.split())


def comment_in_a_jpeg(path: Path, planted: Planted) -> bytes:
    content = content_of(slice_dataset(), path, JPEGLossless)
    text = planted("comment").encode()
    segment = b"\xff\xfe" + (len(text) + 2).to_bytes(2, "big") + text
    at = content.index(b"\xff\xd8") + 2
    length_at = at - 2 - 4
    length = int.from_bytes(content[length_at : at - 2], "little") + len(segment)
    assert len(segment) % 2 == 0
    return content[:length_at] + length.to_bytes(4, "little") + b"\xff\xd8" + segment + content[at:]


def text_behind_the_pixels(path: Path, planted: Planted) -> bytes:
    image = slice_dataset()
    image.PixelData += planted("behind").encode("utf-16-le")
    return content_of(image, path, "1.2.840.10008.1.2.1")


def text_in_unused_bits(path: Path, planted: Planted) -> bytes:
    image = slice_dataset()
    image.BitsStored, image.HighBit = 12, 11
    pixels = bytearray(image.PixelData)
    for at, letter in enumerate(planted("bits").encode("utf-16-le").hex()):
        pixels[2 * at + 1] = pixels[2 * at + 1] & 0x0F | int(letter, 16) << 4
    image.PixelData = bytes(pixels)
    return content_of(image, path, "1.2.840.10008.1.2.1")


@pytest.mark.parametrize("hide", [comment_in_a_jpeg, text_behind_the_pixels, text_in_unused_bits])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_nothing_hides_among_the_pixels(
    tmp_path: Path, hide: Callable[[Path, Planted], bytes]
) -> None:
    planted = Planted()
    content = hide(tmp_path / "a.dcm", planted)

    left = deidentified(content, NEW_UID)

    assert planted.found_in([left]) == []
    kept = dcmread(BytesIO(left))
    before = dcmread(BytesIO(content))
    assert len(kept.PixelData) == 2 * kept.Rows * kept.Columns
    if hide is text_in_unused_bits:
        assert int(kept.pixel_array.max()) < 4096
    else:
        assert (kept.pixel_array == before.pixel_array).all()


def test_one_uid_becomes_one_throughout_an_archive_and_another_in_the_next() -> None:
    assert NEW_UID("1.2.3") == uid_maker("of this archive")("1.2.3")
    assert NEW_UID("1.2.3") != uid_maker("of another")("1.2.3")
    assert NEW_UID("1.2.3") != NEW_UID("1.2.4")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"BurnedInAnnotation": "YES"}, "burned into it"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}, "of another kind"),
        ({"PixelData": b"\0\0"}, "cannot be decoded"),
    ],
    ids=["burned in", "secondary capture", "not whole"],
)
def test_what_cannot_be_made_safe_is_refused(
    tmp_path: Path, changes: dict[str, object], reason: str
) -> None:
    (path,) = write_series(tmp_path, 1, **changes)

    with pytest.raises(RequestRefused, match=reason):
        deidentified(path.read_bytes(), NEW_UID)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["compressed", "enhanced"])
def test_what_is_left_is_analysed_as_the_images_themselves(tmp_path: Path, kind: str) -> None:
    if kind == "enhanced":
        (tmp_path / "in").mkdir()
        paths = [write_enhanced(tmp_path / "in" / "head.dcm", 24, size=64)]
    else:
        paths = write_series(tmp_path / "in", 24, transfer_syntax=JPEG2000Lossless)
    (tmp_path / "out").mkdir()
    for path in paths:
        (tmp_path / "out" / path.name).write_bytes(deidentified(path.read_bytes(), NEW_UID))

    engines = write_engines(tmp_path / "engines")
    before, after = (answer(engines, folder) for folder in (paths[0].parent, tmp_path / "out"))

    told = ("state", "code", "score", "total_volume_ml", "geometry", "protocol")
    assert [getattr(before, name) for name in told] == [getattr(after, name) for name in told]
    assert after.geometry
    assert after.geometry.slices == 24
    assert after.series_uid == NEW_UID(before.series_uid)


def answer(engines: Path, folder: Path) -> SeriesReport:
    config = Config(
        export_folder=folder,
        state_folder=folder.with_name(f"state of {folder.name}"),
        engines_folder=engines,
        infer=InferConfig(bundle=BUNDLE),
    )
    (report,) = replayed(config).reports
    return report
