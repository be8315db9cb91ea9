"""One file in, slices or a named refusal out."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.config import disable_value_validation
from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    MRImageStorage,
    RLELossless,
)

from agent.assemble.dicom_file import read_slices
from agent.assemble.header import SliceNotWhole, SliceRefused
from agent.assemble.limits import ReadLimits
from agent.errors import FileRefused, NotWholeYet
from tests.phantoms import phantom_hu, slice_dataset, write, write_enhanced, write_series

LIMITS = ReadLimits()
LOSSLESS = [
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    RLELossless,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEG2000Lossless,
]


def one(folder: Path, syntax: str = ExplicitVRLittleEndian, **tags: object) -> Path:
    return write_series(folder, 1, transfer_syntax=syntax, **tags)[0]


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        return {str(syntax): one(Path(folder), syntax).read_bytes() for syntax in LOSSLESS}


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scratch") / "image"


@pytest.mark.parametrize("syntax", LOSSLESS, ids=lambda uid: uid.keyword)
def test_lossless_transfer_syntaxes_all_give_the_same_slice(tmp_path, syntax):
    plain = read_slices(one(tmp_path / "plain"), LIMITS)[0]

    read = read_slices(one(tmp_path / "other", syntax), LIMITS)[0]

    assert read.header == plain.header
    assert read.hu.dtype == np.int16
    np.testing.assert_array_equal(read.hu, phantom_hu(0, 1))


@pytest.mark.parametrize(
    ("character_set", "name"),
    [
        ("ISO_IR 100", "Müller^Jörg"),
        ("ISO_IR 101", "Wałęsa^Lech"),
        ("ISO_IR 109", "Ĉapek^Ħasan"),
        ("ISO_IR 110", "Bērziņš^Jānis"),
        ("ISO_IR 144", "Люкceмбypг^Иван"),
        ("ISO_IR 127", "قباني^لنزار"),
        ("ISO_IR 126", "Διονυσιος^Ελένη"),
        ("ISO_IR 138", "שרון^דבורה"),
        ("ISO_IR 148", "Çavuşoğlu^İnci"),
        ("ISO_IR 166", "สมชาย^ใจดี"),
        ("ISO_IR 13", "ﾔﾏﾀﾞ^ﾀﾛｳ"),
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        (["ISO 2022 IR 13", "ISO 2022 IR 87"], "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう"),
        (["", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞=홍^길동"),
        ("GB18030", "Wang^XiaoDong=王^小东"),
        ("GBK", "Wang^XiaoDong=王^小东"),
        ("ISO_IR 192", "Wang^XiaoDong=王^小東=홍^길동"),
    ],
    ids=str,
)
def test_names_are_read_in_every_specific_character_set(tmp_path, character_set, name):
    path = one(tmp_path, SpecificCharacterSet=character_set, PatientName=name)

    read = read_slices(path, LIMITS)[0]

    assert read.header.identity.patient_name == name


def test_a_chinese_name_with_escapes_is_read_as_the_standards_example(tmp_path):
    name = b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab="  # PS3.5 K.2
    stand_in = "Z" * len(name)
    path = one(tmp_path, SpecificCharacterSet=["", "ISO 2022 IR 58"], PatientName=stand_in)
    path.write_bytes(path.read_bytes().replace(stand_in.encode(), name))

    read = read_slices(path, LIMITS)[0]

    assert read.header.identity.patient_name == "Zhang^XiaoDong=张^小东"


def test_near_lossless_stays_within_what_it_allows(tmp_path):
    read = read_slices(one(tmp_path, JPEGLSNearLossless), LIMITS)[0]

    assert np.abs(read.hu - phantom_hu(0, 1)).max() <= 2


def test_lossy_jpeg_2000_is_read(tmp_path):
    read = read_slices(one(tmp_path, "1.2.840.10008.1.2.4.91"), LIMITS)[0]

    assert np.abs(read.hu - phantom_hu(0, 1)).mean() < 10


def test_header_says_what_the_file_says(tmp_path):
    path = write_series(tmp_path, 3, 2.5, ContrastBolusAgent="OMNIPAQUE", ImagesInAcquisition=3)[2]

    header = read_slices(path, LIMITS)[0].header

    assert header.identity.patient_name == "Müller^Jörg"
    assert header.position_lps_mm[2] == 5.0
    assert (header.thickness_mm, header.instance_number) == (2.5, 3)
    assert (header.expected_images, header.images_in_acquisition) == (0, 3)
    assert (header.kernel, header.kvp, header.contrast) == ("STANDARD", 120.0, "OMNIPAQUE")
    assert header.image_type == ("ORIGINAL", "PRIMARY", "AXIAL")


def test_silent_optional_attributes_are_absent_not_guessed(tmp_path):
    silent = dict.fromkeys(["SliceThickness", "KVP", "InstanceNumber", "ConvolutionKernel"])

    header = read_slices(one(tmp_path, **silent), LIMITS)[0].header

    assert (header.thickness_mm, header.kvp, header.instance_number) == (None, None, None)
    assert header.kernel == ""


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, JPEGLSLossless, JPEGLosslessSV1])
def test_every_frame_of_an_enhanced_image_is_a_slice(tmp_path, syntax):
    classic = [read_slices(path, LIMITS)[0] for path in write_series(tmp_path / "classic", 5)]

    frames = read_slices(write_enhanced(tmp_path / "e", 5, transfer_syntax=syntax), LIMITS)

    assert [f.header.digest for f in frames] == [c.header.digest for c in classic]
    positions = [frame.header.position_lps_mm for frame in frames]
    assert positions == [c.header.position_lps_mm for c in classic]
    assert [frame.header.sop_uid.rpartition(".")[2] for frame in frames] == [
        f"frame{n}" for n in range(1, 6)
    ]
    assert {frame.header.expected_images for frame in frames} == {5}


@pytest.mark.parametrize("items_too", [False, True], ids=["sequence", "items too"])
@pytest.mark.parametrize("keyword", ["ReferencedImageSequence", "AnatomicRegionSequence"])
def test_sequences_of_undefined_length_hide_nothing(tmp_path, keyword, items_too):
    item = Dataset()
    item.CodeMeaning, item.RescaleSlope, item.Rows = "Brain", 9, 7
    item.is_undefined_length_sequence_item = items_too
    image = slice_dataset(BodyPartExamined=None)
    setattr(image, keyword, [item, item])
    image[keyword].is_undefined_length = True
    image.add_new(0x00191010, "UN", b"private")
    write(image, tmp_path / "image", ExplicitVRLittleEndian)

    (read,) = read_slices(tmp_path / "image", LIMITS)

    assert read.header.body_part == ("Brain" if keyword == "AnatomicRegionSequence" else "")
    assert read.header.rows == 64
    np.testing.assert_array_equal(read.hu, phantom_hu(0, 10))


def test_a_frame_says_of_itself_what_its_groups_say(tmp_path):
    path = write_enhanced(tmp_path / "e", 3)
    image, kind, recon = dcmread(path), Dataset(), Dataset()
    kind.FrameType, recon.ConvolutionKernel = ["ORIGINAL", "PRIMARY", "LOCALIZER", "NONE"], "H60s"
    image.PerFrameFunctionalGroupsSequence[0].CTImageFrameTypeSequence = [kind]
    image.SharedFunctionalGroupsSequence[0].CTReconstructionSequence = [recon]
    image.save_as(path)

    headers = [read.header for read in read_slices(path, LIMITS)]

    assert [header.image_type[2] for header in headers] == ["LOCALIZER", "VOLUME", "VOLUME"]
    assert {header.kernel for header in headers} == {"H60s"}


def test_frames_that_are_not_all_described_are_refused(tmp_path):
    path = write_enhanced(tmp_path / "e", 3)
    image = dcmread(path)
    del image.PerFrameFunctionalGroupsSequence[0]
    image.save_as(path)

    with pytest.raises(SliceRefused, match="2 frames described, 3 declared"):
        read_slices(path, LIMITS)


@pytest.mark.parametrize(
    ("slope", "intercept", "expected"),
    [
        (1, -1024, [-1024, -1023, 976, 32767]),
        (1, 0, [0, 1, 2000, 32767]),
        (1, 0.5, [0, 2, 2000, 32767]),
        (0.5, -1000, [-1000, -1000, 0, 31768]),
        (2, -1024, [-1024, -1022, 2976, 32767]),
    ],
)
def test_rescale_is_rounded_and_clipped(tmp_path, slope, intercept, expected):
    stored = np.full((64, 64), 1234, "<u2")
    stored[0, :4] = [0, 1, 2000, 65535]

    path = one(tmp_path, PixelData=stored.tobytes(), RescaleSlope=slope, RescaleIntercept=intercept)

    assert read_slices(path, LIMITS)[0].hu[0, :4].tolist() == expected


def test_signed_and_twelve_bit_values_lose_their_spare_bits(tmp_path):
    stored = np.full((64, 64), 40, "<i2")
    stored[0, :3] = [-1, -2000, 0x0FFF]

    path = one(
        tmp_path,
        PixelData=stored.tobytes(),
        PixelRepresentation=1,
        BitsStored=12,
        HighBit=11,
        RescaleIntercept=0,
    )

    assert read_slices(path, LIMITS)[0].hu[0, :3].tolist() == [-1, -2000, -1]


@pytest.mark.parametrize("syntax", LOSSLESS, ids=lambda uid: uid.keyword)
def test_cut_off_anywhere_it_is_not_whole_yet(scratch, files, syntax):
    content = files[str(syntax)]
    closing = 9 if syntax == DeflatedExplicitVRLittleEndian else 8 * syntax.is_encapsulated
    whole_at = len(content) - closing  # the delimiter may be left out

    for cut in np.linspace(0, whole_at - 1, 60).astype(int).tolist():
        scratch.write_bytes(content[:cut])
        with pytest.raises(NotWholeYet):
            read_slices(scratch, LIMITS)


@pytest.mark.parametrize("syntax", LOSSLESS, ids=lambda uid: uid.keyword)
def test_preallocated_and_written_up_to_anywhere_it_is_not_whole_yet(scratch, files, syntax):
    content = files[str(syntax)]
    air_bytes = 10 * 64 * 2  # next to nothing of the head lies in the last rows

    for cut in np.linspace(0, len(content) - air_bytes, 60).astype(int).tolist():
        scratch.write_bytes(content[:cut] + bytes(len(content) - cut))
        with pytest.raises(NotWholeYet):
            read_slices(scratch, LIMITS)


def with_stored(folder: Path, stored: np.ndarray, **tags: object) -> Path:
    return one(folder, PixelData=stored.astype("<u2").tobytes(), **tags)


def test_padding_all_round_is_an_image(tmp_path):
    stored = np.zeros((64, 64))
    stored[6:58] = 1000

    assert read_slices(with_stored(tmp_path, stored), LIMITS)


def test_a_small_tail_below_the_head_is_believed(tmp_path):
    stored = phantom_hu(0, 1) + 1024
    stored[62:] = 0

    assert read_slices(with_stored(tmp_path, stored), LIMITS)


def test_a_tail_of_water_or_one_that_cuts_the_head_is_not_believed(tmp_path):
    stored = phantom_hu(0, 1) + 1024
    stored[62:] = 0
    water = with_stored(tmp_path / "water", stored, RescaleIntercept=0)
    stored[32:] = 0
    half = with_stored(tmp_path / "half", stored)

    for path in (water, half):
        with pytest.raises(SliceNotWhole, match=r"the last .* rows are zeros"):
            read_slices(path, LIMITS)


def test_an_image_of_nothing_but_air_is_left_to_its_series(tmp_path):
    (read,) = read_slices(with_stored(tmp_path, np.zeros((64, 64))), LIMITS)

    assert set(read.hu.ravel().tolist()) == {-1024}


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ({"PixelSpacing": None}, "no usable PixelSpacing"),
        ({"PixelSpacing": [0.5, 0]}, "PixelSpacing 0.5 x 0 mm"),
        ({"ImagePositionPatient": None}, "no usable ImagePositionPatient"),
        ({"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]}, "ImageOrientationPatient"),
        ({"RescaleSlope": 0}, "rescale slope 0"),
        ({"RescaleIntercept": 1e9}, "intercept 1e"),
        ({"RescaleIntercept": None}, "no usable RescaleSlope and RescaleIntercept"),
        ({"Rows": 16384, "Columns": 16384}, "matrix 16384 x 16384"),
        ({"Rows": 65}, "bytes of pixels"),
        ({"SamplesPerPixel": 3}, "colour"),
        ({"BitsAllocated": 32}, "16 of 32 bits"),
    ],
)
def test_an_image_that_cannot_be_a_slice_names_its_series(tmp_path, tags, reason):
    path = one(tmp_path, **tags)

    with pytest.raises(SliceRefused, match=reason) as refused:
        read_slices(path, LIMITS)

    image = slice_dataset()
    assert refused.value.owner.series_uid == image.SeriesInstanceUID
    assert refused.value.owner.sop_uid == image.SOPInstanceUID
    assert refused.value.owner.identity.study_uid == image.StudyInstanceUID
    assert "Müller" not in str(refused.value)


def test_a_slope_that_is_not_a_number_is_refused(tmp_path):
    path = one(tmp_path, RescaleSlope=7.5)
    path.write_bytes(path.read_bytes().replace(b"DS\x04\x007.5 ", b"DS\x04\x00nan "))

    with pytest.raises(SliceRefused, match="RescaleSlope"):
        read_slices(path, LIMITS)


@pytest.mark.parametrize("syntax", [JPEGLSLossless, JPEGLosslessSV1, JPEG2000Lossless])
def test_a_codestream_larger_than_its_header_is_refused_before_decoding(tmp_path, syntax):
    path = one(tmp_path, syntax)
    content = path.read_bytes()
    small, large = (64).to_bytes(2, "big"), (16384).to_bytes(2, "big")
    if syntax == JPEG2000Lossless:
        at = content.index(b"\xff\x4f\xff\x51") + 8
        content = content[:at] + 2 * (b"\0\0" + large) + content[at + 8 :]
    else:
        content = content.replace(b"\x10" + small + small, b"\x10" + large + large)
    path.write_bytes(content)

    with pytest.raises(SliceRefused, match="compressed 16384 x 16384, declared 64 x 64"):
        read_slices(path, LIMITS)


def test_other_objects_are_left_out(tmp_path):
    path = one(tmp_path, SOPClassUID=MRImageStorage, Modality="MR")

    with pytest.raises(FileRefused, match="not a CT image but MR Image Storage") as refused:
        read_slices(path, LIMITS)
    assert not isinstance(refused.value, (NotWholeYet, SliceRefused))


@pytest.mark.parametrize("missing", ["SeriesInstanceUID", "StudyInstanceUID"])
def test_ct_images_that_lack_a_uid_share_a_row_with_the_others_of_their_study(tmp_path, missing):
    paths = write_series(tmp_path, 2, **{missing: None})

    owners = set()
    for path in paths:
        with pytest.raises(SliceRefused, match=f"without {missing}") as refused:
            read_slices(path, LIMITS)
        owners.add(refused.value.owner.series_uid)

    assert len(owners) == 1
    assert owners.pop()


def test_a_ct_image_that_goes_on_without_pixels_is_refused(tmp_path):
    path = one(tmp_path, PixelData=None, DataSetTrailingPadding=b"\1" * 8)

    with pytest.raises(SliceRefused, match="no pixel data"):
        read_slices(path, LIMITS)


def test_a_uid_that_begins_with_zeros_is_a_damaged_one(tmp_path):
    path = one(tmp_path, SOPInstanceUID="1.9.8.7")
    path.write_bytes(path.read_bytes().replace(b"1.9.8.7", b"\0\x009.8.7"))

    with pytest.raises(FileRefused, match="without SOPInstanceUID"):
        read_slices(path, LIMITS)


def test_text_is_not_dicom(tmp_path):
    path = tmp_path / "notes"
    path.write_text("see you at lunch " * 100)

    with pytest.raises(FileRefused, match="notes: not a DICOM file"):
        read_slices(path, LIMITS)


def test_size_is_checked_before_reading_and_inflating(tmp_path):
    plain, deflated = one(tmp_path / "a"), one(tmp_path / "b", DeflatedExplicitVRLittleEndian)

    for path in (plain, deflated):
        with pytest.raises(FileRefused, match="8000"):
            read_slices(path, ReadLimits(file_bytes=8000))


def test_a_file_that_is_gone_or_closed_to_us_is_named(tmp_path):
    path = one(tmp_path)
    with pytest.raises(FileRefused, match="gone"):
        read_slices(tmp_path / "gone", LIMITS)
    with pytest.raises(NotWholeYet, match="cannot be read"):
        read_slices(path / "below a file", LIMITS)


@pytest.mark.slow
@settings(max_examples=300)
@given(
    syntax=st.sampled_from([str(uid) for uid in LOSSLESS]),
    at=st.floats(0, 1, exclude_max=True),
    junk=st.binary(min_size=1, max_size=40),
    delete=st.booleans(),
)
def test_no_bytes_raise_anything_but_a_refusal(scratch, files, syntax, at, junk, delete):
    content = files[syntax]
    # Half of the places lie in the header, however small that is beside the pixels.
    start = int(2 * at * 1200) if at < 0.5 else int((2 * at - 1) * len(content))
    rest = content[start + len(junk) :]
    scratch.write_bytes(content[:start] + (b"" if delete else junk) + rest)

    try:
        slices = read_slices(scratch, LIMITS)
    except FileRefused as refused:
        slices, reason = (), str(refused)
    else:
        reason = ""

    assert "\n" not in reason
    assert all(read.hu.dtype == np.int16 for read in slices)


def test_what_scanners_write_against_the_rules_is_read_without_remarks(tmp_path):
    with disable_value_validation():
        image = slice_dataset(PatientBirthDate="1950-01", AccessionNumber="A" * 40)
        write(image, tmp_path / "odd", ExplicitVRLittleEndian)

    header = read_slices(tmp_path / "odd", LIMITS)[0].header

    assert header.identity.accession == "A" * 40
