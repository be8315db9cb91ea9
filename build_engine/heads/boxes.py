"""Blood by density inside an annotator's boxes, where nobody outlined it."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from build_engine.heads.fields import UNSURE, Bytes

BLOOD_HU: Final = (47.0, 95.0)
"""Smoothed density of what is taken for blood inside a box. Ours, checked by eye."""

MAYBE_BLOOD_HU: Final = 42.0
BONE_HU: Final = 100.0
SMOOTHED_MM: Final = 1.0
NEAR_BONE_MM: Final = 1.8
EDGE_MM: Final = 0.9
"""Specks thinner than twice this are no blood, and within it of blood is not sure."""

SMALLEST_BLOOD_MM2: Final = 12.0


def blood_in_boxes(
    hu: NDArray[np.int16],
    boxed: Bytes,
    pixel_mm: float,
    no_blood: NDArray[np.bool_] | None = None,
) -> Bytes:
    """Label the blood (k, j, i) in boxes, ``UNSURE`` where it may be blood, else 0.

    It is our own reading of the boxes, checked by eye on montages of real patients.

    Parameters
    ----------
    hu : array (k, j, i)
        Densities [HU].
    boxed : array (k, j, i)
        A ``Subtype`` inside the boxes, 0 outside.
    pixel_mm : float
        Width of a pixel [mm].
    no_blood : array (k, j, i), optional
        What an annotator outlined as something else, such as oedema.
    """
    labels = np.zeros(hu.shape, dtype=np.uint8)
    other = np.zeros(hu.shape, dtype=np.bool_) if no_blood is None else no_blood
    edge_px = max(1, round(EDGE_MM / pixel_mm))
    has_box = np.asarray(boxed.any(axis=(1, 2)))
    for k in np.flatnonzero(has_box).tolist():
        smooth = ndimage.gaussian_filter(hu[k].astype(np.float32), SMOOTHED_MM / pixel_mm)
        in_box = boxed[k] > 0
        bone = hu[k] >= BONE_HU
        near_bone = ndimage.binary_dilation(bone, iterations=max(1, round(NEAR_BONE_MM / pixel_mm)))
        blood = in_box & (smooth > BLOOD_HU[0]) & (smooth < BLOOD_HU[1]) & ~near_bone & ~other[k]
        blood = ndimage.binary_opening(blood, iterations=edge_px)
        parts, _ = ndimage.label(blood)
        large = np.bincount(parts.ravel()) >= SMALLEST_BLOOD_MM2 / pixel_mm**2
        blood &= large[parts]
        blood = ndimage.binary_fill_holes(blood) & in_box
        maybe = in_box & (smooth > MAYBE_BLOOD_HU) & ~other[k]
        maybe |= ndimage.binary_dilation(blood, iterations=edge_px)
        labels[k][maybe] = UNSURE
        labels[k][blood] = boxed[k][blood]
        for beside in (k - 1, k + 1):  # a bleed's last, faint slice is often not boxed
            if 0 <= beside < len(labels) and not has_box[beside]:
                labels[beside][in_box & (hu[beside] > MAYBE_BLOOD_HU)] = UNSURE
    return labels
