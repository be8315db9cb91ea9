"""Stored results of heads whose geometry is known, as objects are made of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timezone
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, ExplicitVRLittleEndian

from agent.deliver.dicom.result import source_datasets
from agent.deliver.result import StoredResult
from agent.records import Subtype
from agent.report import SeriesReport
from agent.sources import PackedLabels, SourceImage, SourceImages, Sources
from tests.agent.reports import finding, identity, report
from tests.heads import axial_grid
from tests.phantoms import uid

AT = datetime(2026, 11, 30, 8, 30, 5, tzinfo=timezone.utc)

HEIGHTS_MM = {
    "even": np.arange(32) * 5.0,
    "uneven": np.r_[np.arange(12) * 4.0, 44.0 + np.arange(1, 20) * 1.08, 72.0, 79.0],
}


def png() -> bytes:
    written = BytesIO()
    Image.fromarray(np.full((640, 512), 90, np.uint8)).save(written, "PNG")
    return written.getvalue()


def stored_result(
    heights_mm: np.ndarray = HEIGHTS_MM["even"],
    *,
    tilt_deg: float = 0.0,
    size: int = 128,
    enhanced: bool = False,
    predecessor: str | None = None,
    **changes: Any,
) -> StoredResult:
    """Return a left subdural and a right ventricular bleed, or what ``changes`` make of it."""
    pixel_mm = 230.0 / size
    middle_mm = float(heights_mm.mean())
    grid = axial_grid(
        heights_mm - middle_mm, rows=size, columns=size, pixel_mm=pixel_mm, tilt_deg=tilt_deg
    )
    numbers = np.zeros(grid.shape_kji, np.uint16)
    near = [np.abs(grid.heights_mm - z) < 12 for z in (10.0, -15.0)]
    j, i = np.mgrid[:size, :size] * pixel_mm
    for number, (slices, (centre_mm, radius_mm)) in enumerate(
        zip(near, ((165.0, 14.0), (90.0, 9.0)), strict=True), 1
    ):
        inside = np.hypot(j - 115, i - centre_mm) < radius_mm
        numbers[slices] = np.where(inside, number, numbers[slices])
    key = [int(np.flatnonzero((numbers == n).any(axis=(1, 2))).mean()) for n in (1, 2)]
    told = {
        "findings": (
            finding(key_slice=key[0]),
            finding(
                subtype="intraventricular", side="right", region="ventricles", key_slice=key[1],
                volume_ml=4.1, volume_interval_ml=(2.0, 6.5),
            ),
        ),
        "study_uid": uid("study"),
    }  # fmt: skip
    told_of: SeriesReport = report(uid("series"), **told | changes)
    images = SourceImages(
        sop_class_uid=EnhancedCTImageStorage if enhanced else CTImageStorage,
        frame_of_reference_uid=uid("frame"),
        study_date="20261130",
        study_time="082000",
        study_id="S1",
        referring_physician="Grey^Meredith",
        rows=size,
        columns=size,
        pixel_spacing_mm=(pixel_mm, pixel_mm),
        row_direction=grid.row_direction,
        column_direction=grid.column_direction,
        thickness_mm=5.0,
        rescale=(1.0, -1024.0),
        images=tuple(
            SourceImage(
                sop_uid=uid("enhanced") if enhanced else uid("slice", k),
                frame=len(heights_mm) - k if enhanced else None,
                position_lps_mm=tuple(origin),
            )
            for k, origin in enumerate(grid.origins_lps_mm.tolist())
        ),
        voxels_ml=tuple(grid.voxels_ml.tolist()),
    )
    suspected = told_of.state == "suspected"
    return StoredResult(
        report=told_of,
        at=AT,
        identity=replace(identity("Müller^Jörg"), study_uid=uid("study")),
        images=images,
        numbers=numbers if suspected else None,
        key_png=png() if suspected else None,
        predecessor=predecessor,
    )


def sources(result: StoredResult) -> Sources:
    """Return what the store has of a result's images."""
    if result.numbers is None:
        return Sources(result.images, None)
    subtypes = [0, *(Subtype.of(finding.subtype) for finding in result.report.findings)]
    return Sources(result.images, PackedLabels.of(np.array(subtypes, np.uint8)[result.numbers]))


def image_files(result: StoredResult) -> Iterator[bytes]:
    """The images that a result was made from: a round head, blood where its findings are."""
    size = result.images.rows
    j, i = (np.mgrid[:size, :size] - (size - 1) / 2) * result.images.pixel_spacing_mm[0]
    head = np.where(np.hypot(j, i) < 95.0, 35, -1000)
    for k, image in enumerate(source_datasets(result)):
        hu = np.where(result.numbers[k] > 0, 65, head)
        image.InstanceNumber, image.SeriesNumber = k + 1, 2
        image.ImageType, image.SeriesDescription = ["ORIGINAL", "PRIMARY", "AXIAL"], "Head"
        image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
        image.BitsAllocated, image.BitsStored, image.HighBit = 16, 16, 15
        image.PixelRepresentation, image.RescaleSlope, image.RescaleIntercept = 0, 1, -1024
        image.WindowCenter, image.WindowWidth = 40, 120
        image.PixelData = (hu + 1024).astype("<u2").tobytes()
        yield _written(image)


def _written(image: Dataset) -> bytes:
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file = BytesIO()
    image.save_as(file, enforce_file_format=True)
    return file.getvalue()
