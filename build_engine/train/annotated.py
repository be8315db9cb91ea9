"""A site's own annotated heads: a folder a study, with its scan and a mask of the blood.

A study's folder holds ``scan.nii.gz`` or the DICOM files of one series, and ``mask.nii.gz`` in the
same patient space. The mask's values are named by a label map; 0 is no blood.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import nibabel
import numpy as np
from numpy.typing import NDArray

from agent.assemble.dicom_file import read_slices
from agent.assemble.limits import ReadLimits
from agent.assemble.series import GrowingSeries
from agent.errors import ConfigError, FileRefused
from agent.preprocess import SliceInput
from agent.records import Grid, HeadVolume, Subtype, Vector
from build_engine.train.data import Bytes, Case, case_of

SCAN: Final = "scan.nii.gz"
MASK: Final = "mask.nii.gz"

LPS_FROM_RAS: Final = np.diag([-1.0, -1.0, 1.0, 1.0])


def studies_in(folder: Path) -> list[Path]:
    """Folders of studies, in order.

    Raises
    ------
    ConfigError
        If there is none, or one of them has no mask.
    """
    found = sorted(path for path in folder.iterdir() if path.is_dir())
    if not found:
        raise ConfigError(f"{folder} holds no folder of a study", hint=f"{SCAN} and {MASK} in each")
    for study in found:
        if not (study / MASK).exists():
            raise ConfigError(f"{study} has no {MASK}", hint="an empty mask says: no bleed")
    return found


def annotated_case(study: Path, names: Mapping[int, Subtype], contract: SliceInput) -> Case:
    """Bring one study to fields.

    Raises
    ------
    ConfigError
        If it has no scan, or its mask has a value without a name.
    """
    head = _nifti_head(study / SCAN) if (study / SCAN).exists() else _dicom_head(study)
    mask = nibabel.load(study / MASK)
    values = np.rint(np.asarray(mask.dataobj)).astype(np.int64)
    unnamed = set(np.unique(values).tolist()) - {0, *names}
    if unnamed:
        raise ConfigError(f"{study / MASK}: values {sorted(unnamed)} have no name in the label map")
    subtype_of = np.zeros(int(values.max(initial=0)) + 1, dtype=np.uint8)
    for value, subtype in names.items():
        if value < len(subtype_of):
            subtype_of[value] = subtype
    subtypes = _on_grid(subtype_of[values], np.asarray(mask.affine), head.grid)
    return case_of(study.name, head, subtypes, contract, named=True)


def _nifti_head(path: Path) -> HeadVolume:
    """Read a scan, its rows turned to the back, its columns to the left and its slices up."""
    image = nibabel.as_closest_canonical(nibabel.load(path))
    to_lps = LPS_FROM_RAS @ np.asarray(image.affine)
    values = np.asarray(image.dataobj)[::-1, ::-1]
    to_lps[:3, 3] += to_lps[:3, 0] * (values.shape[0] - 1) + to_lps[:3, 1] * (values.shape[1] - 1)
    to_lps[:3, :2] *= -1
    columns, rows, slices = values.shape
    steps_mm = np.linalg.norm(to_lps[:3, :3], axis=0)
    grid = Grid(
        origins_lps_mm=to_lps[:3, 3] + np.outer(np.arange(slices), to_lps[:3, 2]),
        row_direction=_vector(to_lps[:3, 0] / steps_mm[0]),
        column_direction=_vector(to_lps[:3, 1] / steps_mm[1]),
        row_spacing_mm=float(steps_mm[1]),
        column_spacing_mm=float(steps_mm[0]),
        rows=rows,
        columns=columns,
        end_thickness_mm=float(steps_mm[2]),
    )
    hu: NDArray[np.int16] = np.rint(values.transpose(2, 1, 0)).astype(np.int16)
    return HeadVolume(hu, grid, tuple(f"{path.parent.name}.{k}" for k in range(slices)), ())


def _dicom_head(study: Path) -> HeadVolume:
    series = GrowingSeries()
    for path in sorted(path for path in study.iterdir() if path.name != MASK):
        try:
            for one in read_slices(path, ReadLimits()):
                series.add(*one)
        except FileRefused as refused:
            raise ConfigError(f"{path}: {refused}", hint="leave one CT series and a mask") from None
    return series.volume()


def _on_grid(labels: Bytes, to_ras: NDArray[Any], grid: Grid) -> Bytes:
    """Take the label (x, y, z) nearest to each voxel (k, j, i); 0 where there is none."""
    from_lps = np.linalg.inv(LPS_FROM_RAS @ to_ras)
    found = np.zeros(grid.shape_kji, dtype=np.uint8)
    j, i = np.indices(grid.shape_kji[1:]).reshape(2, -1)
    for k in range(len(found)):
        at_lps_mm = grid.to_lps_mm(np.column_stack([np.full(j.size, k), j, i]))
        index = np.rint(at_lps_mm @ from_lps[:3, :3].T + from_lps[:3, 3]).astype(np.intp)
        inside = ((index >= 0) & (index < labels.shape)).all(axis=1)
        found[k].ravel()[inside] = labels[tuple(index[inside].T)]
    return found


def _vector(values: NDArray[np.float64]) -> Vector:
    x, y, z = values.tolist()
    return x, y, z
