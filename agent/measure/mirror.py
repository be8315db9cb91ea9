"""The skull's midline from its symmetry: where what it encloses is its own mirror image.

No network is asked. Places in a plane are (x, y) [mm], along its rows towards the patient's left
and along its columns towards the back, so that slices of a tilted gantry lie as the head does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, optimize

from agent.voxels import HeadVolume

Floats = NDArray[np.float64]

SOFT_HU: Final = -15, 95
"""What lies within a skull, acute blood and fluid included, and not the skull [HU]. Ours."""

PIXEL_MM: Final = 2.0
"""The inside is looked at every so many millimetres [mm]. Ours."""

OPENED_MM: Final = 2.0
"""By so much the inside is shrunk and grown again, so that scalp and orbits fall off [mm]. Ours."""

SMALLEST_MM2: Final = 6000.0
"""A plane shows the hemispheres from this area inside the skull on [mm²]. Ours."""

FARTHEST_MM: Final = 6.0
"""No point of an outline counts as further off than this [mm]: a leak is no asymmetry. Ours."""

POINTS: Final = 80
"""Points of each plane's outline that are compared. Ours."""

FIRST_STEPS: Final = np.diag([0.08, 4.0, 0.08])
"""The search begins with these steps: angle [rad], place [mm], place by height. Ours."""


@dataclass(frozen=True, slots=True, eq=False)
class Plane:
    """One level of a head: its height along the normal [mm], and HU (j, i) with their places.

    ``origin_xy_mm`` is the place of pixel (0, 0), ``pixel_xy_mm`` the distance of two.
    """

    height_mm: float
    hu: NDArray[np.float32]
    origin_xy_mm: tuple[float, float]
    pixel_xy_mm: tuple[float, float]

    def at(self, x_mm: Floats, y_mm: Floats) -> NDArray[np.float32]:
        """Return HU at some places, by linear interpolation."""
        row = (y_mm - self.origin_xy_mm[1]) / self.pixel_xy_mm[1]
        column = (x_mm - self.origin_xy_mm[0]) / self.pixel_xy_mm[0]
        hu: NDArray[np.float32] = ndimage.map_coordinates(
            self.hu, np.array([row, column]), order=1, mode="nearest"
        )
        return hu


def plane_at(head: HeadVolume, height_mm: float, thick_mm: float) -> Plane | None:
    """Average the slices within half of ``thick_mm`` of a height; None where there are none."""
    grid = head.grid
    slices = np.flatnonzero(np.abs(grid.heights_mm - height_mm) <= thick_mm / 2)
    if not len(slices):
        return None
    origin_lps_mm = grid.origins_lps_mm[slices].mean(axis=0)
    return Plane(
        float(grid.heights_mm[slices].mean()),
        head.hu[slices[0] : slices[-1] + 1].mean(axis=0, dtype=np.float32),
        (
            float(origin_lps_mm @ np.array(grid.row_direction)),
            float(origin_lps_mm @ np.array(grid.column_direction)),
        ),
        (grid.column_spacing_mm, grid.row_spacing_mm),
    )


@dataclass(frozen=True, slots=True, eq=False)
class Inside:
    """What the skull encloses in one plane.

    ``points_mm`` (n, 2) are places on its outline, and ``off_mm`` (j, i) how far each pixel lies
    from that; its first pixel lies at ``origin_xy_mm``, and two are ``pixel_xy_mm`` apart.
    """

    height_mm: float
    points_mm: Floats
    off_mm: NDArray[np.float32]
    origin_xy_mm: Floats
    pixel_xy_mm: Floats
    centre_xy_mm: Floats
    spread_mm2: Floats

    @classmethod
    def of(cls, plane: Plane) -> Inside | None:
        """Outline a plane's; None where it shows no hemispheres.

        The largest part of soft tissue that hangs together, and what it encloses.
        """
        step = [max(1, round(PIXEL_MM / size_mm)) for size_mm in plane.pixel_xy_mm]
        pixel_mm = np.array(plane.pixel_xy_mm) * step
        hu = plane.hu[:: step[1], :: step[0]]
        soft = (hu > SOFT_HU[0]) & (hu < SOFT_HU[1])
        opened = ndimage.binary_opening(soft, iterations=round(OPENED_MM / float(pixel_mm.min())))
        parts, count = ndimage.label(opened)
        if not count:
            return None
        inside = ndimage.binary_fill_holes(parts == np.bincount(parts.ravel())[1:].argmax() + 1)
        places_mm = np.argwhere(inside)[:, ::-1] * pixel_mm + plane.origin_xy_mm
        if len(places_mm) * pixel_mm.prod() < SMALLEST_MM2:
            return None
        edge = inside & ~ndimage.binary_erosion(inside)
        points = np.argwhere(edge)[:, ::-1]
        return cls(
            plane.height_mm,
            points[:: len(points) // POINTS + 1] * pixel_mm + plane.origin_xy_mm,
            ndimage.distance_transform_edt(~edge, sampling=pixel_mm[::-1]).astype(np.float32),
            np.array(plane.origin_xy_mm),
            pixel_mm,
            places_mm.mean(axis=0),
            np.cov(places_mm.T),
        )


@dataclass(frozen=True, slots=True)
class MirrorPlane:
    """Where a head is its own mirror image.

    It passes the middle of the skull's inside, ``centre_xy_mm``, ``aside_mm`` to its left at
    ``height_mm`` and ``aside_per_mm`` further for each millimetre above, and is turned by
    ``turned_rad`` from the columns to the left. ``misfit_mm`` is the mean distance between the
    inside's outline and its mirror image.
    """

    centre_xy_mm: tuple[float, float]
    height_mm: float
    turned_rad: float
    aside_mm: float
    aside_per_mm: float
    misfit_mm: float

    def places(
        self, height_mm: float, along_mm: Floats, across_mm: Floats
    ) -> tuple[Floats, Floats]:
        """Return where points lie so far behind the middle and to the left of the plane."""
        aside_mm = across_mm + self._aside_mm(height_mm)
        cos, sin = np.cos(self.turned_rad), np.sin(self.turned_rad)
        return (
            self.centre_xy_mm[0] + aside_mm * cos + along_mm * sin,
            self.centre_xy_mm[1] - aside_mm * sin + along_mm * cos,
        )

    def along_and_across_mm(
        self, height_mm: float, x_mm: Floats, y_mm: Floats
    ) -> tuple[Floats, Floats]:
        """Return how far behind the middle and to the left of the plane some places lie."""
        x, y = x_mm - self.centre_xy_mm[0], y_mm - self.centre_xy_mm[1]
        cos, sin = np.cos(self.turned_rad), np.sin(self.turned_rad)
        return x * sin + y * cos, x * cos - y * sin - self._aside_mm(height_mm)

    def _aside_mm(self, height_mm: float) -> float:
        return self.aside_mm + self.aside_per_mm * (height_mm - self.height_mm)


def mirror_plane_of(insides: Sequence[Inside]) -> MirrorPlane:
    """Find the mirror plane of what the skull encloses in one plane or more."""
    outlines = _Outlines.of(insides)
    longest = np.linalg.eigh(np.mean([inside.spread_mm2 for inside in insides], axis=0))[1][:, 1]
    axis_rad = float(np.arctan2(longest[0] * np.sign(longest[1]), abs(longest[1])))
    start = np.array([axis_rad, 0.0, 0.0])
    fit = optimize.minimize(
        outlines.misfit_mm,
        start,
        method="Nelder-Mead",
        options={
            "initial_simplex": np.vstack([start, start + FIRST_STEPS]),
            "xatol": 0.003,
            "fatol": 0.003,
        },
    )
    return outlines.mirror(fit.x)


@dataclass(frozen=True, slots=True, eq=False)
class _Outlines:
    """The outlines of all planes, point by point: of which plane, how high [mm] and where [mm]."""

    plane: NDArray[np.intp]
    above_mm: Floats
    points_mm: Floats
    origin_mm: Floats
    pixel_mm: Floats
    off_mm: NDArray[np.float32]
    centre_xy_mm: Floats
    height_mm: float

    @classmethod
    def of(cls, insides: Sequence[Inside]) -> _Outlines:
        """Put them together."""
        counts = [len(inside.points_mm) for inside in insides]
        height_mm = float(np.mean([inside.height_mm for inside in insides]))
        return cls(
            np.repeat(np.arange(len(insides)), counts),
            np.repeat([inside.height_mm - height_mm for inside in insides], counts),
            np.concatenate([inside.points_mm for inside in insides]),
            np.repeat([inside.origin_xy_mm for inside in insides], counts, axis=0),
            insides[0].pixel_xy_mm,
            np.array([inside.off_mm for inside in insides]),
            np.mean([inside.centre_xy_mm for inside in insides], axis=0),
            height_mm,
        )

    def mirror(self, fit: Floats) -> MirrorPlane:
        """Return the plane of an angle [rad], a place [mm] and that by height."""
        turned_rad, aside_mm, aside_per_mm = fit.tolist()
        centre_mm = float(self.centre_xy_mm[0]), float(self.centre_xy_mm[1])
        misfit_mm = self.misfit_mm(fit)
        return MirrorPlane(centre_mm, self.height_mm, turned_rad, aside_mm, aside_per_mm, misfit_mm)

    def misfit_mm(self, fit: Floats) -> float:
        """Return how far the outlines lie from their mirror images, in the mean [mm]."""
        turned_rad, aside_mm, aside_per_mm = fit
        normal = np.array([np.cos(turned_rad), -np.sin(turned_rad)])
        off = (self.points_mm - self.centre_xy_mm) @ normal
        off -= aside_mm + aside_per_mm * self.above_mm
        mirrored_mm = self.points_mm - 2 * off[:, None] * normal
        column, row = np.rint((mirrored_mm - self.origin_mm) / self.pixel_mm).astype(np.intp).T
        rows, columns = self.off_mm.shape[1:]
        off_mm = self.off_mm[self.plane, row.clip(0, rows - 1), column.clip(0, columns - 1)]
        return float(np.minimum(off_mm, FARTHEST_MM).mean())
