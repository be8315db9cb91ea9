"""Stored values in unusual bits are read as the same HU; what is no HU by its type is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from agent.assemble.dicom_file import read_slices
from agent.assemble.limits import ReadLimits
from tests.cases.conftest import Answer
from tests.cases.exports import head, hu_of, save, save_all, set_stored

Stored: TypeAlias = NDArray[np.int32]

BITS = np.random.default_rng(0)


def with_overlay_bits(image: Dataset, stored: Stored) -> None:
    image.BitsStored, image.HighBit = 12, 11
    set_stored(image, stored | (BITS.integers(0, 2, stored.shape) << 12))


def in_the_upper_bits(image: Dataset, stored: Stored) -> None:
    image.BitsStored, image.HighBit = 12, 15
    set_stored(image, stored << 4 | BITS.integers(0, 16, stored.shape))


def in_the_middle_bits(image: Dataset, stored: Stored) -> None:
    image.BitsStored, image.HighBit = 12, 13
    set_stored(image, stored << 2 | (BITS.integers(0, 2, stored.shape) << 15))


def signed_in_the_upper_bits(image: Dataset, stored: Stored) -> None:
    image.BitsStored, image.HighBit, image.PixelRepresentation = 12, 15, 1
    image.RescaleIntercept = 0
    set_stored(image, (stored - 1024).clip(-2048, 2047) << 4)


def in_as_many_bits_as_needed(image: Dataset, stored: Stored) -> None:
    image.BitsStored = max(1, int(stored.max()).bit_length())
    image.HighBit = image.BitsStored - 1
    set_stored(image, stored)


def signed_without_sign_extension(image: Dataset, stored: Stored) -> None:
    image.BitsStored, image.HighBit, image.PixelRepresentation = 12, 11, 1
    image.RescaleIntercept = 0
    set_stored(image, (stored - 1024).clip(-2048, 2047) & 0xFFF)


def without_high_bit(image: Dataset, stored: Stored) -> None:
    del image.HighBit
    set_stored(image, stored)


def with_a_high_bit_that_cannot_be(image: Dataset, stored: Stored) -> None:
    image.BitsStored, image.HighBit = 12, 3
    set_stored(image, stored)


def with_a_slope_of_its_own(image: Dataset, stored: Stored) -> None:
    image.RescaleSlope, image.RescaleIntercept = "0.5", "-1111"
    set_stored(image, (stored - 1024 + 1111) * 2)


def with_a_lookup_table_beside_the_rescale(image: Dataset, stored: Stored) -> None:
    """Nonsense in a CT image, and no reason to believe the table more."""
    table = Dataset()
    table.LUTDescriptor, table.ModalityLUTType = [4096, 0, 16], "HU"
    table.LUTData = np.arange(4096, dtype="<u2").tobytes()
    table["LUTData"].VR = "OW"
    image.ModalityLUTSequence = [table]
    set_stored(image, stored)


@pytest.mark.parametrize(
    "write",
    [
        with_a_slope_of_its_own,
        with_a_lookup_table_beside_the_rescale,
        with_overlay_bits,
        in_the_upper_bits,
        in_the_middle_bits,
        signed_in_the_upper_bits,
        in_as_many_bits_as_needed,
        signed_without_sign_extension,
        without_high_bit,
        with_a_high_bit_that_cannot_be,
    ],
)
def test_the_same_hu_are_read(tmp_path: Path, write: Callable[[Dataset, Stored], None]) -> None:
    image = head()[12]
    stored = (hu_of(image) + 1024).clip(0, 3071)
    image.RescaleIntercept = -1024
    write(image, stored)

    (read,) = read_slices(save(image, tmp_path / "image"), ReadLimits())

    np.testing.assert_array_equal(read.hu, stored - 1024)


@pytest.mark.parametrize(
    ("rescale_type", "state"),
    [
        ("HU", "not_suspected"),
        ("US", "not_suspected"),
        ("", "not_suspected"),
        ("MGML", "not_analysed"),
        ("Z_EFF", "not_analysed"),
        ("HU_MOD", "not_analysed"),
        ("some text", "not_analysed"),
    ],
)
def test_what_is_of_another_type_than_hu_gets_no_answer(
    answer: Answer, tmp_path: Path, rescale_type: str, state: str
) -> None:
    images = head()
    for image in images:
        image.RescaleType = rescale_type
    save_all(images, tmp_path / "in")

    report = answer(tmp_path / "in")

    assert report.state == state
    if state == "not_analysed":
        assert "Rescale Type" in str(report.text)
        assert "some text" not in str(report.text)


@pytest.mark.slow
@pytest.mark.parametrize("filling_hu", [-1024, -2000, -3024, -32768])
def test_a_round_field_is_a_head_whatever_fills_its_corners(
    answer: Answer, tmp_path: Path, filling_hu: int
) -> None:
    images = head()
    for image in images:
        values = hu_of(image)
        j, i = np.indices(values.shape) - (values.shape[0] - 1) / 2
        values[np.hypot(j, i) > values.shape[0] / 2] = filling_hu
        is_stored_0 = filling_hu == -1024
        image.RescaleIntercept = -1024 if is_stored_0 else 0
        image.PixelRepresentation = 0 if is_stored_0 else 1
        set_stored(image, values + 1024 if is_stored_0 else values)
    save_all(images, tmp_path / "in")

    report = answer(tmp_path / "in")

    assert (report.state, report.caveats) == ("not_suspected", ())


def test_padding_that_is_said_to_be_unsigned_is_air(answer: Answer, tmp_path: Path) -> None:
    """-2000 of 16 bits reads as 63536: denser than metal, in the corners of each image."""
    images = head()
    for image in images:
        stored = image.pixel_array.astype(np.int32)
        j, i = np.indices(stored.shape) - (stored.shape[0] - 1) / 2
        stored[np.hypot(j, i) > stored.shape[0] / 2] = 63536
        image.PixelPaddingValue, image.BitsStored, image.HighBit = 63536, 16, 15
        set_stored(image, stored)
    paths = save_all(images, tmp_path / "in")

    report = answer(tmp_path / "in")

    assert (report.state, report.caveats) == ("not_suspected", ())
    (read,) = read_slices(paths[0], ReadLimits())
    assert read.hu[0, 0] == -1024
