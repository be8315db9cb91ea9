"""The object that ``bleedwatch deliver test`` sends: a picture of nobody, and said to be a test."""

from __future__ import annotations

from datetime import datetime
from importlib.metadata import version
from typing import Final

import numpy as np
from highdicom.sc import SCImage
from PIL import Image, ImageDraw
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from agent.deliver.dicom.result import MANUFACTURER, MODEL

SIZE_PX: Final = 256


def trial_object(study_uid: str, at: datetime) -> Dataset:
    """Make a test object in a study of its own; ``at`` [UTC] is when."""
    drawn = Image.new("L", (SIZE_PX, SIZE_PX))
    draw = ImageDraw.Draw(drawn)
    draw.text((8, SIZE_PX // 2), "Bleedwatch: a test, no patient", fill=255, font_size=16)
    made = SCImage(
        pixel_array=np.asarray(drawn),
        photometric_interpretation="MONOCHROME2",
        bits_allocated=8,
        coordinate_system="PATIENT",
        study_instance_uid=study_uid,
        series_instance_uid=generate_uid(prefix=None),
        series_number=1,
        sop_instance_uid=generate_uid(prefix=None),
        instance_number=1,
        manufacturer=MANUFACTURER,
        patient_id="BLEEDWATCH-TEST",
        patient_name="BLEEDWATCH^TEST",
        study_id="TEST",
        study_date=at.strftime("%Y%m%d"),
        study_time=at.strftime("%H%M%S"),
        patient_orientation=("L", "P"),
    )
    made.ManufacturerModelName, made.SoftwareVersions = MODEL, version("bleedwatch")
    made.SeriesDescription = made.StudyDescription = "Bleedwatch: a test, no patient"
    return made
