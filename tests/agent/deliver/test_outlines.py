"""agent.deliver.dicom.outlines: lines about each finding, on the images that show it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydicom import dcmread
from pydicom.dataset import Dataset

from agent.deliver.dicom.objects import objects_of
from agent.deliver.dicom.outlines import loops_of
from agent.deliver.result import StoredResult
from tests.agent.deliver.results import HEIGHTS_MM, stored_result


def made(result: StoredResult) -> Dataset | None:
    """Make the outlines, write them, and read them back."""
    for one in objects_of(result, ("outlines",)):
        written = BytesIO()
        one.save_as(written, enforce_file_format=True)
        written.seek(0)
        return dcmread(written)
    return None


def area(loop: np.ndarray) -> float:
    """By the shoelace formula: of what a line goes about clockwise; a hole's is negative."""
    x, y = loop[:-1].T
    return float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum() / 2)


def test_a_pixel_is_outlined_along_its_edges() -> None:
    inside = np.zeros((4, 5), bool)
    inside[1, 3] = True

    (loop,) = loops_of(inside)

    assert set(map(tuple, loop.tolist())) == {(3, 1), (4, 1), (4, 2), (3, 2)}
    assert len(loop) == 5


def test_a_ring_has_an_outline_without_and_one_within() -> None:
    ring = np.ones((6, 6), bool)
    ring[2:4, 2:4] = False

    assert sorted(map(area, loops_of(ring))) == [-4.0, 36.0]


@given(arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_outlines_are_closed_and_enclose_what_is_inside(inside: np.ndarray) -> None:
    loops = loops_of(inside)

    assert all((loop[0] == loop[-1]).all() for loop in loops)
    assert sum(map(area, loops)) == inside.sum()


@pytest.mark.parametrize(
    "changes",
    [{}, {"heights_mm": HEIGHTS_MM["uneven"], "tilt_deg": 18.0}, {"enhanced": True}],
    ids=["even", "tilted and uneven", "Enhanced CT"],
)
def test_each_finding_is_outlined_and_named_on_each_image_that_shows_it(changes: Any) -> None:
    result = stored_result(**changes)
    state = made(result)

    assert state is not None
    areas: Counter[tuple[str, int | None, str]] = Counter()
    for one in state.GraphicAnnotationSequence:
        (image,) = one.ReferencedImageSequence
        (text,) = one.TextObjectSequence
        assert "AI result, not for diagnosis" in text.UnformattedTextValue
        frame = image.get("ReferencedFrameNumber")
        where = image.ReferencedSOPInstanceUID, frame and int(frame), one.GraphicLayer
        for line in one.GraphicObjectSequence:
            assert line.GraphicAnnotationUnits == "PIXEL"
            areas[where] += area(np.reshape(line.GraphicData, (-1, 2)))
    assert areas == {
        (image.sop_uid, image.frame, f"FINDING{number}"): n_pixels
        for image, numbers in zip(result.images.images, result.numbers, strict=True)
        for number in (1, 2)
        if (n_pixels := np.count_nonzero(numbers == number))
    }
    assert [one.GraphicLayerDescription for one in state.GraphicLayerSequence] == [
        "Subdural hemorrhage, left frontal",
        "Intraventricular hemorrhage, right ventricles",
    ]


def test_images_are_shown_in_hu_and_in_the_window_of_a_brain() -> None:
    state = made(stored_result())

    assert state is not None
    assert (state.RescaleSlope, state.RescaleIntercept, state.RescaleType) == (1, -1024, "HU")
    (window,) = state.SoftcopyVOILUTSequence
    assert (window.WindowCenter, window.WindowWidth) == (40, 80)


def test_made_again_it_is_the_same() -> None:
    assert made(stored_result()) == made(stored_result())


@pytest.mark.parametrize("lacks", ["a finding", "outlined voxels", "one rescale for all images"])
def test_there_is_none_where_one_cannot_be_right(lacks: str) -> None:
    result = stored_result()
    without = {
        "a finding": stored_result(state="not_suspected", findings=(), total_volume_ml=0.0),
        "outlined voxels": replace(result, numbers=np.zeros_like(result.numbers)),
        "one rescale for all images": replace(
            result, images=result.images.model_copy(update={"rescale": None})
        ),
    }

    assert made(without[lacks]) is None
