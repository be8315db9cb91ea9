"""Bodies of known volume, written as DICOM files and measured: what is read is what was there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from pydicom.uid import ExplicitVRLittleEndian

from agent.assemble.dicom_file import read_slices
from agent.assemble.limits import ReadLimits
from agent.assemble.series import GrowingSeries
from agent.measure import measure
from agent.records import Subtype
from agent.voxels import LabelMask, Regions
from tests.faults.conftest import Row
from tests.heads import INTERVAL
from tests.phantoms import INTERCEPT, slice_dataset, uid, write

BLOOD_HU, BRAIN_HU = 60, 30
MOST_WRONG = 0.01
MARGIN_MM = 3.0


@dataclass(frozen=True)
class Scanner:
    """How slices lie: unit vectors of rows and columns, and the way from one slice to the next."""

    columns: tuple[float, float, float]
    rows: tuple[float, float, float]
    step: tuple[float, float, float]
    pixel_mm: tuple[float, float]
    """Between rows, between columns: DICOM's order."""
    spacings_mm: tuple[float, ...]
    """Along the normal, in turn."""


def about_x(degrees: float) -> np.ndarray:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[1, 0, 0], [0, c, -s], [0, s, c]])


def about_z(degrees: float) -> np.ndarray:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


def scanner(
    turn: np.ndarray,
    pixel_mm: tuple[float, float] = (0.5, 0.5),
    spacings_mm: tuple[float, ...] = (0.6,),
    *,
    tilted: bool = False,
) -> Scanner:
    """Slices along their normal, or along the table where the gantry is ``tilted``."""
    axes = [tuple(turn[:, n].tolist()) for n in range(3)]
    return Scanner(axes[0], axes[1], (0, 0, 1) if tilted else axes[2], pixel_mm, spacings_mm)


SCANNERS = {
    "straight": scanner(np.eye(3)),
    "gantry tilted 22°": scanner(about_x(-22), tilted=True),
    "gantry tilted the other way": scanner(about_x(15), tilted=True),
    "varying spacing": scanner(np.eye(3), spacings_mm=(0.5, 0.5, 0.5, 0.7, 0.9, 0.9, 0.7)),
    "anisotropic": scanner(np.eye(3), pixel_mm=(0.35, 0.6), spacings_mm=(0.75,)),
    "oblique": scanner(about_z(17) @ about_x(25)),
    "oblique and anisotropic": scanner(about_z(-30) @ about_x(-18), (0.6, 0.4), (0.7,)),
    "feet first, prone": scanner(about_z(180) @ np.diag([-1.0, 1, -1])),
}


@dataclass(frozen=True)
class Sphere:
    radius_mm: float

    @classmethod
    def of(cls, volume_ml: float) -> Sphere:
        return cls((3000 * volume_ml / (4 * np.pi)) ** (1 / 3))

    def holds(self, lps_mm: np.ndarray) -> np.ndarray:
        return np.linalg.norm(lps_mm, axis=-1) <= self.radius_mm


@dataclass(frozen=True)
class Crescent:
    """What a sphere leaves of another one that is moved: like blood under the skull."""

    radius_mm: float

    OTHER, APART = 1.2, 0.55
    """Radius and distance of the sphere that is taken away, in radii of the first."""

    @classmethod
    def of(cls, volume_ml: float) -> Crescent:
        return cls((1000 * volume_ml / cls.unit_volume()) ** (1 / 3))

    @classmethod
    def unit_volume(cls) -> float:
        """Of radius 1: the sphere less the lens. Source: Weisstein, Sphere-Sphere Intersection."""
        a, b, d = 1.0, cls.OTHER, cls.APART
        lens = np.pi * (a + b - d) ** 2 * (d**2 + 2 * d * (a + b) - 3 * (a - b) ** 2) / (12 * d)
        return float(4 / 3 * np.pi - lens)

    def holds(self, lps_mm: np.ndarray) -> np.ndarray:
        inside = np.linalg.norm(lps_mm, axis=-1) <= self.radius_mm
        other_mm = lps_mm + np.array([self.APART * self.radius_mm, 0, 0])
        return inside & (np.linalg.norm(other_mm, axis=-1) > self.OTHER * self.radius_mm)


def write_body(folder: Path, body: Sphere | Crescent, how: Scanner) -> list[Path]:
    """Write the slices through a body about the origin, by DICOM's own equation (C.7.6.2.1-1)."""
    folder.mkdir()
    columns, rows, step = (np.array(axis) for axis in (how.columns, how.rows, how.step))
    half_mm = body.radius_mm + MARGIN_MM
    along = abs(float(step @ np.cross(columns, rows)))
    heights_mm = [-half_mm]
    while heights_mm[-1] < half_mm:
        heights_mm.append(heights_mm[-1] + how.spacings_mm[len(heights_mm) % len(how.spacings_mm)])
    size = int(2 * half_mm * 1.5 / min(how.pixel_mm)) + 1
    j, i = np.mgrid[:size, :size]
    corner = -(size - 1) / 2 * (how.pixel_mm[1] * columns + how.pixel_mm[0] * rows)
    paths = []
    for k, height_mm in enumerate(heights_mm):
        origin = corner + step * height_mm / along
        lps_mm = origin + i[..., None] * how.pixel_mm[1] * columns
        lps_mm = lps_mm + j[..., None] * how.pixel_mm[0] * rows
        hu = np.where(body.holds(lps_mm), BLOOD_HU, BRAIN_HU)
        image = slice_dataset(
            k,
            len(heights_mm),
            size=size,
            ImagePositionPatient=origin.round(6).tolist(),
            ImageOrientationPatient=np.r_[columns, rows].round(9).tolist(),
            PixelSpacing=list(how.pixel_mm),
            SliceThickness=how.spacings_mm[0],
            SOPInstanceUID=uid("body", k),
            PixelData=(hu - INTERCEPT).astype("<u2").tobytes(),
        )
        paths.append(folder / f"{k}.dcm")
        write(image, paths[-1], ExplicitVRLittleEndian)
    return paths


def measured_ml(paths: list[Path]) -> float:
    """Read, assemble and measure what has blood's value."""
    series = GrowingSeries()
    for path in paths:
        for read in read_slices(path, ReadLimits()):
            series.add(*read)
    head = series.volume()
    blood = (head.hu == BLOOD_HU).astype(np.uint8)
    nowhere = Regions.of_voxels(blood * 0)
    mask = LabelMask(blood * Subtype.SUBDURAL, nowhere, blood * 255, head.grid, 0.9)
    return measure(mask, INTERVAL, shift_in=None).total_volume_ml


@pytest.mark.parametrize("name", SCANNERS)
def test_a_known_volume_is_measured_within_a_hundredth(tmp_path: Path, row: Row, name: str) -> None:
    volumes_ml = (1.0, 3.0, 10.0, 30.0, 100.0) if row.full else (1.0, 3.0)

    errors = {}
    for volume_ml in volumes_ml:
        for kind in (Sphere, Crescent):
            folder = tmp_path / f"{kind.__name__} {volume_ml:g}"
            found_ml = measured_ml(write_body(folder, kind.of(volume_ml), SCANNERS[name]))
            errors[folder.name] = found_ml / volume_ml - 1

    worst = max(errors, key=lambda each: abs(errors[each]))
    row.tell(
        f"volume truth, {name}: {len(errors)} bodies of {min(volumes_ml)} to {max(volumes_ml)} mL, "
        f"largest error {errors[worst]:+.2%} ({worst} mL)"
    )
    assert abs(errors[worst]) <= MOST_WRONG


def test_the_crescents_volume_is_that_of_the_points_in_it() -> None:
    points = np.random.default_rng(1).uniform(-1, 1, (400_000, 3))

    share = Crescent(1.0).holds(points).mean()

    assert 8 * share == pytest.approx(Crescent.unit_volume(), rel=0.02)
