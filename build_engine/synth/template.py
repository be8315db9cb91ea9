"""The anatomy that generated heads are bent from: ICBM 152 tissues, our regions, and distances."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from agent.records import Region

MAP_FILE: Final = "icbm152.npz"

STEP_MM: Final = 2
"""Spacing of the maps [mm]."""

LEVELS: Final = 15
"""Tissue fractions are kept in 4 bits."""

HULL_CLOSING_MM: Final = 16.0
"""The skull bridges fissures up to twice this wide [mm]: its inside is the brain closed by it."""

MARGIN: Final = 20
"""Voxels added about the maps, so that distances are known out to the scalp."""

NEAR: Final = 10
"""Voxels about the brain that hold the skull's inside: only there other distances are asked for."""

WIDEST_TENTORIAL_GAP_MM: Final = 6.0
"""The tentorium hangs where cerebellum and cerebrum are no further apart than this [mm]."""

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Template:
    """Maps (k, j, i) at ``STEP_MM`` in LPS order; ``first_kji_mm`` is voxel (0, 0, 0)'s z, y, x.

    ``grey`` and ``white`` are fractions. Distances are signed and negative inside [mm]: to the
    skull's inner surface, to the brain's own surface, to the ventricles' wall and to the tentorium
    (that one unsigned).
    """

    grey: Floats
    white: Floats
    regions: NDArray[np.uint8]
    skull_mm: Floats
    brain_mm: Floats
    ventricle_mm: Floats
    tentorium_mm: Floats
    first_kji_mm: tuple[float, float, float]

    def index(self, kji_mm: Floats) -> Floats:
        """Positions z, y, x (3, …) [mm, LPS] to fractional voxel indices (3, …)."""
        first = np.array(self.first_kji_mm, dtype=np.float32).reshape(3, *(1,) * (kji_mm.ndim - 1))
        indices: Floats = kji_mm - first
        indices /= np.float32(STEP_MM)
        return indices


def pack_tissues(grey: Floats, white: Floats) -> NDArray[np.uint8]:
    """Two fractions in one byte, grey in the upper four bits."""
    upper = np.rint(np.clip(grey, 0, 1) * LEVELS).astype(np.uint8)
    lower = np.rint(np.clip(white, 0, 1) * LEVELS).astype(np.uint8)
    packed: NDArray[np.uint8] = upper * 16 + lower
    return packed


@cache
def load_template() -> Template:
    """Read the packaged maps and measure distances in them; kept for the life of the process."""
    path = files("build_engine.synth") / MAP_FILE
    with path.open("rb") as file, np.load(file, allow_pickle=False) as maps:
        tissues, regions = np.pad(maps["tissues"], MARGIN), np.pad(maps["regions"], MARGIN)
        x_mm, y_mm, z_mm = (maps["first_lps_mm"] - MARGIN * STEP_MM).tolist()
    box = _box(regions > 0, NEAR)
    near = regions[box]
    beside = [(one.start, n - one.stop) for one, n in zip(box, regions.shape, strict=True)]

    def beyond(distance_mm: Floats) -> Floats:
        """Carry the box's outermost distances on to where nobody asks for them."""
        return np.pad(distance_mm, beside, mode="edge")

    return Template(
        grey=(tissues // 16).astype(np.float32) / np.float32(LEVELS),
        white=(tissues % 16).astype(np.float32) / np.float32(LEVELS),
        regions=regions,
        skull_mm=_smooth(_signed_mm(np.pad(_closed(near > 0), beside))),
        brain_mm=beyond(_signed_mm(near > 0)),
        ventricle_mm=beyond(_signed_mm(near == Region.VENTRICLES)),
        tentorium_mm=beyond(_tentorium_mm(near)),
        first_kji_mm=(z_mm, y_mm, x_mm),
    )


def _box(part: NDArray[np.bool_], margin: int) -> tuple[slice, ...]:
    """Find the box that holds a part, and so many voxels more on each side."""
    (box,) = ndimage.find_objects(part.astype(np.uint8))
    return tuple(slice(side.start - margin, side.stop + margin) for side in box)


def _closed(brain: NDArray[np.bool_]) -> NDArray[np.bool_]:
    grown = _to_part_mm(brain) <= HULL_CLOSING_MM
    closed: NDArray[np.bool_] = _out_of_part_mm(grown) > HULL_CLOSING_MM
    return closed


def _signed_mm(inside: NDArray[np.bool_]) -> Floats:
    inside_mm, outside_mm = _out_of_part_mm(inside), _to_part_mm(inside)
    signed: Floats = np.where(inside, STEP_MM / 2 - inside_mm, outside_mm - STEP_MM / 2)
    return signed.astype(np.float32)


def _to_part_mm(part: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Distance to the nearest voxel of a part, 0 within [mm]."""
    distance_mm: NDArray[np.float64] = ndimage.distance_transform_edt(~part) * STEP_MM
    return distance_mm


def _out_of_part_mm(part: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Distance to the nearest voxel outside a part that touches no side, 0 outside [mm]."""
    box = _box(part, 1)
    distance_mm = np.zeros(part.shape)
    distance_mm[box] = ndimage.distance_transform_edt(part[box]) * STEP_MM
    return distance_mm


def _tentorium_mm(regions: NDArray[np.uint8]) -> Floats:
    """Distance to the sheet where cerebellum meets cerebrum [mm]."""
    below = regions == Region.CEREBELLUM
    cerebrum = (regions > 0) & (regions <= Region.RIGHT_OCCIPITAL)
    near = [_to_part_mm(part) for part in (below, cerebrum)]
    beside = np.maximum(near[0] + near[1] - WIDEST_TENTORIAL_GAP_MM, 0)
    distance: Floats = (np.abs(near[0] - near[1]) / 2 + beside).astype(np.float32)
    return distance


def _smooth(distance_mm: Floats) -> Floats:
    smooth: Floats = ndimage.gaussian_filter(distance_mm, 1.0)
    return smooth
