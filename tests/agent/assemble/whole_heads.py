"""Whole heads as volumes: one that is made here, and the real ones of ../shared."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agent.voxels import Grid, HeadVolume
from build_engine.heads.known import bleed_free_heads
from build_engine.heads.phe_sich import phe_head
from build_engine.synth.head import HeadRecipe, make_head

SHARED = Path(__file__).parents[4] / "shared" / "data"
PHE, CT_ICH, GE = SHARED / "phe_sich", SHARED / "ct_ich", SHARED / "head_ct_ge_tilted"

WITHOUT_BRAIN = "ct_ich 085"
"""A newborn whose brain was taken off together with the face: some 2 cm² of it are left."""

CT_ICH_PIXEL_MM, CT_ICH_SLICE_MM = 0.52, 5.0
"""Nominal, as the data set's page says."""


@lru_cache(maxsize=8)
def made_head(seed: int = 5, slice_mm: float = 5.0) -> HeadVolume:
    """A generated head with skull, brain and air."""
    synth = make_head(HeadRecipe(seed, None), (slice_mm, 1.0, 1.0))
    return volume(synth.hu, slice_mm, 1.0)


def volume(hu: NDArray[np.int16], slice_mm: float, pixel_mm: float) -> HeadVolume:
    """Stack slices, lowest first."""
    n, rows, columns = hu.shape
    origins_mm = np.zeros((n, 3))
    origins_mm[:, 2] = np.arange(n) * slice_mm
    axes = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0)
    grid = Grid(origins_mm, *axes, pixel_mm, pixel_mm, rows, columns, slice_mm)
    return HeadVolume(hu, grid, tuple(map(str, range(n))), ())


def cut(head: HeadVolume, kept: slice) -> HeadVolume:
    """Keep some slices."""
    grid = replace(head.grid, origins_lps_mm=head.grid.origins_lps_mm[kept])
    return HeadVolume(head.hu[kept], grid, head.sop_uids[kept], ())


def real_heads() -> Iterator[tuple[str, HeadVolume]]:
    """Every real head there is, by name."""
    for patient in sorted(path.name[:4] for path in PHE.glob("*_ct.nii.gz")):
        yield f"phe_sich {patient}", phe_head(PHE, patient)
    for path in sorted(CT_ICH.glob("*_ct.nii.gz")):
        yield f"ct_ich {path.name[:3]}", ct_ich_head(path)
    if GE.is_dir():
        (known,) = bleed_free_heads(GE)
        yield "ge", known.head


def ct_ich_head(path: Path) -> HeadVolume:
    """Read a head of CT-ICH: its air is air already."""
    import nibabel  # noqa: PLC0415 - of the training extra

    hu = np.asarray(nibabel.load(path).dataobj).transpose(2, 1, 0).astype(np.int16)
    return volume(hu, CT_ICH_SLICE_MM, CT_ICH_PIXEL_MM)
