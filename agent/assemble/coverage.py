"""How much of a head is in a stack: its vertex, its base, and every level between. Pure.

Judged by how much tissue the skull encloses at each level, not by the stack's height in
millimetres: children's heads are small, and a tall stack may be mostly neck.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from agent.assemble.head_facts import N_LARGEST, HeadFacts
from agent.reasons import Reason

END_SHARE: Final = 0.32
"""A stack that ends with a section larger than this share of its largest ends within the brain.
Ends of 101 real heads: 0 to 0.23 at the vertex, and one of 0.34 that does end 2 cm below it; 0 to
0.29 at the base, where the posterior fossa alone is a quarter. One slice of 5 mm further in, the
vertex has 0.12 more and the base 0.06."""

GOES_ON_SHARE: Final = 0.12
"""Beyond an end with a larger section than this, one more slice of 5 mm would still show brain: so
much less of it is in the next one at the vertex. Half of the real heads that are whole end so."""

ABRUPT_BELOW: Final = 0.1
ABRUPT_AT_VERTEX: Final = 0.6
ABRUPT_AT_BASE: Final = 0.85
"""Nor does a head end from a level above these shares to one below the first: slices are damaged
there. Real heads pass from 0.32 or less to 0.48 at most at the vertex, and to 0.74 at the base;
generated ones of 10 mm from 0.22 and more to 0.96."""

EMPTY_BELOW: Final = 0.07
CLOSED_SHARE: Final = 0.25
"""A head closes before images of air: what shows less tissue than the first share of the largest
slice follows one that shows no more than the second. Real heads of 5 mm: 0.05 and less, of a head
rest, after 0.04 to 0.11; a slice of 10 mm reaches twice as far down. No body ends below a neck."""

HOLLOW_SHARE: Final = 0.25
"""A level that shows less than this share of what levels on both sides reach shows no brain.
Undamaged levels of real heads: 0.49 and up; slices that were blanked: 0."""

HOLLOW_FROM: Final = 0.3
"""Asked only between levels of this share of the largest one: at the base, sections are uneven."""


LEAST_PROPORTION: Final = 0.43
"""Where the hemispheres show, a head that is seen whole is no less high than this share of its
width, the root of its area. Real heads: 0.46 to 0.81, with nominal pixels; where slices lie half
as far apart as they did: 0.41 at most."""


def unseen_of(facts: HeadFacts) -> tuple[Reason, ...]:
    """Name what of a head a stack does not show; empty if it shows all of it."""
    shares = _shares(facts)
    tissue = facts.tissue_mm2 / max(float(np.sort(facts.tissue_mm2)[-N_LARGEST:][0]), 1.0)
    unseen = []
    if (top_share := _end_share(shares[::-1], ABRUPT_AT_VERTEX)) > END_SHARE:
        unseen.append(Reason("vertex_not_seen", percent=100 * top_share))
    elif (top_share := _share_at_air(tissue[::-1])) > CLOSED_SHARE:
        unseen.append(Reason("head_ends_in_air", percent=100 * top_share))
    if (base_share := _end_share(shares, ABRUPT_AT_BASE)) > END_SHARE:
        unseen.append(Reason("base_not_seen", percent=100 * base_share))
    elif (base_share := _share_at_air(tissue)) > CLOSED_SHARE:
        unseen.append(Reason("head_ends_in_air", percent=100 * base_share))
    if n_hollow := _n_hollow(shares) or _n_hollow(tissue):
        unseen.append(Reason("levels_without_brain", n_levels=n_hollow))
    if facts.at_edge:
        unseen.append(Reason("brain_cut_off"))
    wide_mm = float(np.sqrt(facts.largest_mm2))
    if not unseen and facts.large_mm < LEAST_PROPORTION * wide_mm:
        unseen.append(Reason("too_flat", high_mm=facts.large_mm, wide_mm=wide_mm))
    return tuple(unseen)


def unsure_of(facts: HeadFacts) -> tuple[Reason, ...]:
    """Name the ends at which a head that counts as whole may go on by a slice or two.

    What these show may decide an answer whose score is close to the threshold.
    """
    shares = _shares(facts)
    above, below = _end_share(shares[::-1], ABRUPT_AT_VERTEX), _end_share(shares, ABRUPT_AT_BASE)
    told = (
        (above, Reason("goes_on_above", percent=100 * above)),
        (below, Reason("goes_on_below", percent=100 * below)),
    )
    return tuple(reason for share, reason in told if share > GOES_ON_SHARE)


def _shares(facts: HeadFacts) -> NDArray[np.float64]:
    """How large each section is, as a share of the largest one."""
    return facts.areas_mm2 / facts.largest_mm2 if facts.largest_mm2 else np.ones(1)


def _end_share(shares: NDArray[np.float64], abrupt: float) -> float:
    """Find how large the outermost section is, as a share of the largest; the end comes first."""
    first = int(np.argmax(shares > END_SHARE))
    outside, inside = shares[max(first - 1, 0)], shares[first]
    return float(inside if outside < ABRUPT_BELOW and inside > abrupt else shares[0])


def _share_at_air(tissue: NDArray[np.float64]) -> float:
    """Say how much tissue the last slice before air shows, 0 where the stack does not reach air."""
    outermost = int(np.argmax(tissue >= EMPTY_BELOW))
    return float(tissue[outermost]) if outermost else 0.0


def _n_hollow(shares: NDArray[np.float64]) -> int:
    """Count the levels that show next to nothing between others that show brain, or tissue."""
    below, above = np.maximum.accumulate(shares), np.maximum.accumulate(shares[::-1])[::-1]
    reached = np.minimum(below, above)
    return int(np.count_nonzero((shares < HOLLOW_SHARE * reached) & (reached >= HOLLOW_FROM)))
