"""Secondary Capture: the key slice as the console draws it, marked as what it is."""

from __future__ import annotations

from io import BytesIO
from typing import Final

import numpy as np
from highdicom.sc import SCImage
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from pydicom.dataset import Dataset

from agent.deliver.dicom.result import finished, identification, source_datasets
from agent.deliver.result import NOT_FOR_DIAGNOSIS, StoredResult, label_of

TEXT_PX: Final = 20
TEXT_RGB: Final = 255, 255, 255
BAND_PX: Final = 30
"""Height of the black bands above and below the picture, so that words cover no image. Ours."""


def picture(result: StoredResult) -> Dataset | None:
    """Make the capture; None where no picture was kept."""
    if result.key_png is None:
        return None
    (source,) = source_datasets(result, [0])
    made = SCImage(
        pixel_array=_marked(result.key_png, _words(result)),
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        study_instance_uid=source.StudyInstanceUID,
        **identification(result, "picture"),
        patient_id=source.PatientID,
        patient_name=source.PatientName,
        patient_birth_date=source.PatientBirthDate,
        patient_sex=source.PatientSex,
        accession_number=source.AccessionNumber,
        study_id=source.StudyID,
        study_date=source.StudyDate,
        study_time=source.StudyTime,
        referring_physician_name=source.ReferringPhysicianName,
        patient_orientation=("L", "P"),
    )
    made.BodyPartExamined = "HEAD"
    made.BurnedInAnnotation = "NO"  # it names nobody
    made.ImageType = ["DERIVED", "SECONDARY"]
    return finished(made, result, "Bleedwatch key slice")


def _words(result: StoredResult) -> str:
    """Say what is seen: the largest finding, and how many others there are."""
    findings = result.report.findings
    if not findings:
        return ""
    others = f", and {len(findings) - 1} more" if len(findings) > 1 else ""
    return f"{label_of(findings[0])}, {findings[0].volume_ml:.1f} mL{others}"


def _marked(png: bytes, words: str) -> NDArray[np.uint8]:
    """Put words into bands above and below a picture; (row, column, 3)."""
    drawn = Image.open(BytesIO(png)).convert("RGB")
    whole = Image.new("RGB", (drawn.width, drawn.height + 2 * BAND_PX))
    whole.paste(drawn, (0, BAND_PX))
    draw = ImageDraw.Draw(whole)
    draw.text((4, 4), f"Bleedwatch: {NOT_FOR_DIAGNOSIS}", fill=TEXT_RGB, font_size=TEXT_PX)
    draw.text((4, whole.height - BAND_PX + 4), words, fill=TEXT_RGB, font_size=TEXT_PX)
    return np.asarray(whole)
