"""What a stack shows of a head: air, a skull, and the tissue inside it. Pure.

Looked at on a coarse copy of some 2 mm pixels and 4 mm levels, so that it costs some 10 ms. Bone is
told at 100 HU, where it saturates in windowed exports too, and the tissue inside it by rays: a
skull opened by surgery, a suture or an orbit still stands round the brain on three of four sides.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final

import cc3d
import numpy as np
from numpy.typing import NDArray

from agent.records import MM3_PER_ML
from agent.voxels import HeadVolume

LEVEL_MM: Final = 4.0
"""Slices within this are averaged into one level [mm]: thin, noisy slices become as calm as thick
ones. Ours: an infant's head still has some 20."""

PIXEL_MM: Final = 2.0
"""Only every so many millimetres a pixel is looked at [mm]. Ours: areas of the skull's inside need
no more."""

BONE_HU: Final = 100
"""Bone at or above this [HU]. Acute blood reaches 90; exports windowed to 100 HU end there."""

SOFT_HU: Final = -10
"""Soft tissue from here to bone, darker is fat or air [HU]. CSF is 0 to 15."""

TISSUE_HU: Final = -300
"""Above this a pixel is tissue [HU]. Half way between air and scalp fat, rounded up."""

AIR_HU: Final = -200
"""Air below this [HU]. Fat is -120 at its darkest; partial volumes lie between."""

AIR_RANGE_HU: Final = -1100, -850
"""Air round a head lies between these [HU]: -1000, and what calibration, noise and foam add."""

MEASURED_SHARE: Final = 0.1
"""Where fewer of the dark pixels are above what fills the surroundings, these are the rims of the
head and show no air. Ours."""

BRAIN_HU: Final = (10, 50)
"""Between these lies most of a brain [HU]: white matter from 20, grey to 40, infarcts and an
infant's brain darker, and some 10 HU for the scanner's calibration."""

METAL_HU: Final = 2500
"""Metal at or above this [HU]. The densest bone has some 2,000, exports of 12 bits end at 3,071.
Enamel reaches it too, and lies below the levels that show the hemispheres."""

FAT_HU: Final = -250, -30
"""Fat, and what other scales than HU make of it, lies between these [HU]."""

FEWEST_FAT_MM2: Final = 2000.0
"""Fat is known by so much of it that lies away from its borders, over all levels [mm²]. Ours: half
of what a lean adult's scalp and cheeks show. Exports cut to a brain window show none."""

ONE_VALUE_SHARE: Final = 0.3
"""Where one value alone has so much of it, darker ones were cut off there. Ours."""

PEAK_HU: Final = 15
"""Within so many HU values are counted together to find the most frequent. Ours."""

SIDES_WITH_BONE: Final = 3
"""On so many of the four sides a pixel inside the skull meets bone, or more."""

ALL_SIDES: Final = 4

LARGE: Final = 0.5
"""Levels with this share of the largest one, or more, show the hemispheres."""

N_LARGEST: Final = 3
"""The largest area is that which so many levels reach: one damaged slice cannot make it."""

FEWEST_REPEATED_PX: Final = 50
"""With fewer coarse pixels of soft tissue two slices may be alike because they are empty."""

SURROUNDED: Final = 0.8
"""Of what lies in the brain so much of the outline touches brain. Ours."""

PICTURE_HU: Final = 150
"""Slices are compared with one another by what they show between minus this and this [HU]: skin,
brain and bone weigh alike."""

TOGETHER: Final = 16
"""So many slices are blurred at once: their copies stay in the processor's cache. Ours."""

APART_MM: Final = 12.0
"""Slices so far apart are never alike [mm]. Ours: a slice of 5 mm and the third after it."""

LIKER_BY: Final = 0.02
"""A slice resembles another one more where its correlation is higher by this. Ours: noise makes
some thousandths."""

COUNTED_SLICES: Final = 32
"""How often each value occurs is counted in so many slices, or a few more."""

DENSER_HU: Final = 40, 100
"""Between brain and bone [HU]: where both share a pixel, at a dural fold or in a vessel."""

STEP_HU: Final = 20
"""No export stores values further apart than this [HU]: eight bits for all of HU make 16."""

CUT_BONE_HU: Final = 90, 300
"""Exports cut to a window show bone as one value, between these [HU]."""

CUT_BY: Final = 10
"""What is cut off at a value makes it so many times as frequent as any of ``RIM_HU`` below it."""

RIM_HU: Final = 40

REPEAT_STRIDE: Final = 8
"""Every so many pixels each way are compared to tell one slice given twice. Noise makes no two
slices alike in even ten of them."""

SAMPLE_STRIDE: Final = 8 * REPEAT_STRIDE
"""Only slices alike in every so many pixels each way are compared in all of those. Ours."""


@dataclass(frozen=True, slots=True, eq=False)
class HeadFacts:
    """What plausibility and coverage are judged by.

    ``areas_mm2`` (level,), lowest first, is how much soft tissue the skull encloses at each level,
    the largest connected part; levels beyond the last bone are left out. ``largest_mm2`` is the
    area that three levels reach, ``second_mm2`` that which the next largest part does in three of
    the large levels: of another head beside this one. Of the tissue enclosed in large levels:
    ``brain_share`` is what lies in a brain's range, ``spread_hu`` the distance from its 5th to its
    95th percentile, once averaged over 6 mm. ``dark_share`` of the level with least of it is darker
    than soft tissue. Of what is darker than fat, ``air_share`` is as dark as air at the level with
    least of that, where ``air_hu`` is its median.
    ``air_ml`` lies in large levels with brain on all four sides; ``metal_ml`` anywhere in them.
    ``n_repeated`` slices are the same as another one. ``at_edge``: the enclosed tissue reaches the
    edge of the image. ``tissue_mm2`` (slice,) is how much of each slice is no air.
    ``large_mm`` is the distance from the lowest large level to the highest.
    ``mirrored_fit``: how much more a slice resembles the next one when it is mirrored, at most.
    ``alternate_share`` of slices resemble the next but one more than the next.
    ``likeness``: how much levels ``APART_MM`` apart and one between resemble each other, at most:
    below and above its widest level two sections of a head may be alike. All three are correlations
    of slices that show half of the most tissue, or differences of such.
    ``brain_over_fat_hu``: how much denser the most frequent of brain is than that of fat, None
    where fat does not show. ``least_denser``: how often the rarest values between brain and bone
    occur, as a share of the most frequent of brain. ``above_cut`` of the bone that is cut off at
    one value lies above it, 0 where none is cut off.
    ``breadth`` of the largest levels' brain as a share of its length, by how its pixels spread;
    ``breadth_square`` if the pixels were square.
    """

    areas_mm2: NDArray[np.float64]
    tissue_mm2: NDArray[np.float64]
    largest_mm2: float
    second_mm2: float
    brain_share: float
    spread_hu: float
    brain_over_fat_hu: float | None
    dark_share: float
    air_share: float
    air_hu: float
    air_ml: float
    metal_ml: float
    n_repeated: int
    at_edge: bool
    large_mm: float
    mirrored_fit: float
    alternate_share: float
    likeness: float
    least_denser: float
    above_cut: float
    breadth: float
    breadth_square: float


def facts_of(head: HeadVolume) -> HeadFacts:
    """Look at a head."""
    thinned, pixel_mm2 = _thinned(head)
    levels = _levels(head, thinned)
    bone = levels >= BONE_HU
    soft = (levels >= SOFT_HU) & ~bone
    enclosed = soft & (_sides_with(bone) >= SIDES_WITH_BONE)
    inside = _largest_parts(enclosed)
    areas_mm2 = inside.sum(axis=(1, 2)) * pixel_mm2
    largest_mm2 = _reached(areas_mm2)
    large = areas_mm2 >= max(LARGE * largest_mm2, pixel_mm2)
    low_hu, high_hu = BRAIN_HU
    air = (levels[large] < AIR_HU) & (_sides_with(inside[large]) == ALL_SIDES)
    pixel_ml = _coarse_pixel_ml(head, len(levels), pixel_mm2)
    second = _largest_parts(enclosed[large] & ~inside[large])
    tissue_hu = levels[large][inside[large]]
    air_share, air_hu = _air(levels)
    tissue_px = _tissue_px(thinned)
    pictures = _pictures(thinned, tissue_px)
    alike_next = _alike(pictures[:-1], pictures[1:])
    of_levels, next_levels = pictures, alike_next
    if levels is not thinned:
        of_levels = _pictures(levels, _tissue_px(levels))
        next_levels = _alike(of_levels[:-1], of_levels[1:])
    counts = _counts(thinned)
    breadth_square = _breadth_square(head, inside[np.argsort(areas_mm2)[-N_LARGEST:]])
    return HeadFacts(
        areas_mm2=_with_bone(areas_mm2, bone),
        tissue_mm2=tissue_px * pixel_mm2,
        largest_mm2=largest_mm2,
        second_mm2=_reached(second.sum(axis=(1, 2)) * pixel_mm2),
        brain_share=_share((tissue_hu >= low_hu) & (tissue_hu <= high_hu)),
        spread_hu=_spread_hu(levels[large], inside[large]),
        brain_over_fat_hu=_brain_over_fat_hu(levels, tissue_hu, pixel_mm2),
        dark_share=float((levels < SOFT_HU).mean(axis=(1, 2)).min()),
        air_share=air_share,
        air_hu=air_hu,
        air_ml=np.count_nonzero(air) * pixel_ml,
        metal_ml=np.count_nonzero(levels[large] >= METAL_HU) * pixel_ml,
        n_repeated=_n_repeated(head.hu),
        at_edge=bool(inside[:, [0, -1]].any() or inside[:, :, [0, -1]].any()),
        large_mm=_extent_mm(head, large),
        mirrored_fit=_mirrored_fit(pictures, alike_next),
        alternate_share=_alternate_share(pictures, alike_next),
        likeness=_likeness(of_levels, next_levels, _level_mm(head, len(levels))),
        least_denser=_least_denser(counts),
        above_cut=_above_cut(counts),
        breadth=breadth_square * head.grid.column_spacing_mm / head.grid.row_spacing_mm,
        breadth_square=breadth_square,
    )


def bright_ml(head: HeadVolume) -> float:
    """Volume of what is as dense as bone and lies within the brain: calcium, or contrast [mL].

    At each level where the hemispheres show, parts that the brain surrounds are counted; what
    touches the skull is not.
    """
    thinned, pixel_mm2 = _thinned(head)
    levels = _levels(head, thinned)
    bone = levels >= BONE_HU
    soft = (levels >= SOFT_HU) & ~bone
    inside = _largest_parts(soft & (_sides_with(bone) >= SIDES_WITH_BONE))
    per_level = inside.sum(axis=(1, 2))
    large = np.flatnonzero(per_level >= max(LARGE * np.sort(per_level)[-N_LARGEST:][0], 1))
    bright_px = 0
    for k in large:
        parts = cc3d.connected_components(bone[k], connectivity=8)
        sizes = np.bincount(parts.ravel())
        beside = _grown(inside[k : k + 1])[0] & bone[k]
        rims = np.bincount(parts[bone[k] & ~_shrunk(bone[k : k + 1])[0]], minlength=len(sizes))
        in_brain = np.bincount(parts[beside & ~_shrunk(bone[k : k + 1])[0]], minlength=len(sizes))
        surrounded = in_brain[1:] >= SURROUNDED * rims[1:]
        bright_px += int(sizes[1:][surrounded].sum())
    return bright_px * _coarse_pixel_ml(head, len(levels), pixel_mm2)


def _reached(areas: NDArray[np.float64]) -> float:
    """Return the area that ``N_LARGEST`` levels reach, 0 where there are none."""
    return float(np.sort(areas)[-N_LARGEST:][0]) if len(areas) else 0.0


def _thinned(head: HeadVolume) -> tuple[NDArray[np.int16], float]:
    """Take some pixels of each slice: HU (slice, row, column), and the area of each [mm²]."""
    row_step, column_step = _steps(head)
    pixel_mm2 = head.grid.row_spacing_mm * head.grid.column_spacing_mm * row_step * column_step
    return np.ascontiguousarray(head.hu[:, ::row_step, ::column_step]), pixel_mm2


def _steps(head: HeadVolume) -> tuple[int, int]:
    """Every how many rows and columns a pixel is looked at."""
    grid = head.grid
    row_step, column_step = (
        max(1, round(PIXEL_MM / spacing_mm))
        for spacing_mm in (grid.row_spacing_mm, grid.column_spacing_mm)
    )
    return row_step, column_step


def _levels(head: HeadVolume, thinned: NDArray[np.int16]) -> NDArray[np.int16]:
    """Average the slices of each level: HU (level, row, column)."""
    starts = _starts(head)
    if len(starts) == len(thinned):
        return thinned
    levels = np.empty((len(starts), *thinned.shape[1:]), np.int16)
    for level, slices in zip(levels, np.split(thinned, starts[1:]), strict=True):
        level[:] = slices.sum(axis=0, dtype=np.int32) // len(slices)
    return levels


def _starts(head: HeadVolume) -> NDArray[np.intp]:
    """Each level's first slice."""
    heights_mm = head.grid.heights_mm
    number = np.floor((heights_mm - heights_mm[0]) / LEVEL_MM + 1e-6)
    return np.flatnonzero(np.diff(number, prepend=-1.0))


def _extent_mm(head: HeadVolume, levels: NDArray[np.bool_]) -> float:
    """Distance from the first of some levels to the last, 0 of none [mm]."""
    heights_mm = head.grid.heights_mm[_starts(head)[levels]]
    return float(np.ptp(heights_mm)) if len(heights_mm) else 0.0


def _level_mm(head: HeadVolume, n_levels: int) -> float:
    """Distance of two levels [mm]."""
    return float(np.ptp(head.grid.heights_mm)) / max(n_levels - 1, 1)


def _coarse_pixel_ml(head: HeadVolume, n_levels: int, pixel_mm2: float) -> float:
    """Volume that a pixel of a coarse level stands for [mL]."""
    return pixel_mm2 * float(head.grid.shares_mm.sum()) / n_levels / MM3_PER_ML


def _sides_with(mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Count for each pixel on how many of its four sides, within its slice, there is the mask."""
    count = np.zeros(mask.shape, np.uint8)
    for axis in (1, 2):
        n = mask.shape[axis]
        places = np.arange(n, dtype=np.int16).reshape((-1, 1) if axis == 1 else -1)
        first = mask.argmax(axis, keepdims=True).astype(np.int16)
        last = (n - 1 - np.flip(mask, axis).argmax(axis, keepdims=True)).astype(np.int16)
        some = mask.any(axis, keepdims=True)
        count += (places >= first) & some
        count += (places <= last) & some
    return count


def _largest_parts(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Keep each level's largest part, once bridges of 4 pixels (8 mm) or less are cut."""
    cores = _shrunk(_shrunk(mask))
    kept = np.zeros_like(mask)
    for k in np.flatnonzero(cores.any(axis=(1, 2))):
        parts = cc3d.connected_components(cores[k], connectivity=4)
        sizes = np.bincount(parts.ravel())
        kept[k] = parts == 1 + sizes[1:].argmax()
    return _grown(_grown(kept)) & mask


def _shrunk(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Take one pixel off all round, within each slice; beyond the image nothing is taken off."""
    shrunk = mask.copy()
    shrunk[:, 1:] &= mask[:, :-1]
    shrunk[:, :-1] &= mask[:, 1:]
    shrunk[:, :, 1:] &= mask[:, :, :-1]
    shrunk[:, :, :-1] &= mask[:, :, 1:]
    return shrunk


def _grown(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Put one pixel on all round, within each slice."""
    return ~_shrunk(~mask)


def _air(levels: NDArray[np.int16]) -> tuple[float, float]:
    """Share of air in what is darker than fat, and its median [HU], where the share is least.

    The stack's lowest value fills the corners of a round field, or all round the head: where it is
    darker than air, it is no measure of that.
    """
    low_hu, high_hu = AIR_RANGE_HU
    lowest_hu = int(levels.min())
    least, with_least = 1.0, []
    for level in levels:
        dark = level[level < AIR_HU]
        measured = dark[dark > lowest_hu] if lowest_hu < low_hu else dark
        if len(measured) > MEASURED_SHARE * len(dark):
            share = _share((measured >= low_hu) & (measured <= high_hu))
            if share < least:
                least, with_least = share, [measured]
            elif share == least < 1.0:
                with_least.append(measured)
    return least, min(map(_median, with_least), default=float(lowest_hu))


def _with_bone(areas_mm2: NDArray[np.float64], bone: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Leave out the levels below the lowest bone and above the highest."""
    levels = np.flatnonzero(bone.any(axis=(1, 2)))
    return areas_mm2[levels[0] : levels[-1] + 1] if len(levels) else areas_mm2[:0]


def _spread_hu(levels: NDArray[np.int16], inside: NDArray[np.bool_]) -> float:
    """Distance from the 5th to the 95th percentile of tissue averaged over 3 x 3 pixels [HU]."""
    rows = levels.astype(np.int32)
    rows = rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]
    sums = rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:]
    averaged = sums[_shrunk(_shrunk(inside))[:, 1:-1, 1:-1]] / 9
    if not len(averaged):
        return 0.0
    low_hu, high_hu = np.percentile(averaged, [5, 95])
    return float(high_hu - low_hu)


def _brain_over_fat_hu(
    levels: NDArray[np.int16], tissue_hu: NDArray[np.int16], pixel_mm2: float
) -> float | None:
    low_hu, high_hu = FAT_HU
    fat_hu = levels[_shrunk((levels > low_hu) & (levels < high_hu))]
    if len(fat_hu) * pixel_mm2 < FEWEST_FAT_MM2 or not len(tissue_hu):
        return None
    if np.bincount(fat_hu - low_hu).max() > ONE_VALUE_SHARE * len(fat_hu):
        return None
    return float(_most_frequent_hu(tissue_hu) - _most_frequent_hu(fat_hu))


def _most_frequent_hu(values_hu: NDArray[np.int16]) -> int:
    """Find the middle of the ``PEAK_HU`` that hold most values."""
    lowest_hu = int(values_hu.min())
    counts = np.bincount(values_hu.astype(np.intp) - lowest_hu)
    return lowest_hu + int(np.convolve(counts, np.ones(PEAK_HU), "same").argmax())


def _n_repeated(hu: NDArray[np.int16]) -> int:
    """Count slices that show tissue and are the same as one below them."""
    samples = [one.tobytes() for one in hu[:, ::SAMPLE_STRIDE, ::SAMPLE_STRIDE]]
    n_alike = Counter(samples)
    contents = [
        one.tobytes()
        for one, sample in zip(hu[:, ::REPEAT_STRIDE, ::REPEAT_STRIDE], samples, strict=True)
        if n_alike[sample] > 1
        and np.count_nonzero((one >= SOFT_HU) & (one < BONE_HU)) >= FEWEST_REPEATED_PX
    ]
    return len(contents) - len(set(contents))


def _tissue_px(slices: NDArray[np.int16]) -> NDArray[np.float64]:
    """Count how much of each slice is no air."""
    return np.array([np.count_nonzero(one > TISSUE_HU) for one in slices], dtype=np.float64)


def _pictures(slices: NDArray[np.int16], tissue_px: NDArray[np.float64]) -> NDArray[np.float32]:
    """Blur those slices (slice, row, column) that show most, all to one brightness and contrast.

    The product of two, summed, is their correlation.
    """
    large = np.flatnonzero(tissue_px >= LARGE * _reached(tissue_px))
    together = np.array_split(large, len(large) // TOGETHER + 1)
    return np.concatenate([_blurred(slices[some]) for some in together])


def _blurred(slices: NDArray[np.int16]) -> NDArray[np.float32]:
    shown = np.clip(slices, -PICTURE_HU, PICTURE_HU)
    rows = shown[:, :-2:2] + shown[:, 1:-1:2] + shown[:, 2::2]  # sums of nine fit 16 bits
    sums = rows[:, :, :-2:2] + rows[:, :, 1:-1:2] + rows[:, :, 2::2]
    blurred: NDArray[np.float32] = sums.astype(np.float32)
    blurred -= blurred.reshape(len(slices), -1).mean(axis=1)[:, None, None]
    norms = np.array([np.linalg.norm(one) for one in blurred], dtype=np.float32)
    blurred /= np.maximum(norms, 1.0)[:, None, None]
    return blurred


def _alike(some: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    """Correlate pictures with others, each with one."""
    correlations: NDArray[np.float32] = np.einsum("kji,kji->k", some, others)
    return correlations


def _mirrored_fit(pictures: NDArray[np.float32], alike_next: NDArray[np.float32]) -> float:
    below, above = pictures[:-1], pictures[1:]
    gains = (_alike(np.flip(below, axis), above) - alike_next for axis in (1, 2))
    return float(max(gain.max(initial=-1.0) for gain in gains))


def _alternate_share(pictures: NDArray[np.float32], alike_next: NDArray[np.float32]) -> float:
    next_but_one = _alike(pictures[:-2], pictures[2:])
    return _share(next_but_one > alike_next[:-1] + LIKER_BY)


def _likeness(
    pictures: NDArray[np.float32], alike_next: NDArray[np.float32], level_mm: float
) -> float:
    """Compare levels ``APART_MM`` apart, and what is next to the lower one: two may be alike."""
    step = int(np.ceil(APART_MM / max(level_mm, 1.0)))
    far = _alike(pictures[:-step], pictures[step:])
    return float(np.minimum(alike_next[: len(far)], far).max(initial=0.0))


def _counts(thinned: NDArray[np.int16]) -> NDArray[np.intp]:
    """Count each value from 0 HU on in some slices; what is denser than bone may be counts last."""
    some = thinned[:: max(1, len(thinned) // COUNTED_SLICES), ::2, ::2]
    most_hu = 2 * CUT_BONE_HU[1]
    return np.bincount(np.minimum(some[some >= 0], most_hu), minlength=most_hu + 1)


def _least_denser(counts: NDArray[np.intp]) -> float:
    """Compare the rarest ``STEP_HU`` between brain and bone with the most frequent below bone."""
    low_hu, high_hu = DENSER_HU
    together = np.convolve(counts[:high_hu], np.ones(STEP_HU), "valid")
    return float(together[low_hu:].min() / max(together.max(), 1.0))


def _above_cut(counts: NDArray[np.intp]) -> float:
    """Find the value at which bone is cut off, and how much lies above it all the same."""
    low_hu, high_hu = CUT_BONE_HU
    cut_hu = low_hu + int(counts[low_hu:high_hu].argmax())
    if counts[cut_hu] <= CUT_BY * max(counts[cut_hu - RIM_HU : cut_hu].max(), 1):
        return 0.0
    return float(counts[cut_hu + CUT_BY :].sum() / counts[cut_hu])


def _breadth_square(head: HeadVolume, inside: NDArray[np.bool_]) -> float:
    """Compare how far levels of a mask spread across and along, as if pixels were square.

    The root of the ratio of variances, which does not hang on single pixels as a box would; 1 of a
    mask that spreads nowhere.
    """
    row_step, column_step = _steps(head)
    along, across = (_variance(inside.sum(axis=axis)) for axis in (2, 1))
    return float(np.sqrt(across / along)) * column_step / row_step if along else 1.0


def _variance(counts: NDArray[np.intp]) -> float:
    """Mean variance of where counts (level, place) lie."""
    places = np.arange(counts.shape[1])
    n = np.maximum(counts.sum(axis=1), 1)
    means = counts @ places / n
    return float((counts @ places**2 / n - means**2).mean())


def _median(values: NDArray[np.int16]) -> float:
    return float(np.median(values))


def _share(mask: NDArray[np.bool_]) -> float:
    return float(mask.mean()) if mask.size else 0.0
