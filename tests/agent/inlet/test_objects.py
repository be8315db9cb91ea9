"""agent.inlet.objects: what is taken, and by which name and status everything else is refused."""

from __future__ import annotations

import io
import zlib
from pathlib import Path

import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import validate_file_meta
from pydicom.filebase import DicomFileLike
from pydicom.filewriter import write_dataset
from pydicom.uid import (
    UID,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    EncapsulatedPDFStorage,
    EnhancedCTImageStorage,
    EnhancedSRStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLSLossless,
    RawDataStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
    XRayRadiationDoseSRStorage,
)

from agent.inlet.objects import STATUSES, as_file, may_be_image, why_not_taken
from agent.reasons import PAGE, SERVICE
from agent.records import STORABLE_UID
from tests.phantoms import slice_dataset

IMAGE = slice_dataset()
SOP = str(IMAGE.SOPInstanceUID)


def encoded(syntax: str = ExplicitVRLittleEndian, **tags: object) -> bytes:
    """Write a slice as a data set without meta information, as C-STORE carries it."""
    image = slice_dataset(**tags)
    file = DicomFileLike(io.BytesIO())
    file.is_implicit_VR = syntax == ImplicitVRLittleEndian
    file.is_little_endian = syntax != ExplicitVRBigEndian
    write_dataset(file, image)
    content = file.parent.getvalue()
    if syntax != DeflatedExplicitVRLittleEndian:
        return content
    deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return deflate.compress(content) + deflate.flush()


def code(
    data_set: bytes,
    sop_class: str = CTImageStorage,
    sop_instance: str = SOP,
    syntax: str = ExplicitVRLittleEndian,
) -> str | None:
    why = why_not_taken(sop_class, sop_instance, syntax, data_set)
    return why.code if why else None


@pytest.mark.parametrize(
    "syntax",
    [
        ExplicitVRLittleEndian,
        ImplicitVRLittleEndian,
        ExplicitVRBigEndian,
        DeflatedExplicitVRLittleEndian,
    ],
)
def test_a_slice_is_taken_however_it_is_encoded(syntax: str) -> None:
    assert code(encoded(syntax), syntax=syntax) is None


def test_what_a_transfer_syntax_says_of_pixels_does_not_matter() -> None:
    assert code(encoded(), syntax=JPEGLSLossless) is None
    assert code(encoded(), syntax="1.2.3.4.5") is None


@pytest.mark.parametrize("sop_instance", ["1.2.3", "1.2.34", "1." + "2" * 62])
def test_a_file_says_of_its_data_set_what_was_announced_and_holds_it_as_it_came(
    sop_instance: str,
) -> None:
    data_set = encoded(SOPInstanceUID=sop_instance)

    file = as_file(CTImageStorage, sop_instance, ExplicitVRLittleEndian, data_set)

    assert file.endswith(data_set)
    image = pydicom.dcmread(io.BytesIO(file))
    assert image.file_meta.MediaStorageSOPClassUID == CTImageStorage
    assert image.file_meta.MediaStorageSOPInstanceUID == sop_instance == image.SOPInstanceUID
    assert image.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    validate_file_meta(image.file_meta)


@pytest.mark.parametrize(
    ("sop_class", "is_one"),
    [
        (CTImageStorage, True),
        (EnhancedCTImageStorage, True),
        (SecondaryCaptureImageStorage, True),
        ("1.2.840.113619.4.30", True),  # GE's own CT
        ("1.2.840.10008.5.1.4.1.1.999", True),  # of a later edition
        (XRayRadiationDoseSRStorage, False),
        (EnhancedSRStorage, False),
        (SegmentationStorage, False),
        (EncapsulatedPDFStorage, False),
        (RawDataStorage, False),
    ],
)
def test_images_are_told_from_other_objects(sop_class: str, is_one: bool) -> None:
    assert may_be_image(UID(sop_class)) is is_one
    assert (code(encoded(SOPClassUID=sop_class), sop_class) is None) is is_one


@pytest.mark.parametrize(
    ("expected", "found"),
    [
        ("object_of_other_kind", code(encoded(), EnhancedSRStorage)),
        ("object_uid_unfit", code(encoded(), sop_instance="../../etc/passwd")),
        ("object_uid_unfit", code(encoded(), sop_instance="")),
        ("object_uid_unfit", code(encoded(), sop_instance="1." * 40 + "1")),
        ("object_uid_unfit", code(encoded(), sop_class="")),
        ("object_not_as_announced", code(encoded(), sop_instance="1.2.3")),
        ("object_not_as_announced", code(encoded(), SecondaryCaptureImageStorage)),
        ("object_not_as_announced", code(encoded(SOPInstanceUID=None))),
        ("object_unreadable", code(b"")),
        ("object_unreadable", code(b"\xff" * 4096)),
        ("object_unreadable", code(b"PK\x03\x04" + b"x" * 99)),
        ("object_unreadable", code(b"\x07", syntax=DeflatedExplicitVRLittleEndian)),
    ],
)
def test_what_is_not_taken_is_refused_by_name(expected: str, found: str | None) -> None:
    assert found == expected


def test_a_deflated_object_is_inflated_no_further_than_its_beginning() -> None:
    bomb = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    content = bomb.compress(bytes(64 * 2**20)) + bomb.flush()

    assert code(content, syntax=DeflatedExplicitVRLittleEndian) == "object_unreadable"


def test_every_refusal_has_a_wording_that_fits_its_status() -> None:
    assert STATUSES.keys() <= PAGE.keys() | SERVICE.keys()


@pytest.mark.slow
@given(st.text() | st.from_regex(STORABLE_UID))
def test_no_uid_leads_out_of_a_folder(text: str) -> None:
    if not STORABLE_UID.fullmatch(text):
        return
    path = Path("/received/day") / f"{text}.dcm"
    assert path.parent == Path("/received/day")
    assert len(path.name) <= 68
    assert path.resolve() == path


@given(st.binary(max_size=200), st.sampled_from([ExplicitVRLittleEndian, "1.2", ""]))
def test_any_bytes_are_answered(data_set: bytes, syntax: str) -> None:
    assert code(data_set, syntax=syntax) in STATUSES
