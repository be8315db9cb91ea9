"""What the volume network is shown in training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs the train extra")

from build_engine.train.blocks import BlockCase, draw_blocks, save_block

pytestmark = pytest.mark.slow

SHAPE_KJI = (20, 112, 96)


def real_block(folder: Path, boxed_k: range) -> Path:
    """A real head that an annotator boxed in some slices."""
    boxed = np.isin(np.arange(SHAPE_KJI[0]), boxed_k)
    path = folder / "head.npz"
    save_block(
        BlockCase(
            name="head",
            block=np.zeros((7, *SHAPE_KJI), dtype=np.float16),
            subtypes=np.zeros(SHAPE_KJI, dtype=np.uint8),
            regions=None,
            boxed=boxed,
            covered=np.ones(SHAPE_KJI[0], dtype=np.bool_),
            named=True,
        ),
        path,
    )
    return path


def share_that_bleeds(path: Path) -> float:
    *_, bleeds = draw_blocks((path,), np.random.default_rng(1), count=16)
    return float(bleeds.mean())


def test_some_bleeding_heads_are_shown_without_their_bleed(tmp_path: Path):
    assert 0.4 < share_that_bleeds(real_block(tmp_path, range(4))) < 0.9


def test_a_real_head_without_a_bleed_is_shown_as_it_is(tmp_path: Path):
    """It ended training: there was no boxed slice to cut out."""
    assert share_that_bleeds(real_block(tmp_path, range(0))) == 0.0
