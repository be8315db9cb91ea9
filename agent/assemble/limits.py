"""How much of what a stranger's file says is believed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

POSITION_MM: Final = 1e5
"""Further from the patient's origin no image lies [mm]. Ours: scanners' tables travel 2 m."""

THICKNESS_MM: Final = 1e-3, 100.0
"""Between these a slice thickness is believed [mm]. Ours."""

WHOLE: Final = 2**31
"""A whole number is below this. Source: PS3.5 section 6.2, value representation IS."""

LONGEST_TEXT: Final = 10_240
"""A text that says who or what an image is has at most so many characters. Source: PS3.5 section
6.2, the longest bounded value representation."""


@dataclass(frozen=True, slots=True)
class ReadLimits:
    """Ceilings checked on declared sizes, before anything of that size is allocated.

    Ours: ``file_bytes`` holds 1000 uncompressed frames of 512² and fits the daemon's 1.5 GB;
    ``matrix_px`` is four times the largest matrix that CT scanners reconstruct heads with.
    """

    file_bytes: int = 512 * 1024 * 1024
    matrix_px: int = 4096
    frames: int = 4096
