"""Are these HU, and is this a head with a brain in it? Pure.

The thresholds lie between 102 real heads (41 of CT-ICH, 60 of PHE-SICH-CT-IDS, one whole export)
with 24 generated ones, and what no head is: heads whose values were shifted, scaled, inverted, cut
to fewer bits or swapped, and water baths, phantoms and other parts of the body. The numbers beside
each threshold are those heads' own.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from agent.assemble.head_facts import HeadFacts
from agent.reasons import Reason

LEAST_DARK_SHARE: Final = 0.05
"""Share of each level that is darker than soft tissue: air round the head. Heads: 0.48 and up; one
that fills a small field still leaves some 0.2. A level of other values than HU has none."""

LEAST_AIR_SHARE: Final = 0.4
"""Of what is darker than fat so much is air at each level. Heads: 0.71 and up; noise of all values:
0.2, values a fifth too large or too small: 0.06 and less."""

LEAST_CAVITY_MM2: Final = 3000.0
"""A skull encloses more than this [mm²]. Heads: 7400 and up, a newborn's some 6000."""

MOST_CAVITY_MM2: Final = 45_000.0
"""No skull encloses more [mm²]. Heads: up to 21,900; the largest hydrocephalus twice as much."""

LEAST_BRAIN_SHARE: Final = 0.5
"""Share of what the skull encloses that is as dense as brain. Heads: 0.65 with the largest bleed,
0.83 and up without it; values 24 HU off: 0.33 to 0.39; a pelvis: 0.3."""

LEAST_SECOND_MM2: Final = 4500.0
"""What a second skull encloses at the levels of the first one's hemispheres is more than this
[mm²]: a child beside its mother. Heads: 0 to 1000, 2900 where dense blood parts a hemisphere; a
newborn's own some 6000."""

LEAST_SPREAD_HU: Final = 7.0
"""Ventricles, grey and white matter differ by more than this [HU]. Heads: 10.3 to 44; noise about
one value: 4."""

BRAIN_OVER_FAT_HU: Final = 95.0, 160.0
"""Brain is denser than fat by this [HU]: fat is -85 to -115, brain 25 to 40, both together less
where a scanner's scale lies low. One real head with its fat: 128; generated ones: 109 to 135.
Values 0.6 times as large make 65 to 80 of it, 1.5 times as large 163 to 200."""

LEAST_DENSER: Final = 0.001
"""No 20 HU between brain and bone are so rare beside the most frequent of brain: a pixel at the
skull's edge holds some of both. Heads: 0.012 and more, generated ones of 7.5 mm 0.006; where soft
tissue was made 0.75 times as dense or less, and bone was not, nothing lies there."""

MOST_ABOVE_CUT: Final = 0.005
"""Where bone is cut off at one value, no more of it than this lies above. Heads: 0; where soft
tissue was made 1.2 to 1.5 times as dense, and bone was cut off before: 0.01 and more."""

BREADTH: Final = 0.62, 1.45
"""A brain is so broad, as a share of its length. Heads: 0.73 to 1.03, of any age, and on their
sides up to 1.37."""

BREADTH_SQUARE: Final = 0.68, 1.1
"""Of pixels that are not square: where they would show such a head if they were, they are. No
scanner makes others, and a head that was stretched is hardly ever so."""

SQUARE: Final = 1.1
"""Pixels that are no longer than this, by their width, count as square."""

MOST_AIR_ML: Final = 5.0
"""With more air than this amid the brain [mL], as in ventricles full of it, the networks alarm
along its walls. Heads: 0 to 1.6; air under the skull, as after an injury, is not amid the brain."""

MOST_PROPORTION: Final = 0.97
"""Where the hemispheres show no skull is more than so many times as high as it is wide, the root of
its area. Heads: 0.46 to 0.81, of any age; with pixels of half the size 0.98 and more. Less tells
nothing: a part of a head is flat."""

MOST_LIKENESS: Final = 0.999
"""Slices 12 mm apart, and one between, never correlate so. Heads: 0.9954 at most; one slice four
times with other noise: 0.9992 and more."""

MOST_ALTERNATE_SHARE: Final = 0.25
"""Nor do so many slices resemble the next but one more than the next. Heads: 0 to 0.04; with every
other slice from another head: 0.41 and more."""

MOST_MIRRORED_FIT: Final = 0.04
"""Nor does one correlate so much more with the next when it is mirrored. Heads: 0.023 at most; with
a third of the slices upside down: more, but for one in 131; right side left: more in 111 of 131,
the others are as good as symmetric."""

CLOSED_SHARE: Final = 0.15
OPEN_SHARE: Final = 0.2
"""A stack that ends below with less tissue than the first share of its largest slice, and above
with more than the second, stands on its head: its sides are the wrong way round. Real heads end in
a neck, with 0.24 and more."""

MOST_CALCIUM_ML: Final = 4.0
"""More than this above 100 HU within the brain is no calcification but contrast agent in vessels
[mL]. Plain heads: 0 to 1.9."""


def faults_of(facts: HeadFacts) -> tuple[Reason, ...]:
    """Say all that keeps a stack from being a head CT in HU; empty if nothing does."""
    faults = [fault for fault in (_air_fault(facts), _brain_fault(facts)) if fault]
    if facts.n_repeated:
        faults.append(Reason("slices_repeated", n_slices=facts.n_repeated))
    elif not faults and (stack_fault := _stack_fault(facts)):
        faults.append(stack_fault)
    return tuple(faults)


def _air_fault(facts: HeadFacts) -> Reason | None:
    if facts.dark_share < LEAST_DARK_SHARE:
        return Reason("no_air")
    if facts.air_share < LEAST_AIR_SHARE:
        return Reason("air_off", air_hu=facts.air_hu)
    return None


def _brain_fault(facts: HeadFacts) -> Reason | None:
    """Say what keeps what lies within bone from being a brain; the first that does tells enough."""
    over_fat_hu = facts.brain_over_fat_hu
    least_hu, most_hu = BRAIN_OVER_FAT_HU
    told = (
        (facts.largest_mm2 < LEAST_CAVITY_MM2, Reason("no_skull")),
        (
            facts.largest_mm2 > MOST_CAVITY_MM2,
            Reason("skull_too_large", area_cm2=facts.largest_mm2 / 100),
        ),
        (facts.second_mm2 >= LEAST_SECOND_MM2, Reason("two_heads")),
        (_is_upside_down(facts), Reason("upside_down")),
        (
            facts.brain_share < LEAST_BRAIN_SHARE,
            Reason("not_brain", percent=100 * facts.brain_share),
        ),
        (
            facts.spread_hu < LEAST_SPREAD_HU,
            Reason("uniform", spread_hu=facts.spread_hu),
        ),
        (
            over_fat_hu is not None and not least_hu <= over_fat_hu <= most_hu,
            Reason("scale_off", apart_hu=over_fat_hu or 0.0),
        ),
        (
            facts.least_denser < LEAST_DENSER or facts.above_cut > MOST_ABOVE_CUT,
            Reason("scales_differ"),
        ),
        (_is_stretched(facts), Reason("pixels_stretched", percent=100 * facts.breadth)),
        (facts.air_ml > MOST_AIR_ML, Reason("air_in_brain", air_ml=facts.air_ml)),
    )
    return next((reason for is_so, reason in told if is_so), None)


def _stack_fault(facts: HeadFacts) -> Reason | None:
    """Say what keeps slices of a brain from being one scan of one head, each as it lay."""
    wide_mm = float(np.sqrt(facts.largest_mm2))
    told = (
        (facts.likeness > MOST_LIKENESS, Reason("slices_alike")),
        (facts.alternate_share > MOST_ALTERNATE_SHARE, Reason("slices_of_two_heads")),
        (facts.mirrored_fit > MOST_MIRRORED_FIT, Reason("slices_mirrored")),
        (
            facts.large_mm > MOST_PROPORTION * wide_mm,
            Reason("out_of_proportion", high_mm=facts.large_mm, wide_mm=wide_mm),
        ),
    )
    return next((reason for is_so, reason in told if is_so), None)


def _is_stretched(facts: HeadFacts) -> bool:
    """Say whether pixels are longer, or wider, than they can be."""
    (least, most), (least_square, most_square) = BREADTH, BREADTH_SQUARE
    if not least <= facts.breadth <= most:
        return True
    is_square = 1 / SQUARE <= facts.breadth / facts.breadth_square <= SQUARE
    return not is_square and least_square <= facts.breadth_square <= most_square


def _is_upside_down(facts: HeadFacts) -> bool:
    shares = facts.tissue_mm2 / max(float(facts.tissue_mm2.max(initial=0.0)), 1.0)
    return bool(shares[0] < CLOSED_SHARE and shares[-1] > OPEN_SHARE)
