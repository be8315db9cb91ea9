"""Metal beside the brain is said with the answer: its streaks hide a bleed, or look like one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydicom import Dataset

from tests.cases.conftest import Answer
from tests.cases.exports import head, hu_of, save_all, set_stored

INTERCEPT_HU = -1024
METAL_HU = 3071
"""The most that 12 bits hold."""


def with_clip(image: Dataset) -> None:
    """Put a clip of 6 mm into the middle of the image's tissue."""
    hu = hu_of(image)
    rows, columns = np.indices(hu.shape)
    head_rows, head_columns = np.nonzero(hu > -300)
    from_clip_px = np.hypot(rows - head_rows.mean(), columns - head_columns.mean())
    clip = from_clip_px * float(image.PixelSpacing[0]) < 3
    set_stored(image, np.where(clip, METAL_HU, hu) - INTERCEPT_HU)
    image.RescaleSlope, image.RescaleIntercept = 1, INTERCEPT_HU


def test_a_clip_is_told_with_the_answer(answer: Answer, tmp_path: Path) -> None:
    images = head()
    for image in images[20:23]:
        with_clip(image)
    save_all(images, tmp_path / "in")

    report = answer(tmp_path / "in")

    assert report.state == "not_suspected"
    assert [caveat.code for caveat in report.caveats] == ["metal_seen"]
