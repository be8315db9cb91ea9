"""Names of what is mistaken for blood."""

from __future__ import annotations

from enum import Enum


class LookAlike(str, Enum):
    """What can be made conspicuous in a generated head."""

    CALCIFICATION = "calcification"
    FALX = "falx calcification"
    PETROUS_HARDENING = "petrous hardening"
    PARTIAL_VOLUME = "partial volume"
    DENSE_VESSEL = "dense vessel"
    METAL = "metal"
    MOTION = "motion"
    CONTRAST = "post-contrast"
