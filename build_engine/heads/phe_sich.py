"""PHE-SICH-CT-IDS: real patients with boxes around their bleeds, and which are held out.

Ma et al. 2023. Nobody outlined the blood: ``phe_silver`` is our own reading of the boxes.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agent.preprocess import AIR_HU, SliceInput
from agent.records import Subtype
from agent.voxels import Grid, HeadVolume
from build_engine.heads.boxes import blood_in_boxes
from build_engine.heads.fields import LOWEST_HU, Bytes, Case, case_of

HELD_OUT_SEED: Final = 2026
N_HELD_OUT: Final = 15

PHE_PIXEL_MM: Final = 0.45
PHE_SLICE_MM: Final = 5.0
"""Nominal: the data set does not record them."""


def held_out_patients(folder: Path) -> tuple[list[str], list[str]]:
    """Split the patients in ``folder`` into those to train on and the 15 never trained on."""
    patients = sorted(json.loads((folder / "boxes.json").read_text()))
    shuffled = np.random.default_rng(HELD_OUT_SEED).permutation(patients).tolist()
    return shuffled[N_HELD_OUT:], shuffled[:N_HELD_OUT]


def phe_boxes(folder: Path, patient: str) -> dict[int, list[list[int]]]:
    """Boxes (column0, row0, column1, row1) of each boxed slice of a patient."""
    boxes = json.loads((folder / "boxes.json").read_text())[patient]
    return {int(k): slice_boxes for k, slice_boxes in boxes.items()}


def phe_head(folder: Path, patient: str) -> HeadVolume:
    """Read one real patient; what lies at or below the published range is made air again."""
    hu = _phe_stack(folder / f"{patient}_ct.nii.gz")
    slices, rows, columns = hu.shape
    origins_mm = np.zeros((slices, 3))
    origins_mm[:, 2] = np.arange(slices) * PHE_SLICE_MM
    axes = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0)
    grid = Grid(origins_mm, *axes, PHE_PIXEL_MM, PHE_PIXEL_MM, rows, columns, PHE_SLICE_MM)
    hu[hu <= LOWEST_HU] = int(AIR_HU)
    return HeadVolume(hu, grid, tuple(f"{patient}.{k}" for k in range(slices)), ())


def _phe_stack(path: Path) -> NDArray[np.int16]:
    import nibabel  # noqa: PLC0415 - of the training extra; generated heads do without

    values = np.asarray(nibabel.Nifti1Image.from_filename(path).dataobj)
    turned: NDArray[np.int16] = values.transpose(2, 1, 0).astype(np.int16)
    return turned


def phe_case(folder: Path, patient: str, contract: SliceInput) -> Case:
    """Bring one real patient to fields, with blood drawn from density inside the boxes."""
    head = phe_head(folder, patient)
    case = case_of(f"phe-{patient}", head, phe_silver(folder, patient), contract, named=False)
    boxes = phe_boxes(folder, patient)
    return replace(case, boxed=np.array([k in boxes for k in range(len(head.hu))]))


def phe_silver(folder: Path, patient: str) -> Bytes:
    """Blood (k, j, i) of one real patient by density inside the boxes; ``UNSURE`` where it may be.

    Nobody outlined it: see ``blood_in_boxes``.
    """
    hu = _phe_stack(folder / f"{patient}_ct.nii.gz")
    oedema = _phe_stack(folder / f"{patient}_oedema.nii.gz") > 0
    boxed = np.zeros(hu.shape, dtype=np.uint8)
    for k, slice_boxes in phe_boxes(folder, patient).items():
        for column0, row0, column1, row1 in slice_boxes:
            boxed[k, row0 : row1 + 1, column0 : column1 + 1] = Subtype.INTRAPARENCHYMAL
    return blood_in_boxes(hu, boxed, PHE_PIXEL_MM, oedema)
