"""agent.draw.key_slice: the picture a technologist sees."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from agent.draw.key_slice import render_key_slice
from agent.packing import OUTLINE_RGB


def drawn(hu: np.ndarray, bleed: np.ndarray, spacing_mm: tuple[float, float]) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(render_key_slice(hu, bleed, spacing_mm))).convert("RGB"))


def test_a_bleed_is_outlined_and_not_covered() -> None:
    hu = np.full((100, 100), 30, np.int16)
    bleed = np.zeros((100, 100), bool)
    bleed[40:60, 70:90] = True

    picture = drawn(hu, bleed, (1.0, 1.0))

    outline = (picture == OUTLINE_RGB).all(axis=-1)
    scale = picture.shape[0] / 100
    rows, columns = np.nonzero(outline)
    assert abs(rows.mean() / scale - 50) < 1
    assert abs(columns.mean() / scale - 80) < 1
    assert not outline[int(50 * scale), int(80 * scale)]


def test_the_outline_runs_all_around_and_never_inside() -> None:
    hu = np.full((64, 64), 30, np.int16)
    bleed = np.zeros((64, 64), bool)
    bleed[20:40, 10:30] = True

    outline = (drawn(hu, bleed, (1.0, 1.0)) == OUTLINE_RGB).all(axis=-1)

    top, bottom, left, right = 200, 400, 100, 300  # ten pixels of the picture to one of the slice
    assert not outline[top:bottom, left:right].any()
    assert outline[top - 4 : top, left:right].any(axis=0).all()
    assert outline[bottom : bottom + 4, left:right].any(axis=0).all()
    assert outline[top:bottom, left - 4 : left].any(axis=1).all()
    assert outline[top:bottom, right : right + 4].any(axis=1).all()


def test_the_patients_left_is_on_the_right() -> None:
    hu = np.full((100, 100), -1000, np.int16)
    hu[45:55, 85:90] = 80

    picture = drawn(hu, np.zeros((100, 100), bool), (1.0, 1.0))

    half = picture.shape[1] // 2
    assert picture[:, half:].mean() > picture[:, :half].mean()


@pytest.mark.parametrize("spacing_mm", [(1.0, 1.0), (0.5, 1.0)], ids=["square", "flat-pixels"])
def test_proportions_are_the_patients(spacing_mm: tuple[float, float]) -> None:
    picture = drawn(np.zeros((100, 80), np.int16), np.zeros((100, 80), bool), spacing_mm)

    height, width, _ = picture.shape
    assert width / height == pytest.approx(80 * spacing_mm[1] / (100 * spacing_mm[0]), rel=0.01)
