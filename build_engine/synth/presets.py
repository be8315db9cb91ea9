"""Scanners that can be played: how each one lays out, encodes, names and sends a head series."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Stretch:
    """Neighbouring slices of one thickness, as far apart as they are thick."""

    n_slices: int
    thickness_mm: float


@dataclass(frozen=True, slots=True)
class ScannerPreset:
    """One scanner's head protocol and the manners of its export.

    ``stretches`` run from the skull base up. ``tilt_deg`` is positive where the front of the plane
    is raised, as a head is scanned along the skull base. ``slices_per_s`` is the export's pace,
    ``ascending`` its order. ``file_name`` is filled with ``number``, counted from 1 upwards along
    the head, and ``sop_uid``. ``promises_count`` says whether images tell how many there are.
    """

    name: str
    manufacturer: str
    model: str
    kernel: str
    kvp: int
    stretches: tuple[Stretch, ...]
    tilt_deg: float
    pixel_mm: float
    intercept_hu: int
    slices_per_s: float
    file_name: str
    matrix: int = 512
    ascending: bool = True
    promises_count: bool = False

    @property
    def signed(self) -> bool:
        """Whether stored values are signed: they must be where they are HU themselves."""
        return self.intercept_hu == 0

    @property
    def thicknesses_mm(self) -> tuple[float, ...]:
        """Thickness of each slice, lowest first [mm]."""
        return tuple(s.thickness_mm for s in self.stretches for _ in range(s.n_slices))


GE_32X5: Final = ScannerPreset(
    name="ge-32x5",
    manufacturer="GE MEDICAL SYSTEMS",
    model="LightSpeed VCT",
    kernel="STANDARD",
    kvp=120,
    stretches=(Stretch(32, 5.0),),
    tilt_deg=16.0,
    pixel_mm=0.488281,
    intercept_hu=-1024,
    slices_per_s=20.0,
    file_name="CT{number:06d}",
)

GE_DUAL: Final = ScannerPreset(
    name="ge-dual",
    manufacturer="GE MEDICAL SYSTEMS",
    model="HiSpeed Dual",
    kernel="STD+",
    kvp=120,
    stretches=(Stretch(16, 4.0), Stretch(13, 7.0)),
    tilt_deg=18.5,
    pixel_mm=0.488281,
    intercept_hu=0,
    slices_per_s=8.0,
    file_name="{number:02d}.dcm",
    promises_count=True,
)

SIEMENS_64X2_5: Final = ScannerPreset(
    name="siemens-64x2.5",
    manufacturer="Siemens Healthineers",
    model="SOMATOM go.Top",
    kernel="Hr38f",
    kvp=120,
    stretches=(Stretch(64, 2.5),),
    tilt_deg=0.0,
    pixel_mm=0.449219,
    intercept_hu=-1024,
    slices_per_s=40.0,
    file_name="{sop_uid}.IMA",
    ascending=False,
)

CANON_32X5: Final = ScannerPreset(
    name="canon-32x5",
    manufacturer="CANON_MEC",
    model="Aquilion ONE",
    kernel="FC26",
    kvp=135,
    stretches=(Stretch(32, 5.0),),
    tilt_deg=8.0,
    pixel_mm=0.468,
    intercept_hu=0,
    slices_per_s=16.0,
    file_name="CT.{sop_uid}.dcm",
    promises_count=True,
)

THIN_0_625: Final = ScannerPreset(
    name="thin-0.625",
    manufacturer="GE MEDICAL SYSTEMS",
    model="Revolution CT",
    kernel="STANDARD",
    kvp=120,
    stretches=(Stretch(300, 0.625),),
    tilt_deg=0.0,
    pixel_mm=0.488281,
    intercept_hu=-1024,
    slices_per_s=100.0,
    file_name="CT{number:06d}",
)

PRESETS: Final = {
    preset.name: preset for preset in (GE_32X5, GE_DUAL, SIEMENS_64X2_5, CANON_32X5, THIN_0_625)
}
