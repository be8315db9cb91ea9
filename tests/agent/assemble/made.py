"""Slices made without files: what reading would give."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import numpy as np

from agent.assemble.dicom_file import ReadSlice
from agent.assemble.series import GrowingSeries
from agent.records import Identity, SliceHeader, StudyFacts

IDENTITY = Identity("P0", "Müller^Jörg", "19500101", "M", "1.2.3", "A0")

HEADER = SliceHeader(
    sop_uid="1.2.3.4.0",
    sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
    series_uid="1.2.3.4",
    identity=IDENTITY,
    study=StudyFacts("20260101", "083000", "S1", "Grey^Meredith"),
    modality="CT",
    image_type=("ORIGINAL", "PRIMARY", "AXIAL"),
    description="Head 5.0",
    body_part="HEAD",
    manufacturer="PHANTOM",
    model="P1",
    kernel="STANDARD",
    kvp=120.0,
    contrast="",
    instance_number=1,
    acquisition_number=1,
    expected_images=0,
    images_in_acquisition=0,
    n_times=0,
    lossy=False,
    only_zeros=False,
    frame_of_reference_uid="1.2.3.5",
    acquired_at=None,
    created_at=None,
    rows=4,
    columns=6,
    position_lps_mm=(0.0, 0.0, 0.0),
    row_direction=(1.0, 0.0, 0.0),
    column_direction=(0.0, 1.0, 0.0),
    row_spacing_mm=0.5,
    column_spacing_mm=0.25,
    thickness_mm=5.0,
    spacing_between_mm=None,
    digest="",
)


def made(k: int, height_mm: float, **changes: Any) -> ReadSlice:
    """Slice ``k``, its pixels numbered k * 100 + 0 … 23 unless ``hu`` is given."""
    hu = changes.pop("hu", None)
    if hu is None:
        rows, columns = changes.get("rows", 4), changes.get("columns", 6)
        hu = (k % 300 * 100 + np.arange(rows * columns, dtype=np.int16)).reshape(rows, columns)
    own = {
        "sop_uid": f"1.2.3.4.{k}",
        "instance_number": k + 1,
        "position_lps_mm": (0.0, 0.0, height_mm),
        "digest": hashlib.sha256(hu.tobytes()).hexdigest(),
    }
    return ReadSlice(replace(HEADER, **{**own, **changes}), hu)


def series_of(slices: list[ReadSlice]) -> GrowingSeries:
    """Take in all slices."""
    series = GrowingSeries()
    for read in slices:
        series.add(*read)
    return series
