"""Measure bleeds: labels in; volume, side, region, extent and midline shift out.

Pure: no files, clock, GPU or log. Nothing is resampled: a volume is a sum over the scanner's own
voxels.
"""

from agent.measure.bleeds import ON_THE_DURA, measure, numbered, numbered_slices
from agent.measure.calcifications import calcifications

__all__ = ["ON_THE_DURA", "calcifications", "measure", "numbered", "numbered_slices"]
