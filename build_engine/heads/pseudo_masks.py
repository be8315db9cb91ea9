"""Blood outlined where readers named a slice's bleeds, a network saw them and density agrees.

Nobody outlined it: these masks are our own reading, checked by eye on montages.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from agent.preprocess import Floats
from agent.records import Subtype
from agent.voxels import HeadVolume
from build_engine.heads.boxes import BONE_HU, MAYBE_BLOOD_HU
from build_engine.heads.fields import UNSURE, Bytes

BLOOD_HU: Final = (44.0, 98.0)
"""Smoothed density of what may be blood. Ours, checked by eye."""

SEEN_AT: Final = 0.35
MAYBE_AT: Final = 0.08
"""Probability, of the peer or of an earlier bundle, that makes blood of a labelled slice's pixel,
and one from which it teaches nothing. Ours, checked by eye."""

SMOOTHED_MM: Final = 1.0
SMALLEST_MM2: Final = 12.0
EDGE_PX: Final = 2
"""Pixels about blood that are not sure, and across which blood reaches to the bone beside it."""

FARTHEST_FROM_BONE_MM: Final = 6.0
"""Epidural and subdural bleeds come at least as near to bone; choroid plexus does not. Ours."""

EXTRA_AXIAL: Final = frozenset({Subtype.SUBDURAL, Subtype.EPIDURAL})


def pseudo_masks(
    head: HeadVolume,
    slice_kinds: Sequence[frozenset[Subtype]],
    seen: Floats,
    peer: Floats,
) -> Bytes:
    """Outline blood (k, j, i) where readers, a network and density agree; ``UNSURE`` where not.

    ``slice_kinds`` (k,) are what readers named, ``seen`` (k, j, i) an earlier bundle's bleed
    probability, and ``peer`` (class, k, j, i) BLAST-CT's of intraparenchymal, extra-axial, oedema,
    intraventricular. In a slice that was labelled bleed-free and has no labelled neighbour, nothing
    is blood.
    """
    subtypes = np.zeros(head.hu.shape, dtype=np.uint8)
    sigma_px = SMOOTHED_MM / head.grid.column_spacing_mm
    for k, kinds in enumerate(slice_kinds):
        evidence = np.maximum(seen[k], peer[[0, 1, 3], k].sum(axis=0))
        smooth = ndimage.gaussian_filter(head.hu[k].astype(np.float32).clip(0, 100), sigma_px)
        maybe = (evidence >= MAYBE_AT) & (smooth >= MAYBE_BLOOD_HU)
        if kinds:
            bone = head.hu[k] >= BONE_HU
            blood = _blood(evidence >= SEEN_AT, smooth, bone, head.grid.column_spacing_mm)
            maybe |= blood
            blood = _placed(blood, kinds, bone, head.grid.column_spacing_mm)
            maybe |= ndimage.binary_dilation(blood, iterations=EDGE_PX)
            subtypes[k][maybe] = UNSURE
            subtypes[k][blood] = _named(blood, kinds, peer[:, k])[blood]
        elif any(slice_kinds[max(k - 1, 0) : k + 2]):
            subtypes[k][maybe] = UNSURE
    return subtypes


def _blood(
    likely: NDArray[np.bool_], smooth: Floats, bone: NDArray[np.bool_], pixel_mm: float
) -> NDArray[np.bool_]:
    """Clean what is likely blood in one slice: dense enough, no specks, up to the bone beside."""
    low_hu, high_hu = BLOOD_HU
    blood = ndimage.binary_opening(likely & (smooth >= low_hu) & (smooth < high_hu) & ~bone)
    parts, _ = ndimage.label(blood)
    blood &= (np.bincount(parts.ravel()) >= SMALLEST_MM2 / pixel_mm**2)[parts]
    beside = ndimage.binary_dilation(blood, iterations=EDGE_PX)
    touching = ndimage.binary_dilation(bone, iterations=EDGE_PX)
    filled: NDArray[np.bool_] = blood | (beside & touching & ~bone & (smooth >= low_hu))
    return filled


def _placed(
    blood: NDArray[np.bool_], kinds: frozenset[Subtype], bone: NDArray[np.bool_], pixel_mm: float
) -> NDArray[np.bool_]:
    """Drop parts of a slice's blood that lie deep in the head, where all its kinds lie outside."""
    if not kinds <= EXTRA_AXIAL:
        return blood
    parts, count = ndimage.label(blood)
    off_mm = ndimage.distance_transform_edt(~bone) * pixel_mm
    nearest_mm = ndimage.minimum(off_mm, parts, np.arange(count + 1))
    placed: NDArray[np.bool_] = blood & (nearest_mm <= FARTHEST_FROM_BONE_MM)[parts]
    return placed


def _named(blood: NDArray[np.bool_], kinds: frozenset[Subtype], peer: Floats) -> Bytes:
    """Name each part of a slice's blood: one of its kinds, the one that the peer's class fits."""
    fitting = (
        (Subtype.INTRAPARENCHYMAL,),
        (Subtype.EPIDURAL, Subtype.SUBDURAL, Subtype.SUBARACHNOID),
        (),
        (Subtype.INTRAVENTRICULAR,),
    )
    names = np.zeros(blood.shape, dtype=np.uint8)
    parts, count = ndimage.label(blood)
    for part in range(1, count + 1):
        here = parts == part
        order = peer[:, here].sum(axis=1).argsort()[::-1].tolist()
        ranked = [kind for one in order for kind in fitting[one] if kind in kinds]
        names[here] = ranked[0] if ranked else min(kinds)
    return names
