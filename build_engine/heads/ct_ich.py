"""CT-ICH: real heads after trauma, whose bleeds are named slice by slice, and which are held out.

Hssayeni, Croock, Salman, Al-khafaji, Yahya, Ghoraani 2020 (Data 5(1):14).
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from agent.preprocess import Floats, SliceInput
from agent.records import Subtype
from agent.voxels import Grid, HeadVolume
from build_engine.heads.fields import Case, case_of
from build_engine.heads.pseudo_masks import pseudo_masks

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SPLIT: Final = Path(__file__).with_name("ct_ich_split.toml")

PERSISTS_PX: Final = 9
ALARMING_AT: Final = 0.06
"""A slice alarms where a bleed's probability persists over so many pixels square. Ours."""


@dataclass(frozen=True, slots=True)
class TraumaLabels:
    """What readers said of one patient: age [years] and the kinds of bleed in each slice."""

    age_years: float
    kinds: tuple[frozenset[Subtype], ...]


@dataclass(frozen=True, slots=True)
class TraumaSplit:
    """Patients by what they may be used for; no patient is in two of the first three.

    What slices of the ``unclear`` show is not what their labels say. Who is ``left_out`` is in
    none, and is used for nothing.
    """

    train: tuple[str, ...]
    validation: tuple[str, ...]
    held_out: tuple[str, ...]
    unclear: tuple[str, ...]
    left_out: tuple[str, ...]


def trauma_split(folder: Path) -> TraumaSplit:
    """Split the patients in ``folder`` as ``ct_ich_split.toml`` says; who is not named trains."""
    named = tomllib.loads(SPLIT.read_text(encoding="utf-8"))
    validation, held_out = tuple(named["validation"]), tuple(named["held_out"])
    patients = sorted(json.loads((folder / "labels.json").read_text(encoding="utf-8")))
    left_out = tuple(named["left_out"])
    train = tuple(one for one in patients if one not in (*validation, *held_out, *left_out))
    return TraumaSplit(train, validation, held_out, tuple(named["unclear"]), left_out)


def bleed_free_patients(folder: Path) -> frozenset[str]:
    """Patients in whom no slice was labelled as bleeding."""
    labels = json.loads((folder / "labels.json").read_text(encoding="utf-8"))
    return frozenset(patient for patient, label in labels.items() if not label["slices"])


def trauma_head(folder: Path, patient: str) -> HeadVolume:
    """Read one patient; the pixel size is nominal, and HU are clipped to -20…100."""
    import nibabel  # noqa: PLC0415 - of the training extra; generated heads do without

    image = nibabel.Nifti1Image.from_filename(folder / f"{patient}_ct.nii.gz")
    hu: NDArray[np.int16] = np.asarray(image.dataobj).transpose(2, 1, 0).astype(np.int16)
    pixel_mm, _, slice_mm = (float(size) for size in image.header.get_zooms())
    slices, rows, columns = hu.shape
    origins_mm = np.zeros((slices, 3))
    origins_mm[:, 2] = np.arange(slices) * slice_mm
    axes = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0)
    grid = Grid(origins_mm, *axes, pixel_mm, pixel_mm, rows, columns, slice_mm)
    return HeadVolume(hu, grid, tuple(f"{patient}.{k}" for k in range(slices)), ())


def trauma_labels(folder: Path, patient: str, n_slices: int) -> TraumaLabels:
    """Read what readers said; a slice that they do not name was labelled bleed-free."""
    label = json.loads((folder / "labels.json").read_text(encoding="utf-8"))[patient]
    kinds = [frozenset[Subtype]()] * n_slices
    for k, names in label["slices"].items():
        kinds[int(k)] = frozenset(Subtype[name.upper()] for name in names)
    return TraumaLabels(float(label["age"]), tuple(kinds))


def trauma_case(folder: Path, patient: str, seen: Floats, contract: SliceInput) -> Case:
    """Bring one patient to fields; ``seen`` (k, j, i) is an earlier bundle's bleed probability."""
    head = trauma_head(folder, patient)
    labels = trauma_labels(folder, patient, len(head.hu))
    with np.load(folder / "peer" / f"{patient}.npz") as stored:
        peer = stored["p"].astype(np.float32) / 255
    masks = pseudo_masks(head, labels.kinds, seen, peer)
    kinds: NDArray[np.bool_] = np.array(
        [[kind in named for kind in Subtype] for named in labels.kinds]
    )
    window = (1, PERSISTS_PX, PERSISTS_PX)
    persists = ndimage.uniform_filter(seen, window).max(axis=(1, 2))
    return replace(
        case_of(f"trauma-{patient}", head, masks, contract, named=True),
        boxed=np.asarray(kinds.any(axis=1)),
        kinds=kinds & (patient not in trauma_split(folder).unclear),
        alarming=persists >= ALARMING_AT,
    )
