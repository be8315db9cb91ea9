"""Which of a series' parallel images make up one scan of the head, where some lie twice. Pure.

Slices from two rotations meet at a seam; an upper half is scanned again because the patient moved;
two reconstructions are sent as one series. None of these is a reason to refuse a head.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agent.errors import GeometryError
from agent.records import SliceHeader

SAME_POSITION_MM: Final = 0.05
"""Two images closer than this along the normal are at one position [mm]. Ours: half the smallest
reconstruction increment."""

CLOSE_SHARE: Final = 0.55
"""Two images closer than this share of the spacing beside them show the same slice. Ours: pairs of
slices from one rotation lie 0.6 of the next spacing apart."""

SEAM: Final = 2
SEAM_SHARE: Final = 0.05
"""So many slices, or this share of them, may be there twice where two scans of one head meet. Ours:
more is a part that was scanned again."""

FEW: Final = 2
FEW_SHARE: Final = 0.1
"""So many images, or this share of a series, are strays among the others. Ours."""

WHOLE_SHARE: Final = 0.85
"""A stack that spans this share of all that was scanned is a whole scan. Ours: it leaves out a
slice or two at either end."""


MOST_STACKS: Final = 3
"""More scans of one head are no repetition but a perfusion, or in no order at all. Ours."""


@dataclass(frozen=True, slots=True)
class Stack:
    """One scan of the head: ``order`` holds indices, lowest slice first.

    ``strays`` are derived images among original ones; ``again`` are those of other scans of what
    the stack shows. Images that are in none of these are copies.
    """

    order: tuple[int, ...]
    strays: tuple[int, ...] = ()
    again: tuple[int, ...] = ()


def stack_of(headers: Sequence[SliceHeader], heights_mm: NDArray[np.float64]) -> Stack:
    """Choose the stack of parallel images to analyse.

    Of several whole scans it is the latest: who is scanned again had a scan that failed.

    Raises
    ------
    GeometryError
        Different images lie at one position, and nothing tells which belong together.
    """
    strays = _strays(headers)
    by_height = [k for k in np.argsort(heights_mm, kind="stable").tolist() if k not in strays]
    kept = _without_copies(by_height, headers, heights_mm)
    if _n_close(heights_mm[kept]) <= _seam(len(kept)):
        return Stack(_one_at_each_position(kept, headers, heights_mm), tuple(sorted(strays)))
    stacks = _stacks(kept, headers, heights_mm)
    if len(stacks) > MOST_STACKS:
        raise _used_twice(heights_mm[kept])
    order = _latest_whole(stacks, headers, heights_mm)
    again = tuple(sorted(set(kept) - set(order)))
    return Stack(_one_at_each_position(order, headers, heights_mm), tuple(sorted(strays)), again)


def _used_twice(heights_mm: NDArray[np.float64]) -> GeometryError:
    closest = int(np.argmin(np.diff(heights_mm)))
    return GeometryError("position_used_twice", height_mm=float(heights_mm[closest]))


def are_few(n: int, n_all: int) -> bool:
    """Say whether so many images of a series may be strays among the others."""
    return n <= max(FEW, FEW_SHARE * n_all)


def _strays(headers: Sequence[SliceHeader]) -> frozenset[int]:
    """Find the few derived images among original ones: pictures of the planning, projections."""
    derived = frozenset(k for k, header in enumerate(headers) if _is_derived(header))
    n_original = len(headers) - len(derived)
    return (
        derived
        if len(derived) < n_original and are_few(len(derived), len(headers))
        else frozenset()
    )


def _is_derived(header: SliceHeader) -> bool:
    return any(value.upper() in ("DERIVED", "SECONDARY") for value in header.image_type[:2])


def _without_copies(
    by_height: list[int], headers: Sequence[SliceHeader], heights_mm: NDArray[np.float64]
) -> list[int]:
    """Keep one of each set that are one and the same image at one position."""
    kept: list[int] = []
    for k in by_height:
        here = [q for q in kept[-4:] if heights_mm[k] - heights_mm[q] < SAME_POSITION_MM]
        if all(headers[k].digest != headers[q].digest for q in here):
            kept.append(k)
    return kept


def _n_close(heights_mm: NDArray[np.float64]) -> int:
    """Count neighbours much closer than the next ones are, given heights in ascending order."""
    spacings = np.diff(heights_mm)
    beside = np.maximum(np.r_[0.0, spacings[:-1]], np.r_[spacings[1:], 0.0])
    return int(np.count_nonzero(spacings < np.maximum(CLOSE_SHARE * beside, SAME_POSITION_MM)))


def _seam(n: int) -> float:
    return max(SEAM, SEAM_SHARE * n)


def _age(header: SliceHeader) -> tuple[int, int]:
    """Order in which images were taken, as far as they tell."""
    return header.acquisition_number or 0, header.instance_number or 0


def _runs(
    kept: list[int], headers: Sequence[SliceHeader], heights_mm: NDArray[np.float64]
) -> list[list[int]]:
    """Cut a series into runs of one kernel and acquisition that go one way along the head."""
    taken = sorted(kept, key=lambda k: (headers[k].kernel, *_age(headers[k]), k))
    runs: list[list[int]] = []
    for k in taken:
        run = runs[-1] if runs else []
        if not run or not _goes_on(run, k, headers, heights_mm):
            runs.append([k])
        else:
            run.append(k)
    return sorted(runs, key=lambda run: _age(headers[run[0]]))


def _goes_on(
    run: list[int], k: int, headers: Sequence[SliceHeader], heights_mm: NDArray[np.float64]
) -> bool:
    last = headers[run[-1]]
    alike = (last.kernel, last.acquisition_number) == (
        headers[k].kernel,
        headers[k].acquisition_number,
    )
    step_mm = heights_mm[k] - heights_mm[run[-1]]
    way_mm = heights_mm[run[-1]] - heights_mm[run[-2]] if len(run) > 1 else step_mm
    return bool(alike and abs(step_mm) >= SAME_POSITION_MM and step_mm * way_mm > 0)


def _stacks(
    kept: list[int], headers: Sequence[SliceHeader], heights_mm: NDArray[np.float64]
) -> list[list[int]]:
    """Join runs into stacks, each to the first in which it shows nothing that is there already."""
    stacks: list[list[int]] = []
    for run in _runs(kept, headers, heights_mm):
        for n, stack in enumerate(stacks):
            joined = sorted((*stack, *run), key=lambda k: float(heights_mm[k]))
            n_close = _n_close(heights_mm[joined]) - _n_close(heights_mm[stack])
            if n_close <= SEAM:
                stacks[n] = joined
                break
        else:
            stacks.append(sorted(run, key=lambda k: float(heights_mm[k])))
        if len(stacks) > MOST_STACKS:
            break  # the caller finds that positions are used twice
    return stacks


def _latest_whole(
    stacks: list[list[int]], headers: Sequence[SliceHeader], heights_mm: NDArray[np.float64]
) -> list[int]:
    spans_mm = [float(np.ptp(heights_mm[stack])) for stack in stacks]
    needed_mm = WHOLE_SHARE * float(np.ptp(heights_mm[[k for stack in stacks for k in stack]]))
    whole = [stack for stack, span_mm in zip(stacks, spans_mm, strict=True) if span_mm >= needed_mm]
    if not whole:
        return stacks[spans_mm.index(max(spans_mm))]
    return max(whole, key=lambda stack: max((*_age(headers[k]), k) for k in stack))


def _one_at_each_position(
    order: list[int], headers: Sequence[SliceHeader], heights_mm: NDArray[np.float64]
) -> tuple[int, ...]:
    """Keep the latest image where two lie at one position."""
    kept: list[int] = []
    for k in order:
        if not kept or heights_mm[k] - heights_mm[kept[-1]] >= SAME_POSITION_MM:
            kept.append(k)
        elif (*_age(headers[k]), k) > (*_age(headers[kept[-1]]), kept[-1]):
            kept[-1] = k
    return tuple(kept)
