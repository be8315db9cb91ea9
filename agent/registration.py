"""An earlier head laid over a later one of the same patient: turned and moved, never stretched.

Both are reduced to about 3 mm, their heads' centres are laid upon one another, and the rest is
found by SimpleITK: the rigid motion by which their values go together best (correlation; Lowekamp
et al., The design of SimpleITK, Front Neuroinform 7:45, 2013). SimpleITK is the extra ``register``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Floats = NDArray[np.float64]

REDUCED_MM: Final = 3.0
"""What both heads are reduced to [mm]: fine enough to find a motion to 1 mm."""

SEEN_HU: Final = (-200.0, 800.0)
"""What is less or more dense than this is all the same: air, and the hardest bone. Ours."""

HEAD_HU: Final = -200.0
"""A head is denser than this."""

OUTSIDE_HU: Final = -1024
"""What is shown where the earlier images do not reach."""

LEAST_ALIKE: Final = 0.5
"""Correlation of both heads' values from which on they are laid upon one another. Ours: real heads
that were turned and moved by a computer have 0.65 to 0.84, those of two patients at most 0.4."""

LEAST_SHARED: Final = 0.3
"""Share of the later head that the earlier one has to cover. Ours."""

SAMPLED_SHARE: Final = 0.5
SEED: Final = 1
"""How many voxels are compared, and which."""

LEVELS: Final = [4, 2]
MOST_ROUNDS: Final = 20
"""By what both are reduced and smoothed while the motion is sought by Powell's method. Tried: a
steepest descent, in all steps and metrics, stopped 20 mm away on heads that are smooth inside."""


@dataclass(frozen=True, slots=True, eq=False)
class Planes:
    """Where slices lie: ``heights_mm`` ascend, ``spacing_mm`` is between rows and columns."""

    rows: int
    columns: int
    spacing_mm: tuple[float, float]
    heights_mm: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Motion:
    """Takes a point (height, down, across) [mm] of the later head to its place in the earlier one.

    Down and across are counted from the first pixel's middle.
    """

    rotation: Floats
    shift_mm: Floats

    def of(self, points_mm: Floats) -> Floats:
        """Move points (…, 3)."""
        return points_mm @ self.rotation.T + self.shift_mm

    def back(self, points_mm: Floats) -> Floats:
        """Move points (…, 3) of the earlier head to their places in the later one."""
        return (points_mm - self.shift_mm) @ self.rotation

    @property
    def turned_deg(self) -> float:
        """By which angle the earlier head is turned."""
        cosine = (np.trace(self.rotation) - 1) / 2
        return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


@dataclass(frozen=True, slots=True, eq=False)
class Reduced:
    """A head's HU (z, y, x), evenly spaced; ``spacing_mm`` and ``origin_mm`` are (x, y, z)."""

    hu: NDArray[np.float32]
    spacing_mm: tuple[float, float, float]
    origin_mm: tuple[float, float, float]


def reduced(planes: Planes, slices: Iterable[NDArray[np.int16]]) -> Reduced:
    """Reduce a head's slices (row, column), the lowest first, as they come."""
    row_step, column_step = (max(1, round(REDUCED_MM / mm)) for mm in planes.spacing_mm)
    rows, columns = planes.rows // row_step, planes.columns // column_step
    shape = rows, row_step, columns, column_step
    small = np.stack(
        [
            hu[: rows * row_step, : columns * column_step]
            .reshape(shape)
            .mean(axis=(1, 3), dtype=np.float32)
            for hu in slices
        ]
    )
    heights_mm = np.arange(planes.heights_mm[0], planes.heights_mm[-1], REDUCED_MM)
    at = np.interp(heights_mm, planes.heights_mm, np.arange(len(small)))
    low = np.minimum(at.astype(int), len(small) - 2)
    share = (at - low).astype(np.float32)[:, None, None]
    values = small[low] * (1 - share) + small[low + 1] * share
    row_mm, column_mm = planes.spacing_mm
    return Reduced(
        np.clip(values, *SEEN_HU),
        (column_step * column_mm, row_step * row_mm, REDUCED_MM),
        ((column_step - 1) / 2 * column_mm, (row_step - 1) / 2 * row_mm, float(heights_mm[0])),
    )


def registered(now: Reduced, before: Reduced) -> Motion | None:
    """Find how the earlier head lies to the later one; None where they do not go together."""
    import SimpleITK as sitk  # noqa: PLC0415, N813 - of the extra, and 50 MB

    fixed, moving = (_image(sitk, one) for one in (now, before))
    try:
        found = _sought(sitk, fixed, moving)
    except RuntimeError:  # ITK's, where one is empty or nothing of it lies on the other
        return None
    laid = sitk.GetArrayFromImage(sitk.Resample(moving, fixed, found, sitk.sitkLinear, SEEN_HU[0]))
    is_head = now.hu > HEAD_HU
    shared = is_head & (laid > HEAD_HU)
    if shared.sum() < LEAST_SHARED * is_head.sum():
        return None
    with np.errstate(invalid="ignore", divide="ignore"):  # no correlation where all is the same
        alike = np.corrcoef(now.hu[shared], laid[shared])[0, 1]
    if not alike >= LEAST_ALIKE:
        return None
    xyz = np.array([found.TransformVector(axis, (0.0, 0.0, 0.0)) for axis in np.eye(3).tolist()]).T
    origin_mm = np.array(found.TransformPoint((0.0, 0.0, 0.0)))
    return Motion(xyz[::-1, ::-1], origin_mm[::-1])


def _sought(sitk: ModuleType, fixed: Any, moving: Any) -> Any:  # noqa: ANN401 - no types
    """Seek the rigid motion of points of ``fixed`` to those of ``moving``."""
    heads = [sitk.Cast(one > HEAD_HU, sitk.sitkFloat32) for one in (fixed, moving)]
    start = sitk.CenteredTransformInitializer(
        *heads, sitk.Euler3DTransform(), sitk.CenteredTransformInitializerFilter.MOMENTS
    )
    method = sitk.ImageRegistrationMethod()
    method.SetNumberOfThreads(1)  # the others are the agent's
    method.SetMetricAsCorrelation()
    method.SetMetricSamplingStrategy(method.RANDOM)
    method.SetMetricSamplingPercentage(SAMPLED_SHARE, SEED)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsPowell(MOST_ROUNDS)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel(LEVELS)
    method.SetSmoothingSigmasPerLevel(LEVELS)
    method.SetInitialTransform(start, inPlace=True)
    return method.Execute(fixed, moving)


def _image(sitk: ModuleType, head: Reduced) -> Any:  # noqa: ANN401 - SimpleITK has no types
    image = sitk.GetImageFromArray(head.hu)
    image.SetSpacing(head.spacing_mm)
    image.SetOrigin(head.origin_mm)
    return image


def places(now: Planes, k: int, before: Planes, motion: Motion) -> Floats:
    """Return where the pixels of slice ``k`` lie in the earlier stack: (3, row, column).

    The three are fractions of slice, row and column; what lies above or below is far outside.
    """
    points_mm = np.empty((now.rows, now.columns, 3))
    points_mm[..., 0] = now.heights_mm[k]
    points_mm[..., 1] = (np.arange(now.rows) * now.spacing_mm[0])[:, None]
    points_mm[..., 2] = np.arange(now.columns) * now.spacing_mm[1]
    height, down, across = np.moveaxis(motion.of(points_mm), -1, 0)
    n = len(before.heights_mm)
    at = np.interp(height, before.heights_mm, np.arange(n), left=-n, right=2 * n)
    return np.stack([at, down / before.spacing_mm[0], across / before.spacing_mm[1]])


def slices_at(places: Floats, before: Planes) -> range:
    """Return the earlier slices that ``places`` lie in or between."""
    last = len(before.heights_mm) - 1
    at = places[0][(places[0] >= 0) & (places[0] <= last)]
    if not at.size:
        return range(0)
    return range(int(np.floor(at.min())), int(np.ceil(at.max())) + 1)


def laid_over(places: Floats, hu: NDArray[np.int16], first: int) -> NDArray[np.int16]:
    """Return the earlier HU at ``places``; ``hu`` (k, row, column) begins with slice ``first``."""
    at = places - np.array([first, 0, 0])[:, None, None]
    return ndimage.map_coordinates(hu, at, order=1, cval=OUTSIDE_HU)


def numbers_over(places: Floats, numbers: NDArray[np.uint8], first: int) -> NDArray[np.uint8]:
    """Return the earlier findings' numbers likewise: the nearest pixel's."""
    at = places - np.array([first, 0, 0])[:, None, None]
    return ndimage.map_coordinates(numbers, at, order=0)
