"""A site's own annotated heads: a folder a study, with its scan and a mask or boxes of the blood.

A study's folder holds ``scan.nii.gz`` or the DICOM files of one series, and one of

- ``mask.nii.gz`` in the same patient space; its values are named by a label map, 0 is no blood;
- ``boxes.csv`` with the columns of ``Box``. What is blood in a box is told by its density.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
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
from agent.records import Subtype, Vector
from agent.voxels import Grid, HeadVolume
from build_engine.heads.boxes import blood_in_boxes
from build_engine.heads.fields import Bytes, Case, case_of

SCAN: Final = "scan.nii.gz"
MASK: Final = "mask.nii.gz"
BOXES: Final = "boxes.csv"

LPS_FROM_RAS: Final = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True, slots=True)
class Box:
    """One row of ``boxes.csv``: a box about a bleed, its edges included, in the image as stored.

    ``slice`` is a SOP Instance UID, or in a NIfTI scan the index of the slice; columns count along
    the first axis of a NIfTI scan. ``label`` is a value of the label map.
    """

    slice: str
    column0: int
    row0: int
    column1: int
    row1: int
    label: int


def studies_in(folder: Path) -> list[Path]:
    """Folders of studies, in order.

    Raises
    ------
    ConfigError
        If there is none, or one of them is not annotated, or twice.
    """
    studies = sorted(path for path in folder.iterdir() if path.is_dir())
    if not studies:
        raise ConfigError("no_studies", folder=str(folder), scan=SCAN, mask=MASK, boxes=BOXES)
    for study in studies:
        match (study / MASK).exists(), (study / BOXES).exists():
            case False, False:
                raise ConfigError("study_without_labels", study=str(study), mask=MASK, boxes=BOXES)
            case True, True:
                raise ConfigError("study_labelled_twice", study=str(study), mask=MASK, boxes=BOXES)
    return studies


def annotated_case(study: Path, names: Mapping[int, Subtype], contract: SliceInput) -> Case:
    """Bring one study to fields.

    Raises
    ------
    ConfigError
        If it has no scan, a label without a name, or a box that lies in no slice.
    """
    boxes = _boxes_in(study / BOXES, names) if (study / BOXES).exists() else ()
    if (study / SCAN).exists():
        head = _nifti_head(study / SCAN)
        boxed = _boxed_in_nifti(study / SCAN, boxes, head.grid)
    else:
        head, boxed = _dicom_head(study, boxes)
    if (study / MASK).exists():
        subtypes = _masked(study / MASK, names, head.grid)
    else:
        subtypes = blood_in_boxes(head.hu, boxed, head.grid.column_spacing_mm)
    name = f"{study.parent.name}-{study.name}"
    return case_of(name, head, subtypes, contract, named=True)


def _boxes_in(path: Path, names: Mapping[int, Subtype]) -> tuple[tuple[Box, Subtype], ...]:
    """Read the boxes and what they are about."""
    boxes = []
    with path.open(newline="", encoding="utf-8-sig") as file:
        for row in csv.DictReader(file):
            try:
                edges = {edge: int(row[edge]) for edge in ("column0", "row0", "column1", "row1")}
                box = Box(slice=row["slice"].strip(), label=int(row["label"]), **edges)
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                columns = ", ".join(field.name for field in fields(Box))
                raise ConfigError(
                    "box_unreadable",
                    path=str(path),
                    row=str(dict(row)),
                    why=str(error),
                    columns=columns,
                ) from error
            if box.label not in names:
                raise ConfigError("box_label_unnamed", path=str(path), label=box.label)
            if not (0 <= box.column0 <= box.column1 and 0 <= box.row0 <= box.row1):
                raise ConfigError("box_empty", path=str(path), box=str(box))
            boxes.append((box, names[box.label]))
    return tuple(boxes)


def _masked(path: Path, names: Mapping[int, Subtype], grid: Grid) -> Bytes:
    mask = nibabel.Nifti1Image.from_filename(path)
    values = np.rint(np.asarray(mask.dataobj)).astype(np.int64)
    unnamed = set(np.unique(values).tolist()) - {0, *names}
    if unnamed:
        raise ConfigError("mask_values_unnamed", path=str(path), labels=str(sorted(unnamed)))
    subtype_of = np.zeros(int(values.max(initial=0)) + 1, dtype=np.uint8)
    for value, subtype in names.items():
        if value < len(subtype_of):
            subtype_of[value] = subtype
    return _on_grid(subtype_of[values], np.asarray(mask.affine), grid)


def _paint(planes: Mapping[str, Bytes], boxes: Sequence[tuple[Box, Subtype]], scan: Path) -> None:
    """Paint boxes into the planes (row, column) of their slices, in place."""
    for box, subtype in boxes:
        plane = planes.get(box.slice)
        if plane is None or box.row1 >= plane.shape[0] or box.column1 >= plane.shape[1]:
            raise ConfigError("box_outside_scan", scan=str(scan), box=str(box))
        plane[box.row0 : box.row1 + 1, box.column0 : box.column1 + 1] = subtype


def _boxed_in_nifti(path: Path, boxes: Sequence[tuple[Box, Subtype]], grid: Grid) -> Bytes:
    scan = nibabel.Nifti1Image.from_filename(path)
    boxed = np.zeros(scan.shape, dtype=np.uint8)
    _paint({str(k): boxed[:, :, k].T for k in range(boxed.shape[2])}, boxes, path)
    return _on_grid(boxed, np.asarray(scan.affine), grid)


def _nifti_head(path: Path) -> HeadVolume:
    """Read a scan, its rows turned to the back, its columns to the left and its slices up."""
    image = nibabel.as_closest_canonical(nibabel.Nifti1Image.from_filename(path))
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


def _dicom_head(study: Path, boxes: Sequence[tuple[Box, Subtype]]) -> tuple[HeadVolume, Bytes]:
    """Read a series, and its boxes turned as its images are."""
    series = GrowingSeries()
    for path in sorted(path for path in study.iterdir() if path.name not in (MASK, BOXES)):
        try:
            for one in read_slices(path, ReadLimits()):
                series.add(*one)
        except FileRefused as refused:
            reason = refused.reason.without_file()
            raise ConfigError("study_file_refused", path=str(path), why=reason) from None
    head = series.volume()
    shape = len(head.sop_uids), series.headers[0].rows, series.headers[0].columns
    boxed = np.zeros(shape, dtype=np.uint8)
    _paint(dict(zip(head.sop_uids, boxed, strict=True)), boxes, study)
    return head, series.orientation.turn(boxed)


def _on_grid(labels: Bytes, to_ras: NDArray[Any], grid: Grid) -> Bytes:
    """Take the label (x, y, z) nearest to each voxel (k, j, i); 0 where there is none."""
    from_lps = np.linalg.inv(LPS_FROM_RAS @ to_ras)
    on_grid = np.zeros(grid.shape_kji, dtype=np.uint8)
    j, i = np.indices(grid.shape_kji[1:]).reshape(2, -1)
    for k in range(len(on_grid)):
        at_lps_mm = grid.to_lps_mm(np.column_stack([np.full(j.size, k), j, i]))
        index = np.rint(at_lps_mm @ from_lps[:3, :3].T + from_lps[:3, 3]).astype(np.intp)
        inside = ((index >= 0) & (index < labels.shape)).all(axis=1)
        on_grid[k].ravel()[inside] = labels[tuple(index[inside].T)]
    return on_grid


def _vector(values: NDArray[np.float64]) -> Vector:
    x, y, z = values.tolist()
    return x, y, z
