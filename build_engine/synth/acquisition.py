"""How a head is scanned: sharpness, noise, calibration, and what metal, motion and cropping do."""

# ruff: noqa: PLR2004 - ranges of what scanners do, each used once

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from build_engine.synth.space import Space
from build_engine.synth.tissues import AIR_HU

NOISE_SLICE_MM: Final = 2.5
"""Slice thickness for which noise is told; it falls with the root of the thickness."""

LOWEST_HU: Final = -1024
HIGHEST_HU: Final = 3071
"""What a scanner's 12 bits hold [HU]."""

PILLOW_HU: Final = -930.0
PILLOW_BEHIND_MM: Final = 45.0
TABLE_HU: Final = 60.0
TABLE_BEHIND_MM: Final = 113.0
TABLE_BOW_MM: Final = 900.0
TABLE_BELOW_MM: Final = -65.0
"""Foam between head and rest; the table's carbon plate begins below the neck and bows upwards at
its edges by x² over the bow. Ours, after the look of real scans [HU, mm about the middle]."""

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Acquisition:
    """One scanner's physics.

    ``blur_mm`` and ``grain_mm`` are the widths (sigma) of the kernel and of its noise; a sharp
    kernel has little of both and an ``overshoot`` beside edges. ``slice_blur`` is the sigma along
    the slices in slice thicknesses. ``motion_mm`` is how far the head moved during some slices,
    ``metal_hu`` the strength of streaks about a piece of metal; 0 is none. Beyond ``field_mm`` from
    the middle nothing was reconstructed.
    """

    blur_mm: float
    overshoot: float
    noise_hu: float
    grain_mm: float
    slice_blur: float
    scale: float
    offset_hu: float
    motion_mm: float = 0.0
    metal_hu: float = 0.0
    field_mm: float = 200.0


def draw_acquisition(rng: np.random.Generator) -> Acquisition:
    """Draw one from the range of good and poor scanners that training sees."""
    sharp = rng.random()
    return Acquisition(
        blur_mm=0.95 - 0.55 * sharp,
        overshoot=max(0.0, rng.uniform(-0.2, 0.5)) * sharp,
        noise_hu=rng.uniform(2.0, 5.0) * (1 + 0.6 * sharp * rng.random()),
        grain_mm=0.85 - 0.45 * sharp,
        slice_blur=rng.uniform(0.25, 0.45),
        scale=rng.normal(1.0, 0.02),
        offset_hu=rng.normal(0.0, 1.5),
        field_mm=rng.uniform(100.0, 118.0) if rng.random() < 0.12 else 200.0,
    )


def scan(
    space: Space, rng: np.random.Generator, hu: Floats, acquisition: Acquisition
) -> NDArray[np.int16]:
    """Scan painted tissue (k, j, i): head rest, artefacts, blur, noise, whole numbers [HU]."""
    z_mm, y_mm, x_mm = space.positions_mm()
    from_middle_mm = np.hypot(y_mm, x_mm)
    air = hu <= AIR_HU
    rest_mm = rng.uniform(112.0, 118.0)
    rest = (np.abs(from_middle_mm - rest_mm) < 2) & (y_mm > 30)
    along_rest = z_mm < rng.uniform(-20.0, 95.0)
    hu[rest & air & along_rest] = rng.uniform(0.0, 400.0)
    pillow = (from_middle_mm < rest_mm - 2) & (y_mm > PILLOW_BEHIND_MM)
    hu[pillow & air & along_rest] = PILLOW_HU
    table = np.abs(y_mm - TABLE_BEHIND_MM + np.square(x_mm) / TABLE_BOW_MM) < 2
    hu[table & air & (z_mm < TABLE_BELOW_MM)] = TABLE_HU
    if acquisition.metal_hu:
        _streaks(space, rng, hu, acquisition.metal_hu)
    if acquisition.motion_mm:
        _move(space, rng, hu, acquisition.motion_mm)
    scanned = _blurred(space, hu, acquisition)
    grain = rng.standard_normal(hu.shape, dtype=np.float32)
    sigmas = (0, *(acquisition.grain_mm / step for step in space.spacing_kji_mm[1:]))
    grain = ndimage.gaussian_filter(grain, sigmas, truncate=3.0)
    level_hu = acquisition.noise_hu * np.sqrt(NOISE_SLICE_MM / space.spacing_kji_mm[0])
    grain *= np.float32(level_hu / grain.std())
    scanned += grain
    scanned *= np.float32(acquisition.scale)
    scanned += np.float32(acquisition.offset_hu)
    scanned[:, from_middle_mm > acquisition.field_mm] = LOWEST_HU
    return np.rint(scanned, out=scanned).clip(LOWEST_HU, HIGHEST_HU, out=scanned).astype(np.int16)


def _blurred(space: Space, hu: Floats, acquisition: Acquisition) -> Floats:
    """Blur with the slice's and the kernel's width; a sharp kernel overshoots beside edges."""
    _, *in_plane = space.spacing_kji_mm
    sigmas = acquisition.slice_blur, *(acquisition.blur_mm / step for step in in_plane)
    blurred: Floats = ndimage.gaussian_filter(hu, sigmas, truncate=2.5)
    if acquisition.overshoot:
        wide = ndimage.gaussian_filter(blurred, (0, *(1.2 / s for s in in_plane)), truncate=2.5)
        blurred += np.float32(acquisition.overshoot) * (blurred - wide)
    return blurred


def _streaks(space: Space, rng: np.random.Generator, hu: Floats, strength_hu: float) -> None:
    """Put metal into the skull, the brain or the jaw, and its rays into the same slices."""
    slices, rows, columns = hu.shape
    step_k, step_j, step_i = space.spacing_kji_mm
    k = int(rng.integers(slices // 6, max(slices - slices // 4, slices // 6 + 1)))
    angle, radius_mm = rng.uniform(0, 2 * np.pi), rng.choice([rng.uniform(5, 60), 78.0])
    from_j = (np.arange(rows) - (rows - 1) / 2) * step_j - radius_mm * np.cos(angle)
    from_i = (np.arange(columns) - (columns - 1) / 2) * step_i - radius_mm * np.sin(angle)
    away_mm = np.hypot(from_j[:, None], from_i).astype(np.float32)
    bearing = np.arctan2(from_j[:, None], from_i).astype(np.float32)
    rays = np.cos(rng.integers(2, 7) * bearing + rng.uniform(0, 6))
    rays += np.cos(rng.integers(7, 16) * bearing + rng.uniform(0, 6))
    rays *= np.float32(strength_hu / 2) * np.exp(-away_mm / np.float32(rng.uniform(25, 60)))
    half = max(0, round(rng.uniform(1.0, 6.0) / step_k))
    here = slice(max(k - half, 0), k + half + 1)
    hu[here] += rays * (hu[here] > -200)
    hu[here, away_mm < rng.uniform(1.0, 3.0)] = HIGHEST_HU


def _move(space: Space, rng: np.random.Generator, hu: Floats, motion_mm: float) -> None:
    """Let some neighbouring slices show the head in two places, as if it had moved meanwhile."""
    slices = len(hu)
    first = int(rng.integers(0, max(slices * 2 // 3, 1)))
    last = min(slices, first + max(2, int(slices * rng.uniform(0.1, 0.4))))
    angle = rng.uniform(0, 2 * np.pi)
    shift = [
        round(motion_mm * part / step)
        for part, step in zip((np.sin(angle), np.cos(angle)), space.spacing_kji_mm[1:], strict=True)
    ]
    share = np.float32(rng.uniform(0.3, 0.5))
    moved = np.roll(hu[first:last], shift, axis=(1, 2))
    hu[first:last] += share * (moved - hu[first:last])
