"""The study of the agent's self-test: one head with one bleed, the same each time."""

from __future__ import annotations

import secrets
from datetime import datetime, timezone
from pathlib import Path
from typing import Final

import numpy as np

from agent.records import MM3_PER_ML, KnownBleed, Side, Subtype
from build_engine.play.simulate import axial_files, head_for, play
from build_engine.synth.dicom import SyntheticStudy
from build_engine.synth.head import HeadRecipe
from build_engine.synth.presets import GE_32X5

RECIPE: Final = HeadRecipe(4, Subtype.INTRAPARENCHYMAL, volume_ml=30.0, side=Side.LEFT)
"""Ours: a bleed that the shipped bundle finds, names and measures well, so that a failure is the
box's and not the model's. The same head each time makes one day's result comparable to another's.
"""


def play_known_bleed(folder: Path) -> KnownBleed:
    """Generate the head, and write it below ``folder`` at a scanner's pace, with fresh UIDs."""
    head = head_for(GE_32X5, RECIPE)
    now = datetime.now(timezone.utc)
    study = SyntheticStudy(secrets.randbits(32), "TEST^SELFTEST", "TEST-SELFTEST", now)
    played = play(folder, axial_files(head, GE_32X5, study), GE_32X5.slices_per_s, lambda: None)
    voxel_ml = float(np.prod(head.spacing_kji_mm)) / MM3_PER_ML
    return KnownBleed(
        series_uid=study.series_uid,
        subtype=Subtype.INTRAPARENCHYMAL,
        side=Side.LEFT,
        volume_ml=float(np.count_nonzero(head.subtypes)) * voxel_ml,
        last_on_disk_monotonic_s=played.last_on_disk_monotonic_s,
    )
