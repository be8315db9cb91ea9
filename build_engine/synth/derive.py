"""Derive ``icbm152.npz`` from the ICBM 152 tissue maps that nilearn carries.

Run once, by hand: ``python -m build_engine.synth.derive``. The generator itself needs only the
result. Lobes and nuclei are cut by planes and ellipsoids in MNI coordinates (x right, y anterior,
z up) [mm], read off the template; they are good to about 5 mm.
"""

# ruff: noqa: PLR2004 - anatomy is drawn in coordinates, and each is used once

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Final

import nibabel
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from agent.records import Region
from build_engine.synth.template import MAP_FILE, STEP_MM, pack_tissues

Doubles = NDArray[np.float64]
Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]

MAPS: Final = "datasets/data/mni_icbm152_{}_tal_nlin_sym_09a_converted.nii.gz"
"""Symmetric, 2009a, 1 mm, first voxel at (-98, -134, -72): Fonov et al., NeuroImage 2011."""

DEEP_MM: Final = 20.0
"""Ventricles lie further inside the brain than this [mm]; sulci do not."""


def derive(target: Path) -> None:
    """Write the tissue and region maps at ``STEP_MM``, as arrays (k, j, i) in LPS order."""
    grey, white, brain, first_mm = _maps()
    x, y, z = np.meshgrid(
        *(first + STEP_MM * np.arange(n) for first, n in zip(first_mm, grey.shape, strict=True)),
        indexing="ij",
    )
    regions = _regions(x, y, z)
    regions[_ventricles(x, y, z, brain - grey - white, brain > 0.5)] = Region.VENTRICLES
    regions[brain <= 0.5] = 0
    # i grows to the patient's left, j to the back: MNI's x and y turned round.
    to_lps = (slice(None), slice(None, None, -1), slice(None, None, -1))
    np.savez_compressed(
        target,
        tissues=np.ascontiguousarray(pack_tissues(grey, white).transpose(2, 1, 0)[to_lps]),
        regions=np.ascontiguousarray(regions.transpose(2, 1, 0)[to_lps]),
        first_lps_mm=np.array([-x.max(), -y.max(), z.min()]),
    )


def _maps() -> tuple[Floats, Floats, Floats, tuple[float, float, float]]:
    """Grey, white and brain at ``STEP_MM``, averaged from 1 mm, and the first voxel's x, y, z."""
    at_1mm = [
        nibabel.Nifti1Image.from_filename(str(files("nilearn") / MAPS.format(name))).get_fdata(
            dtype=np.float32
        )
        for name in ("gm", "wm", "t1")
    ]
    grey, white, brain = (
        ndimage.uniform_filter(values, STEP_MM)[1::STEP_MM, 1::STEP_MM, 1::STEP_MM]
        for values in (at_1mm[0] / 255, at_1mm[1] / 255, (at_1mm[2] > 0).astype(np.float32))
    )
    return grey, white, brain, (-97.5, -133.5, -71.5)


def _regions(x: Doubles, y: Doubles, z: Doubles) -> NDArray[np.uint8]:
    side = np.abs(x)
    tentorium = -0.52 * side - 0.35 * np.maximum(0, -55 - y)
    sylvian = np.minimum(5 - 0.55 * (y + 10), 18)
    regions = np.full(x.shape, Region.LEFT_PARIETAL, dtype=np.uint8)
    rules: tuple[tuple[Mask, Region], ...] = (
        (y > -30 + 0.42 * side, Region.LEFT_FRONTAL),
        ((z < sylvian) & (side > 20) & (y < 22), Region.LEFT_TEMPORAL),
        ((z < -4) & (y < 4), Region.LEFT_TEMPORAL),
        (y < -62 - 0.45 * np.maximum(0, z - 10), Region.LEFT_OCCIPITAL),
        (_ellipsoid(side, y, z, (38, 3, 2), (6, 22, 15)), Region.LEFT_INSULA),
        (_ellipsoid(side, y, z, (25, 1, 2), (10, 18, 12)), Region.LEFT_BASAL_GANGLIA),
        (_ellipsoid(side, y, z, (13, 12, 8), (7, 13, 13)), Region.LEFT_BASAL_GANGLIA),
        (_ellipsoid(side, y, z, (12, -19, 8), (11, 16, 10)), Region.LEFT_THALAMUS),
        ((z < tentorium) & (y < -33), Region.CEREBELLUM),
        ((side < 17) & (y < -8) & (y > -38) & (z < -3), Region.MIDBRAIN),
        ((side < 19) & (y < -10) & (y > -38) & (z < -20), Region.PONS),
        ((side < 13) & (y < -25) & (y > -52) & (z < -43), Region.MEDULLA),
    )
    for where, region in rules:
        regions[where] = region
    sided = np.isin(regions, [region for region in Region if region.name.startswith("LEFT_")])
    regions[sided & (x > 0)] += 1  # each right region follows its left one
    return regions


def _ellipsoid(
    x: Doubles,
    y: Doubles,
    z: Doubles,
    centre_mm: tuple[float, float, float],
    radii_mm: tuple[float, float, float],
) -> Mask:
    parts = zip((x, y, z), centre_mm, radii_mm, strict=True)
    squares = [((axis - centre) / radius) ** 2 for axis, centre, radius in parts]
    inside: Mask = np.sum(squares, axis=0) < 1
    return inside


def _ventricles(x: Doubles, y: Doubles, z: Doubles, fluid: Floats, brain: Mask) -> Mask:
    side = np.abs(x)
    depth_mm = ndimage.distance_transform_edt(ndimage.binary_closing(brain, iterations=5)) * STEP_MM
    cistern = (side < 14) & (y < -26) & (z > -18) & (z < 16)
    lateral = (side < 37) & (y > -62) & (y < 38) & (z > -2) & (z < 34) & (depth_mm > DEEP_MM)
    temporal = (side > 21) & (side < 38) & (y > -42) & (y < -4) & (z > -24) & (z < 4)
    third = (side < 5) & (y > -27) & (y < 6) & (z > -12) & (z < 14)
    fourth = (side < 14) & (y > -54) & (y < -33) & (z > -44) & (z < -16)
    places = (lateral & ~cistern) | (temporal & (depth_mm > DEEP_MM)) | third | fourth
    fluid_there: Mask = (fluid > 0.4) & places
    labels, _ = ndimage.label(ndimage.binary_closing(fluid_there))
    sizes = np.bincount(labels.ravel())
    ventricles: Mask = np.isin(labels, np.flatnonzero(sizes > 20)[1:]) & places
    return ventricles


if __name__ == "__main__":
    derive(Path(__file__).with_name(MAP_FILE))
