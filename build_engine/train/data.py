"""Cases to train and evaluate on: generated heads and PHE-SICH-CT-IDS patients, as fields.

Fields are made by ``agent.preprocess``, as at a site, and kept in bytes between -20 and 100 HU in
half-HU steps: the range in which the real patients were published.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from agent.preprocess import (
    AIR_HU,
    Floats,
    SliceInput,
    VolumeInput,
    block_of,
    field_from_slices,
    field_matrices,
    image_matrices,
    volume_input,
)
from agent.records import Grid, HeadVolume, Subtype
from build_engine.synth.head import HeadRecipe, SynthHead, make_head

Bytes = NDArray[np.uint8]

LOWEST_HU: Final = -20.0
STEPS_PER_HU: Final = 2.0

UNSURE: Final = 255
"""Label of pixels near a real bleed whose truth is not known; they teach nothing."""

HELD_OUT_SEED: Final = 2026
N_HELD_OUT: Final = 15

PHE_PIXEL_MM: Final = 0.45
PHE_SLICE_MM: Final = 5.0
"""Nominal: the data set does not record them."""

BLOOD_HU: Final = (47.0, 95.0)
"""Smoothed density of what is taken for blood inside an annotator's box. Ours, checked by eye."""

MAYBE_BLOOD_HU: Final = 42.0
SMALLEST_BLOOD_MM2: Final = 12.0

DENSEST_BLOOD_HU: Final = 98.0

VOLUMES_ML: Final = {
    Subtype.INTRAPARENCHYMAL: (0.5, 100.0),
    Subtype.INTRAVENTRICULAR: (1.0, 50.0),
    Subtype.SUBARACHNOID: (1.5, 50.0),
    Subtype.SUBDURAL: (2.0, 120.0),
    Subtype.EPIDURAL: (2.0, 120.0),
}
"""Range of generated volumes, drawn evenly in their logarithm."""

NO_BLEED_SHARE: Final = 0.35


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """One head as fields (slab, row, column), ascending.

    ``subtypes`` holds a ``Subtype``, 0 or ``UNSURE``; real bleeds are all written as
    intraparenchymal. ``boxed`` (slab,) tells which slabs an annotator boxed. ``regions`` is None
    and ``real`` true where the anatomy is not known.
    """

    name: str
    packed: Bytes
    subtypes: Bytes
    regions: Bytes | None
    boxed: NDArray[np.bool_]
    heights_mm: NDArray[np.float64]
    real: bool

    @property
    def fields(self) -> Floats:
        """Fields [HU]; what lies at or below the published range is air."""
        return unpacked(self.packed)


def packed(fields: Floats) -> Bytes:
    """HU to bytes."""
    values: Bytes = np.rint(np.clip(fields - LOWEST_HU, 0, 120) * STEPS_PER_HU).astype(np.uint8)
    return values


def unpacked(values: Bytes) -> Floats:
    """Bytes to HU."""
    hu = values.astype(np.float32) / np.float32(STEPS_PER_HU) + np.float32(LOWEST_HU)
    hu[values == 0] = AIR_HU
    return hu


def block_input(
    case: Case, probabilities: Floats, contracts: tuple[SliceInput, VolumeInput]
) -> tuple[Floats, NDArray[np.float64]]:
    """Volume network's input for a case, and the heights of its slices [mm]."""
    fields = case.fields
    slides_mm = np.zeros((len(fields), 2))
    block = block_of(fields, case.heights_mm, slides_mm, contracts)
    return volume_input(block, fields, probabilities, contracts), block.heights_mm


def random_recipe(seed: int) -> tuple[HeadRecipe, tuple[float, float, float]]:
    """Draw a recipe and a grid for one training head."""
    rng = np.random.default_rng((seed, 1))
    spacing_k_mm = rng.choice([2.5, 5.0, rng.uniform(3.0, 7.0)], p=[0.45, 0.4, 0.15])
    pixel_mm = rng.uniform(0.95, 1.3)
    spacing_kji_mm = (float(spacing_k_mm), pixel_mm, pixel_mm)
    if rng.random() < NO_BLEED_SHARE:
        return HeadRecipe(seed, None), spacing_kji_mm
    subtype = Subtype(int(rng.choice([1, 2, 3, 4, 5], p=[0.18, 0.17, 0.24, 0.24, 0.17])))
    low_ml, high_ml = np.log(VOLUMES_ML[subtype])
    volume_ml = float(np.exp(rng.uniform(low_ml, high_ml)))
    return HeadRecipe(seed, subtype, volume_ml), spacing_kji_mm


def generated_case(seed: int, contract: SliceInput) -> Case:
    """Make one training head and bring it to fields."""
    recipe, spacing_kji_mm = random_recipe(seed)
    head = make_head(recipe, spacing_kji_mm)
    grid = grid_of(head)
    matrices = field_matrices(grid, contract)
    fields = np.stack([field_from_slices(hu[None], matrices) for hu in head.hu])
    subtypes = _labels_on_fields(head.subtypes, grid, contract)
    subtypes[(subtypes > 0) & (fields > DENSEST_BLOOD_HU)] = UNSURE  # lost in bone
    return Case(
        name=f"generated-{seed}-{int(recipe.bleed or 0)}",
        packed=packed(fields),
        subtypes=subtypes,
        regions=_labels_on_fields(head.regions, grid, contract),
        boxed=np.asarray(head.subtypes.any(axis=(1, 2))),
        heights_mm=grid.heights_mm,
        real=False,
    )


def grid_of(head: SynthHead) -> Grid:
    """Grid of a generated head."""
    slices, rows, columns = head.hu.shape
    spacing_k_mm, row_mm, column_mm = head.spacing_kji_mm
    origins_mm = np.zeros((slices, 3))
    origins_mm[:, 2] = np.arange(slices) * spacing_k_mm
    axes = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0)
    return Grid(origins_mm, *axes, row_mm, column_mm, rows, columns, spacing_k_mm)


def _labels_on_fields(labels: Bytes, grid: Grid, contract: SliceInput) -> Bytes:
    """Nearest label at each pixel of the fields; 0 outside the image."""
    to_image = image_matrices(grid, contract)
    nearest = [weights.argmax(axis=0) for weights in to_image]
    inside = [weights.sum(axis=0) > 0 for weights in to_image]
    picked = labels[:, nearest[0][:, None], nearest[1][None, :]]
    on_fields: Bytes = picked * np.outer(*inside).astype(np.uint8)
    return on_fields


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
    import nibabel  # noqa: PLC0415 - of the training extra; generated cases do without

    values = np.asarray(nibabel.load(path).dataobj)
    turned: NDArray[np.int16] = values.transpose(2, 1, 0).astype(np.int16)
    return turned


def phe_case(folder: Path, patient: str, contract: SliceInput) -> Case:
    """Bring one real patient to fields, with blood drawn from density inside the boxes."""
    head, boxes = phe_head(folder, patient), phe_boxes(folder, patient)
    oedema = _phe_stack(folder / f"{patient}_oedema.nii.gz") > 0
    silver = _silver(np.maximum(head.hu, int(LOWEST_HU)), oedema, boxes)
    matrices = field_matrices(head.grid, contract)
    return Case(
        name=f"phe-{patient}",
        packed=packed(np.stack([field_from_slices(image[None], matrices) for image in head.hu])),
        subtypes=_labels_on_fields(silver, head.grid, contract),
        regions=None,
        boxed=np.array([k in boxes for k in range(len(head.hu))]),
        heights_mm=head.grid.heights_mm,
        real=True,
    )


def _silver(
    hu: NDArray[np.int16], oedema: NDArray[np.bool_], boxes: dict[int, list[list[int]]]
) -> Bytes:
    """Blood (k, j, i) inside the boxes, by density; ``UNSURE`` where it may be."""
    labels = np.zeros(hu.shape, dtype=np.uint8)
    for k, slice_boxes in boxes.items():
        smooth = ndimage.gaussian_filter(hu[k].astype(np.float32), 1.0 / PHE_PIXEL_MM)
        in_box = np.zeros(hu.shape[1:], dtype=bool)
        for column0, row0, column1, row1 in slice_boxes:
            in_box[row0 : row1 + 1, column0 : column1 + 1] = True
        near_bone = ndimage.binary_dilation(hu[k] >= 100, iterations=4)  # noqa: PLR2004
        blood = in_box & (smooth > BLOOD_HU[0]) & (smooth < BLOOD_HU[1]) & ~near_bone & ~oedema[k]
        blood = ndimage.binary_opening(blood, iterations=2)
        parts, _ = ndimage.label(blood)
        sizes_mm2 = np.bincount(parts.ravel()) * PHE_PIXEL_MM**2
        blood &= (sizes_mm2 >= SMALLEST_BLOOD_MM2)[parts]
        blood = ndimage.binary_fill_holes(blood) & in_box
        maybe = in_box & (smooth > MAYBE_BLOOD_HU) & ~oedema[k]
        maybe |= ndimage.binary_dilation(blood, iterations=2)
        labels[k][maybe] = UNSURE
        labels[k][blood] = Subtype.INTRAPARENCHYMAL
        for beside in (k - 1, k + 1):  # a bleed's last, faint slice is often not boxed
            if beside not in boxes and 0 <= beside < len(labels):
                labels[beside][in_box & (hu[beside] > MAYBE_BLOOD_HU)] = UNSURE
    return labels


def save_case(case: Case, path: Path) -> None:
    """Write a case to an ``.npz``."""
    nowhere = np.zeros(0, dtype=np.uint8)
    np.savez_compressed(
        path,
        name=case.name,
        packed=case.packed,
        subtypes=case.subtypes,
        regions=nowhere if case.regions is None else case.regions,
        boxed=case.boxed,
        heights_mm=case.heights_mm,
    )


def load_case(path: Path) -> Case:
    """Read what ``save_case`` wrote."""
    with np.load(path, allow_pickle=False) as stored:
        regions = stored["regions"] if stored["regions"].size else None
        return Case(
            name=str(stored["name"]),
            packed=stored["packed"],
            subtypes=stored["subtypes"],
            regions=regions,
            boxed=stored["boxed"],
            heights_mm=stored["heights_mm"],
            real=regions is None,
        )
