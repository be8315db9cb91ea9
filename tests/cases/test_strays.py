"""One image that does not belong, one that is there twice: the head is analysed all the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset

from tests.cases.conftest import Answer
from tests.cases.exports import MATRIX, head, hu_of, renamed, save_all, set_stored

N = 32


def coronal(image: Dataset) -> None:
    image.ImageOrientationPatient = [1, 0, 0, 0, 0, -1]
    image.ImagePositionPatient = [-125, 0, 150]


def typed(*image_type: str) -> Callable[[Dataset], None]:
    def change(image: Dataset) -> None:
        image.ImageType = list(image_type)

    return change


def coronal_reference(image: Dataset) -> None:
    coronal(image)
    typed("DERIVED", "SECONDARY", "REFERENCE")(image)


def without(*keywords: str) -> Callable[[Dataset], None]:
    def change(image: Dataset) -> None:
        for keyword in keywords:
            del image[keyword]

    return change


def of_other_matrix(image: Dataset) -> None:
    set_stored(image, np.pad(image.pixel_array.astype(np.int32), MATRIX // 2))


def of_other_spacing(image: Dataset) -> None:
    image.PixelSpacing = [0.6, 0.6]


def of_other_frame(image: Dataset) -> None:
    image.FrameOfReferenceUID = "1.2.3"


STRAYS = {
    "scout typed axial": coronal,
    "reference in another plane": coronal_reference,
    "derived in the same plane": typed("DERIVED", "SECONDARY", "MIP"),
    "secondary": typed("ORIGINAL", "SECONDARY", "OTHER"),
    "without position": without("ImagePositionPatient", "ImageOrientationPatient"),
    "without orientation": without("ImageOrientationPatient"),
    "without spacing": without("PixelSpacing"),
    "of another matrix": of_other_matrix,
    "of another spacing": of_other_spacing,
    "of another frame of reference": of_other_frame,
}


@pytest.mark.slow
@pytest.mark.parametrize("where", ["first", "last"])
@pytest.mark.parametrize("change", STRAYS.values(), ids=STRAYS)
def test_a_stray_image_is_set_aside_by_name(
    change: Callable, where: str, answer: Answer, tmp_path: Path
) -> None:
    images = head()
    stray = renamed(head()[0])
    stray.InstanceNumber = N + 1
    change(stray)
    save_all([stray, *images] if where == "first" else [*images, stray], tmp_path / "in")

    report = answer(tmp_path / "in")

    assert (report.state, report.geometry.slices) == ("not_suspected", N)
    assert report.geometry.missing == ()
    (caveat,) = report.caveats
    assert "1 image(s) set aside" in caveat.text


@pytest.mark.slow
@pytest.mark.parametrize("by_turns", [False, True], ids=["one after the other", "by turns"])
def test_a_bone_reconstruction_in_the_same_series_is_set_aside(
    by_turns: bool, answer: Answer, tmp_path: Path
) -> None:
    soft, bone = head(), head()
    for n, image in enumerate(bone):
        image.ConvolutionKernel, image.InstanceNumber = "BONE", N + 1 + n
        renamed(image)
    images = [one for pair in zip(soft, bone, strict=True) for one in pair]
    save_all(images if by_turns else [*soft, *bone], tmp_path / "in")

    report = answer(tmp_path / "in")

    assert (report.state, report.geometry.slices) == ("not_suspected", N)
    assert any(f"{N} image(s) set aside: bone" in caveat.text for caveat in report.caveats)


@pytest.mark.slow
def test_slices_that_are_ruled_out_between_others_are_missed(
    answer: Answer, tmp_path: Path
) -> None:
    images = head("siemens-64x2.5")
    for image in images[1::2]:
        image.ConvolutionKernel = "Hr68h"
    save_all(images, tmp_path / "in")

    report = answer(tmp_path / "in")

    assert report.state == "not_analysed"
    assert "32 of its files cannot be read" in report.text


def noisy(image: Dataset, seed: int) -> Dataset:
    """The same slice from another rotation."""
    noise = np.random.default_rng(seed).integers(-8, 9, (image.Rows, image.Columns))
    again = renamed(image)
    set_stored(again, np.clip(hu_of(image) + noise - int(image.RescaleIntercept), 0, 4095))
    again.AcquisitionNumber = 2
    return again


def test_a_slice_twice_at_a_seam_is_one(answer: Answer, tmp_path: Path) -> None:
    images = head()
    for image in images[N // 2 + 1 :]:
        image.AcquisitionNumber = 2
    again = noisy(head()[N // 2], 0)
    again.InstanceNumber = N + 1
    save_all([*images, again], tmp_path / "in")

    report = answer(tmp_path / "in")

    assert (report.state, report.geometry.slices, report.caveats) == ("not_suspected", N, ())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scanned_again", "slices_again"),
    [("the upper half", slice(N // 2, N)), ("all", slice(0, N))],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_rescan_after_motion_is_two_stacks_of_which_one_is_analysed(
    scanned_again: str, slices_again: slice, answer: Answer, tmp_path: Path
) -> None:
    again = [noisy(image, n) for n, image in enumerate(head()[slices_again])]
    for number, image in enumerate(again, N + 1):
        image.InstanceNumber = number
    save_all([*head(), *again], tmp_path / "in")

    report = answer(tmp_path / "in")

    assert (report.state, report.geometry.slices) == ("not_suspected", N)
    n_left = N if scanned_again == "all" else N // 2
    assert any(f"{n_left} image(s) of another scan" in caveat.text for caveat in report.caveats)


@pytest.mark.slow
def test_overlapping_reconstructions_are_no_gaps(answer: Answer, tmp_path: Path) -> None:
    images = head("siemens-64x2.5")
    for image in images:
        image.SliceThickness = "5"
    kept = [*images[:32], *images[33::2]]  # every 2.5 mm below, every 5 mm above
    for number, image in enumerate(kept, 1):
        image.InstanceNumber = number
    save_all(kept, tmp_path / "in")

    report = answer(tmp_path / "in")

    assert (report.state, report.geometry.missing) == ("not_suspected", ())


@pytest.mark.slow
@pytest.mark.parametrize("count", [20, 64, 500])
@pytest.mark.parametrize(
    ("networks", "state"), [("blind", "not_suspected"), ("dense", "suspected")]
)
def test_what_an_acquisition_has_is_a_hint_where_the_whole_head_is_seen(
    count: int, networks: str, state: str, answer: Answer, tmp_path: Path
) -> None:
    images = head()
    for image in images:
        image.ImagesInAcquisition = count
    save_all(images, tmp_path / "in")

    report = answer(tmp_path / "in", networks)

    assert (report.state, report.caveats) == (state, ())


def test_every_other_slice_of_an_acquisition_is_not_the_whole_head(
    answer: Answer, tmp_path: Path
) -> None:
    images = head("siemens-64x2.5")[::2]
    for image in images:
        image.ImagesInAcquisition = 64
    save_all(images, tmp_path / "in")

    report = answer(tmp_path / "in")

    assert report.state == "not_analysed"
    assert "only 32 of 64 images came" in report.text


def test_every_other_slice_by_the_image_numbers_is_not_the_whole_head(
    answer: Answer, tmp_path: Path
) -> None:
    save_all(head()[::2], tmp_path / "in")

    report = answer(tmp_path / "in")

    assert report.state == "not_analysed"
    assert "only 16 of 31 images came" in report.text


@pytest.mark.parametrize(("said_mm", "state"), [(5, "not_analysed"), (10, "not_suspected")])
def test_every_other_slice_numbered_anew_is_the_whole_head_only_where_the_scanner_says_so(
    said_mm: int, state: str, answer: Answer, tmp_path: Path
) -> None:
    images = head()[::2]
    for number, image in enumerate(images, 1):
        image.InstanceNumber, image.SpacingBetweenSlices = number, said_mm
    save_all(images, tmp_path / "in")

    report = answer(tmp_path / "in")

    assert report.state == state
    if state == "not_analysed":
        assert "slices of 5.0 mm lie 10.0 mm apart" in report.text


def test_half_the_slices_said_to_lie_in_another_plane_are_no_strays(
    answer: Answer, tmp_path: Path
) -> None:
    images = head()
    for image in images[1::2]:
        image.ImageOrientationPatient = [1, 0, 0, 0, 0, 1]
    save_all(images, tmp_path / "in")

    report = answer(tmp_path / "in")

    assert report.state == "not_analysed"
    assert "16 image(s) set aside" in report.text


def test_an_original_image_that_was_reconstructed_later_is_a_slice(
    answer: Answer, tmp_path: Path
) -> None:
    images = head()
    for image in images:
        image.ImageType = ["ORIGINAL", "SECONDARY", "AXIAL"]
    save_all(images, tmp_path / "in")

    assert answer(tmp_path / "in").state == "not_suspected"
