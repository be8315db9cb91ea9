"""Heads as a scanner exports them, in memory, so that a case may spoil them before it writes them.

The heads are generated, on a coarse matrix: what a case tries is the reading, not the networks.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from datetime import datetime, timezone
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from agent.records import Side, Subtype
from build_engine.synth.dicom import SyntheticStudy, datasets, localizer
from build_engine.synth.head import HeadRecipe, SynthHead, make_head
from build_engine.synth.presets import PRESETS, ScannerPreset

MATRIX = 128
SEED = 5
BLEED_ML = 30.0
TAKEN_AT = datetime(2026, 1, 1, tzinfo=timezone.utc)


def head(preset: str = "ge-32x5", *, bleed: bool = False, seed: int = SEED) -> list[Dataset]:
    """Return the axial images of a head, lowest first; with a bleed of 30 mL at its left."""
    return copy.deepcopy(list(_images(preset, bleed, seed)))


def scout(preset: str = "ge-32x5", *, bleed: bool = False, seed: int = SEED) -> Dataset:
    """Return the localizer of the same examination, in a series of its own."""
    return localizer(_head(bleed, seed), _coarse(preset), _study(seed))


def save(image: Dataset, path: Path) -> Path:
    """Write an image whatever it holds, creating the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image.preamble = b"\0" * 128
    image.save_as(path, enforce_file_format=False)
    return path


def save_all(images: list[Dataset], folder: Path) -> list[Path]:
    """Write images as ``I001`` … in their order."""
    return [save(image, folder / f"I{n:03}") for n, image in enumerate(images, 1)]


def renamed(image: Dataset) -> Dataset:
    """Give an image a SOP UID of its own."""
    image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    return image


def hu_of(image: Dataset) -> NDArray[np.int32]:
    """Return an image's values (rows, columns) [HU]."""
    return image.pixel_array.astype(np.int32) * int(image.RescaleSlope) + int(
        image.RescaleIntercept
    )


def set_stored(image: Dataset, stored: NDArray[np.int32]) -> None:
    """Replace an image's stored values (rows, columns), of 16 bits each."""
    image.PixelData = (stored & 0xFFFF).astype("<u2").tobytes()
    image["PixelData"].VR = "OW"
    image.Rows, image.Columns = stored.shape


@lru_cache(maxsize=4)
def _images(preset: str, bleed: bool, seed: int) -> tuple[Dataset, ...]:
    return tuple(datasets(_head(bleed, seed), _coarse(preset), _study(seed)))


@lru_cache(maxsize=4)
def _head(bleed: bool, seed: int) -> SynthHead:
    subtype = Subtype.INTRAPARENCHYMAL if bleed else None
    return make_head(HeadRecipe(seed, subtype, volume_ml=BLEED_ML, side=Side.LEFT), (2.5, 2.0, 2.0))


def _coarse(preset: str) -> ScannerPreset:
    fine = PRESETS[preset]
    return replace(fine, matrix=MATRIX, pixel_mm=fine.pixel_mm * fine.matrix / MATRIX)


def _study(seed: int) -> SyntheticStudy:
    return SyntheticStudy(seed, "DOE^CASE", f"CASE-{seed}", TAKEN_AT)
