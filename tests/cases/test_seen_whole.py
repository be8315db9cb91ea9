"""Exports of a part of a head, or of values that are no HU, which were once *not suspected*."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from tests.cases.conftest import Answer
from tests.cases.exports import head, hu_of, save_all, set_stored

Stored: TypeAlias = NDArray[np.int32]


@pytest.mark.parametrize("missing", [slice(-12, None), slice(-16, None), slice(0, 12)], ids=str)
def test_a_head_without_its_vertex_or_its_base_is_not_called_not_suspected(
    answer: Answer, tmp_path: Path, missing: slice
) -> None:
    images = head()
    del images[missing]
    save_all(images, tmp_path / "in")

    report = answer(tmp_path / "in")

    assert (report.state, report.code) == ("not_analysed", "not_seen_whole")
    end = "base of the skull" if missing.start == 0 else "top of the head"
    assert end in str(report.text)


def test_a_bleed_in_a_part_of_a_head_is_told_with_the_caveat(
    answer: Answer, tmp_path: Path
) -> None:
    save_all(head(bleed=True)[:-12], tmp_path / "in")

    report = answer(tmp_path / "in", "dense")

    assert report.state == "suspected"
    assert any("top of the head" in str(caveat) for caveat in report.caveats)


def moved_by_32768(image: Dataset, stored: Stored) -> None:
    image.PixelRepresentation, image.RescaleIntercept = 1, 0
    set_stored(image, (stored - 1024) ^ 0x8000)


def without_intercept(image: Dataset, stored: Stored) -> None:
    image.RescaleIntercept = 0


def in_the_other_byte_order(image: Dataset, stored: Stored) -> None:
    set_stored(image, stored.astype("<u2").byteswap().astype(np.int32))


def inverted(image: Dataset, stored: Stored) -> None:
    set_stored(image, 4095 - stored)


def windowed(image: Dataset, stored: Stored) -> None:
    image.RescaleIntercept = 0
    set_stored(image, np.clip((stored - 1024) * 255 // 80, 1, 255))


def half_as_steep(image: Dataset, stored: Stored) -> None:
    image.RescaleSlope = 0.5


@pytest.mark.slow
@pytest.mark.parametrize(
    "spoil",
    [
        moved_by_32768,
        without_intercept,
        in_the_other_byte_order,
        inverted,
        windowed,
        half_as_steep,
    ],
)
@pytest.mark.parametrize("networks", ["blind", "dense"])
def test_values_that_are_no_hu_get_no_answer(
    answer: Answer,
    tmp_path: Path,
    spoil: Callable[[Dataset, Stored], None],
    networks: str,
) -> None:
    images = head(bleed=True)
    for image in images:
        spoil(image, (hu_of(image) + 1024).clip(0, 4095))
    save_all(images, tmp_path / "in")

    report = answer(tmp_path / "in", networks)

    assert (report.state, report.code) == ("not_analysed", "implausible")


def test_one_slice_given_for_all_gets_no_answer(answer: Answer, tmp_path: Path) -> None:
    images = head()
    for image in images:
        set_stored(image, hu_of(images[20]) + 1024)
    save_all(images, tmp_path / "in")

    report = answer(tmp_path / "in")

    assert (report.state, report.code) == ("not_analysed", "implausible")
    assert "copies of another" in str(report.text)
