"""How much of a stranger's file is believed before it is read or decoded."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ReadLimits:
    """Ceilings checked on declared sizes, before anything of that size is allocated.

    Ours: ``file_bytes`` holds 1000 uncompressed frames of 512² and fits the daemon's 1.5 GB;
    ``matrix_px`` is four times the largest matrix that CT scanners reconstruct heads with.
    """

    file_bytes: int = 512 * 1024 * 1024
    matrix_px: int = 4096
    frames: int = 4096
