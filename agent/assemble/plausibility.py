"""Are these HU, and is this a head with a brain in it? Pure.

The thresholds lie between 102 real heads (41 of CT-ICH, 60 of PHE-SICH-CT-IDS, one whole export)
with 24 generated ones, and what no head is: heads whose values were shifted, scaled, inverted, cut
to fewer bits or swapped, and water baths, phantoms and other parts of the body. The numbers beside
each threshold are those heads' own.
"""

from __future__ import annotations

from typing import Final

from agent.assemble.head_facts import HeadFacts
from agent.reasons import Reason

LEAST_DARK_SHARE: Final = 0.05
"""Share of the stack that is darker than soft tissue: air round the head. Heads: 0.58 to 0.85; a
head that fills a small field still leaves some 0.2."""

WARMEST_AIR_HU: Final = -850.0
"""Air is darker than this [HU]. Heads: -1024 to -988; scalp and foam come into no median."""

LEAST_CAVITY_MM2: Final = 3000.0
"""A skull encloses more than this [mm²]. Heads: 7400 and up, a newborn's some 6000."""

LEAST_BRAIN_SHARE: Final = 0.5
"""Share of what the skull encloses that is as dense as brain. Heads: 0.65 with the largest bleed,
0.83 and up without it; values 24 HU off: 0.33 to 0.39; a pelvis: 0.3."""

LEAST_SPREAD_HU: Final = 7.0
"""Ventricles, grey and white matter differ by more than this [HU]. Heads: 10.3 to 44; noise about
one value: 4."""

MOST_CALCIUM_ML: Final = 4.0
"""More than this above 100 HU within the brain is no calcification but contrast agent in vessels
[mL]. Plain heads: 0 to 1.9."""


def faults_of(facts: HeadFacts) -> tuple[Reason, ...]:
    """Say all that keeps a stack from being a head CT in HU; empty if nothing does."""
    faults = []
    if facts.dark_share < LEAST_DARK_SHARE:
        faults.append(Reason("no_air"))
    elif facts.air_hu is not None and facts.air_hu > WARMEST_AIR_HU:
        faults.append(Reason("air_off", air_hu=facts.air_hu))
    if facts.largest_mm2 < LEAST_CAVITY_MM2:
        faults.append(Reason("no_skull"))
    elif facts.brain_share < LEAST_BRAIN_SHARE:
        faults.append(Reason("not_brain", percent=100 * facts.brain_share))
    elif facts.spread_hu < LEAST_SPREAD_HU:
        faults.append(Reason("uniform", spread_hu=facts.spread_hu))
    if facts.n_repeated:
        faults.append(Reason("slices_repeated", n_slices=facts.n_repeated))
    return tuple(faults)
