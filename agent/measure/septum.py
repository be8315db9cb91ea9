"""Where the septum pellucidum lies between the fluid of both ventricles, in one plane of a head."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy import ndimage

from agent.measure.mirror import MirrorPlane, Plane

Floats = NDArray[np.float32]

ALONG_STEP_MM: Final = 1.0
STEP_MM: Final = 0.5
"""Samples along the midline and across it lie so far apart [mm]."""

REACH_MM: Final = 14.0
"""The brain's midline is looked for up to so far from the skull's [mm]. Ours: larger shifts are
seldom survived long."""

BESIDE_MM: Final = 12.0
"""So far to both sides the brain is compared with its mirror image [mm]. Ours."""

ALONG_MM: Final = 62.0
"""The midline is followed from so far in front of the middle to as far behind it [mm]: within the
smallest adult skull. Ours."""

SEPTUM_MM: Final = -38.0, -8.0
"""The septum lies between these places along the line, from its middle backwards [mm]: the frontal
horns. Ours, from 47 real heads."""

HELD_MM: Final = 2.0
"""The falx holds both ends of the line within this of the skull's midline [mm]. Ours."""

FLUID_HU: Final = 10.0, 26.0
"""All fluid, and none [HU], smoothed: fluid is 0 to 15, brain 25 and more."""

FLUID_MM: Final = 1.0, 6.0
"""Fluid is looked for this far to either side of the septum, most at their middle [mm]. Ours."""

HORN_MM: Final = 1.5, 4.0
"""A septum is denser than the darkest that lies this far to either side of it [mm]. Ours."""

MOST_DENSER_HU: Final = 20.0
"""By no more than this it counts as denser [HU]: falx and blood are no better a septum."""

BLURRED: Final = 2.0, 0.6
"""Noise is smoothed by this much along and across the line [samples]. Ours."""

CLIPPED_HU: Final = -10.0, 60.0
"""Bone, blood and air count as no more and no less than this [HU]."""

UNLIKE_HU: Final = 25.0
"""Both sides differ by no more than this [HU]: a bleed on one makes them no more unlike."""

UNLIKE, FLUID, DENSER, DARK = 0.05, 1.0, 0.3, 0.7
"""What counts how much in a sample of the line: both sides unlike [per HU], fluid on both, what
lies between denser [per HU], and that being fluid. Chosen on 47 real heads, by how near the septum
came to where it was seen: within 1.5 mm in 40."""

SIDESTEP: Final = 0.3
"""What a step to the side costs. Chosen likewise."""

LEAVING: Final = 1.5
"""What each millimetre costs that an end lies further off than ``HELD_MM``. Ours."""


@dataclass(frozen=True, slots=True)
class Septum:
    """How far to the left of the skull's midline it lies [mm], and how much fluid is beside it.

    ``fluid`` is the share of fluid on the side that has less of it, 0…1.
    """

    across_mm: float
    fluid: float


def septum_in(plane: Plane, mirror: MirrorPlane) -> Septum:
    """Follow the brain's midline from front to back: alike on both sides, between their fluid."""
    along_mm = np.arange(-ALONG_MM, ALONG_MM, ALONG_STEP_MM)
    half_mm = REACH_MM + BESIDE_MM
    across_mm = np.arange(-half_mm, half_mm + STEP_MM / 2, STEP_MM)
    x_mm, y_mm = mirror.places(plane.height_mm, along_mm[:, None], across_mm)
    hu = ndimage.gaussian_filter(plane.at(x_mm, y_mm).clip(*CLIPPED_HU), BLURRED)
    cost, fluid = _costs(hu)
    places_mm = across_mm[round(BESIDE_MM / STEP_MM) : -round(BESIDE_MM / STEP_MM)]
    ends = LEAVING * (np.abs(places_mm) - HELD_MM).clip(0.0)
    path = _cheapest(cost, ends.astype(np.float32))
    at = (along_mm > SEPTUM_MM[0]) & (along_mm < SEPTUM_MM[1])
    found = fluid[np.arange(len(path)), path]
    return Septum(float(np.median(places_mm[path][at])), float(found[at].mean()))


def _costs(hu: Floats) -> tuple[Floats, Floats]:
    """Return what the midline costs at each place (along, across), and the fluid beside it."""
    right, left = _beside(hu, STEP_MM, BESIDE_MM)
    unlike = np.abs(right - left).clip(0, UNLIKE_HU).mean(axis=-1)
    all_hu, none_hu = FLUID_HU
    share = ((none_hu - hu) / (none_hu - all_hu)).clip(0, 1)
    right, left = _beside(share, *FLUID_MM)
    weight = np.hanning(right.shape[-1] + 2)[1:-1].astype(np.float32)
    fluid = np.minimum(right @ weight, left @ weight) / weight.sum()
    right, left = _beside(hu, *HORN_MM)
    middle = slice(round(BESIDE_MM / STEP_MM), -round(BESIDE_MM / STEP_MM))
    darkest = np.maximum(right.min(axis=-1), left.min(axis=-1))
    denser = (hu[:, middle] - darkest).clip(0, MOST_DENSER_HU)
    cost = UNLIKE * unlike + DARK * share[:, middle] - (FLUID + DENSER * denser) * fluid
    return cost.astype(np.float32), fluid


def _beside(values: Floats, first_mm: float, last_mm: float) -> tuple[Floats, Floats]:
    """Return what lies to the right and the left of each place (along, across, distance)."""
    reach = round(BESIDE_MM / STEP_MM)
    distance = np.arange(round(first_mm / STEP_MM), round(last_mm / STEP_MM) + 1)
    windows = sliding_window_view(values, 2 * reach + 1, axis=1)
    return windows[..., reach - distance], windows[..., reach + distance]


def _cheapest(cost: Floats, ends: Floats) -> NDArray[np.intp]:
    """Return the place in each row of the cheapest line, which moves by one a row at most."""
    total, came = cost.copy(), np.zeros(cost.shape, np.intp)
    total[0] += ends
    before = np.full((3, cost.shape[1]), np.inf, np.float32)
    for row in range(1, len(cost)):
        before[0, 1:] = total[row - 1, :-1] + SIDESTEP
        before[1] = total[row - 1]
        before[2, :-1] = total[row - 1, 1:] + SIDESTEP
        came[row] = before.argmin(axis=0) - 1
        total[row] += before.min(axis=0)
    path = np.empty(len(cost), np.intp)
    path[-1] = (total[-1] + ends).argmin()
    for row in range(len(cost) - 1, 0, -1):
        path[row - 1] = path[row] + came[row, path[row]]
    return path
