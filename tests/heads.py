"""Small heads with answers known on paper, and a backend that sees exactly what it is told to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from agent.infer.backend import Backend, Floats, RunBy, VolumeOutput
from agent.infer.bundle import Bundle
from agent.infer.contract import Contract, NetworkDigests
from agent.infer.slice_stage import SliceStage
from agent.infer.volume_stage import label_head
from agent.preprocess import SliceInput, VolumeInput
from agent.records import CPU, OperatingPoint, Reading, Region, Subtype, VolumeInterval
from agent.voxels import Grid, HeadVolume, LabelMask, Regions

BLOOD_HU, BRAIN_HU, AIR_HU = 65, 30, -1000


def axial_grid(
    heights_mm: np.ndarray,
    *,
    rows: int = 128,
    columns: int = 128,
    pixel_mm: float = 1.8,
    tilt_deg: float = 0.0,
) -> Grid:
    """Slices at ``heights_mm`` along the table, centred on x = 0, gantry tilted about x."""
    tilt = np.radians(tilt_deg)
    column_direction = (0.0, float(np.cos(tilt)), float(np.sin(tilt)))
    origins = np.zeros((len(heights_mm), 3))
    origins[:, 2] = heights_mm
    centre = np.array([columns - 1, 0, 0]) * pixel_mm / 2
    centre = centre + np.array(column_direction) * (rows - 1) * pixel_mm / 2
    return Grid(
        origins_lps_mm=origins - centre,
        row_direction=(1.0, 0.0, 0.0),
        column_direction=column_direction,
        row_spacing_mm=pixel_mm,
        column_spacing_mm=pixel_mm,
        rows=rows,
        columns=columns,
        end_thickness_mm=5.0,
    )


def positions_lps_mm(grid: Grid) -> np.ndarray:
    """Position of every voxel (k, j, i, 3)."""
    kji = np.stack(np.meshgrid(*map(np.arange, grid.shape_kji), indexing="ij"), axis=-1)
    return grid.to_lps_mm(kji.reshape(-1, 3)).reshape(*grid.shape_kji, 3)


def ball(grid: Grid, centre_mm: tuple[float, float, float], radius_mm: float) -> np.ndarray:
    """Voxels within ``radius_mm`` of a point."""
    return np.linalg.norm(positions_lps_mm(grid) - centre_mm, axis=-1) <= radius_mm


def head(grid: Grid, bleed: np.ndarray) -> HeadVolume:
    """An ellipsoid of brain in air, bright where ``bleed``."""
    radii = np.linalg.norm(positions_lps_mm(grid) / (70.0, 90.0, 75.0), axis=-1)
    hu = np.where(radii <= 1, BRAIN_HU, AIR_HU)
    hu = np.where(bleed, BLOOD_HU, hu).astype(np.int16)
    return HeadVolume(hu, grid, tuple(f"1.2.{k}" for k in range(len(hu))), ())


def read(whole: HeadVolume, contract: Contract, backend: Backend) -> LabelMask:
    """Take a head through both stages."""
    return label_head(whole, SliceStage(contract).finish(whole, backend), contract, backend)


def labels(
    grid: Grid, bleed: np.ndarray, subtype: Subtype, regions: np.ndarray | None = None
) -> LabelMask:
    """A mask of one subtype."""
    if regions is None:
        regions = np.zeros(grid.shape_kji, np.uint8)
    return LabelMask(
        subtypes=np.where(bleed, subtype, 0).astype(np.uint8),
        regions=Regions.of_voxels(regions),
        probability=np.where(bleed, 230, 0).astype(np.uint8),
        grid=grid,
        score=0.9,
    )


def halved_brain(grid: Grid, boundary_x_mm: np.ndarray | float = 0.0) -> np.ndarray:
    """Left and right frontal lobes either side of a boundary, thalami about the middle."""
    x, y, z = np.moveaxis(positions_lps_mm(grid), -1, 0)
    inside = (x / 70) ** 2 + (y / 90) ** 2 + (z / 75) ** 2 <= 1
    left = x > boundary_x_mm
    regions = np.where(left, Region.LEFT_FRONTAL, Region.RIGHT_FRONTAL)
    deep = (np.abs(y) < 20) & (np.abs(x) < 20) & (np.abs(z) < 20)
    regions = np.where(deep, np.where(left, Region.LEFT_THALAMUS, Region.RIGHT_THALAMUS), regions)
    return np.where(inside, regions, 0).astype(np.uint8)


INTERVAL = VolumeInterval(0.1, 0.1, 0.0, 0.0, 1.0)

SEEING = Contract(
    name="seeing",
    version="0",
    slices=SliceInput(2.0, 128, 2.5, 1, ((0.0, 80.0), (-20.0, 100.0)), 4),
    volume=VolumeInput((4.0, 4.0, 4.0), (40, 64, 64), ((0.0, 80.0),)),
    reading=Reading(bleed_probability=0.5, midline_shift=True, mirrored=False),
    interval=INTERVAL,
    operating_points=(OperatingPoint("balanced", 0.5),),
    sha256=NetworkDigests("1" * 64, "2" * 64),
    card={},
)
SEEING_BUNDLE = Bundle(SEEING, "0" * 64, Path("seeing"), slice_network=b"", volume_network=b"")


@dataclass
class SeeingBackend:
    """Calls blood what is at 50 to 79 HU in the middle slab, and agrees with itself in 3D.

    ``score`` is its study score; None for a high one where blood was seen.
    """

    bundle: Bundle
    subtype: Subtype = Subtype.INTRAPARENCHYMAL
    score: float | None = None
    slices_run: int = 0
    batches: list[Floats] = field(default_factory=list)

    @property
    def run_by(self) -> RunBy:
        return RunBy("sees 50 HU", CPU)

    @property
    def slabs_per_run(self) -> int:
        return self.bundle.contract.slices.batch

    def run_slices(self, batches: Iterable[Floats]) -> Iterator[Floats]:
        return map(self.see, batches)

    def see(self, slabs: Floats) -> Floats:
        self.batches.append(slabs)
        self.slices_run += int(slabs.any(axis=(1, 2, 3)).sum())
        contract = self.bundle.contract.slices
        low, high = contract.windows_hu[0]
        middle = contract.neighbours * len(contract.windows_hu)
        hu = slabs[:, middle] * (high - low) + low
        blood = (hu >= 50) & (hu < 79)  # bone and its edges end at the window's top
        out = np.zeros((len(slabs), len(Subtype) + 1, *slabs.shape[2:]), np.float32)
        out[:, 0] = 1 - blood
        out[:, self.subtype] = blood
        return out

    def run_volume(self, block: Floats) -> VolumeOutput:
        bleed = np.zeros((len(Subtype) + 1, *block.shape[2:]), np.float32)
        seen = block[0, : len(Subtype)].sum(axis=0)
        bleed[self.subtype] = np.minimum(1, seen * 2)
        bleed[0] = 1 - bleed[self.subtype]
        anatomy = np.full(block.shape[2:], Region.LEFT_FRONTAL, np.int32)
        score = float(seen.max() > 0.5) * 0.9 + 0.05 if self.score is None else self.score
        return VolumeOutput(bleed, anatomy, score)
