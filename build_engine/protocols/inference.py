"""What the head series of a sample export tell of their scanner and protocol."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import Any, Final

from agent.assemble.completeness import PAUSES
from agent.assemble.protocol import ProfileFile
from agent.errors import NotEligible
from agent.preprocess import slab_number
from agent.records import Identity, SliceHeader
from build_engine.protocols.drafts import Draft, Inferred, Value, toml_value
from build_engine.protocols.header_text import names_patient, pattern_for, printable
from build_engine.protocols.rhythm import Rhythm, rhythm_of
from build_engine.protocols.sample import SampleSeries

MARGIN: Final = 0.1
"""Thickness and voltage are taken to vary by this share. Ours: what scanners write is rounded."""

LEAST_QUIET_S: Final = 2.0
"""However quick an export, silence this long may be a busy network's [s]. Ours."""

RUNS_A_HEAD: Final = 4
"""A head's slabs fill a plan so often: all but the last run while slices still come. Ours."""

MOST_SLABS: Final = 16
"""A plan takes at most so many slabs at once, to keep the last run short. Ours."""

LISTED: Final = 6
"""Of more values than these, only the first and the last are named."""

DEMANDS: Final[dict[str, Callable[[SliceHeader], str]]] = {
    "manufacturer": lambda header: header.manufacturer,
    "model": lambda header: header.model,
    "description": lambda header: header.description,
    "kernels": lambda header: header.kernel,
}
"""By what a profile asks for its scanner and its series."""


@dataclass(frozen=True, slots=True)
class Known:
    """What was known before: by the profile for this scanner, and by the draft's base."""

    expert: ProfileFile
    base: ProfileFile

    def carried(self, found: Sequence[Inferred]) -> Iterator[Inferred]:
        """Take from the expert what it has otherwise than the base, where nothing was found."""
        learned = {one.key for one in found if one.value is not None} | {"name", *DEMANDS}
        why = f"As {self.expert.values['name']} has it, which knew most about this scanner."
        for key, value in self.expert.values.items():
            if key not in learned and value != self.base.values.get(key):
                yield Inferred(key, value, why)


def draft_profile(series: Sequence[SampleSeries], known: Known, slab_mm: float, name: str) -> Draft:
    """Draft the profile of the scanner and protocol that these series come from.

    ``slab_mm`` is the thickness of the slabs that the networks see. Nothing that holds a word of a
    patient's name or number is written.

    Raises
    ------
    NotEligible
        They come from several scanners, or say nothing by which to tell theirs from others.
    """
    headers = [header for one in series for header in one.slices]
    _check_one_scanner(headers)
    inferred = [*_demands(headers), *_ranges(headers), *_counts(series, known, slab_mm)]
    if not any(one.value for one in inferred if one.key in DEMANDS):
        raise NotEligible("nothing_to_tell_by", profile=str(known.base.values["name"]))
    base = known.base.values
    lines = [one for one in inferred if one.value not in (None, base.get(one.key))]
    lines += known.carried(inferred)
    set_here = {one.key for one in lines}
    left = [_as_it_is(one) for one in inferred if one.key not in set_here]
    source = f"{len(series)} series of {len(headers)} slices"
    return Draft(name, base["name"], source, tuple(lines), tuple(left))


def _as_it_is(one: Inferred) -> Inferred:
    """Add that the base's value is the one that was found, if one was."""
    if one.value is None:
        return one
    return replace(one, why=f"{one.why} {toml_value(one.value)} is right as it is.")


def name_for(headers: Sequence[SliceHeader], taken: Collection[str]) -> str:
    """Name a profile for its scanner, unlike those that are ``taken``."""
    demanded = {one.key: DEMANDS[one.key](headers[0]) for one in _demands(headers) if one.value}
    maker = re.split(r"[^a-z0-9]+", demanded.get("manufacturer", "").lower())[0]
    model = re.sub(r"[^a-z0-9]+", "-", demanded.get("model", "").lower()).strip("-")
    name = "-".join(part for part in (maker, model[:40].strip("-"), "head") if part)
    name = name if name != "head" else "learned-head"
    n = 1
    while (numbered := name if n == 1 else f"{name}-{n}") in taken:
        n += 1
    return numbered


def _check_one_scanner(headers: Sequence[SliceHeader]) -> None:
    scanners = {(h.manufacturer.casefold(), h.model.casefold()) for h in headers}
    if len(scanners) > 1:
        named = sorted({printable(f"{h.manufacturer} {h.model}") for h in headers})
        raise NotEligible("several_scanners", n_scanners=len(scanners), scanners=", ".join(named))


def _demands(headers: Sequence[SliceHeader]) -> Iterator[Inferred]:
    identities = {header.identity for header in headers}
    for key, text_of in DEMANDS.items():
        yield _demand(key, Counter(map(text_of, headers)), identities)


def _demand(key: str, texts: Counter[str], identities: Collection[Identity]) -> Inferred:
    if "" in texts:
        return Inferred(key, None, f"{texts['']} of {texts.total()} slices do not give it")
    if any(names_patient(text, identities) for text in texts):
        return Inferred(key, None, "holds a word of the patient's name or number: not written here")
    if key == "description" and len(texts) > 1:
        return Inferred(
            key, None, f"{len(texts)} different ones: a person's words, not a protocol's"
        )
    why = f"{_counted(texts)}; no other is taken."
    if key == "description":
        why += " Remove this line if the name changes from one examination to the next."
    return Inferred(key, pattern_for(texts), why)


def _counted(texts: Counter[str]) -> str:
    listed = [f"{printable(text)} in {n} slices" for text, n in texts.most_common(LISTED)]
    more = len(texts) - len(listed)
    return ", ".join(listed) + (f" and {more} more" if more else "")


def _ranges(headers: Sequence[SliceHeader]) -> Iterator[Inferred]:
    yield _range("thickness_mm", "mm", [h.thickness_mm for h in headers], MARGIN)
    yield _range("kvp", "kV", [h.kvp for h in headers], MARGIN)
    yield _range("matrix_px", "pixels", [float(min(h.rows, h.columns)) for h in headers], 0.0)


def _range(key: str, unit: str, seen: Sequence[float | None], margin: float) -> Inferred:
    values = Counter(value for value in seen if value is not None)
    if not values:
        return Inferred(key, None, "no slice gives it")
    low, high = min(values), max(values)
    if len(values) <= LISTED:
        seen_values = ", ".join(f"{v:g} {unit} in {n} slices" for v, n in sorted(values.items()))
    else:
        seen_values = f"{len(values)} values from {low:g} to {high:g} {unit}"
    widened = [float(f"{low - margin * abs(low):.4g}"), float(f"{high + margin * abs(high):.4g}")]
    ends = widened if margin else [low, high]
    more = f", and {margin:.0%} to either side" if margin else ""
    return Inferred(key, ends, f"{seen_values}{more}.")


def _counts(series: Sequence[SampleSeries], known: Known, slab_mm: float) -> Iterator[Inferred]:
    """Infer from how many slices there are, how far they reach and how they came."""
    before = known.base.values
    grids = [one.stack.layout().grid for one in series]
    counts = [len(grid.origins_lps_mm) for grid in grids]
    seen = f"{_span(counts)} slices in a series"
    fewest = max(before["min_slices"], min(counts) // 2)
    yield Inferred("min_slices", fewest, f"{seen}: half as many may still be a small head.")
    yield Inferred("max_slices", _most(max(counts), before), f"{seen}: room for twice as many.")
    covered = _span([round(float(grid.shares_mm.sum())) for grid in grids])
    enough_mm = before["min_coverage_mm"]
    why = f"{covered} mm seen; small heads are shorter, so {enough_mm:g} mm stay enough"
    yield Inferred("min_coverage_mm", None, why)
    yield from _pace([rhythm_of(one.written_at_s, one.made_on) for one in series], before)
    slabs = [len({slab_number(mm, slab_mm) for mm in grid.heights_mm}) for grid in grids]
    at_once = min(MOST_SLABS, ceil(max(slabs) / RUNS_A_HEAD))
    why = f"{_span(slabs)} slabs of {slab_mm:g} mm in a series: most run while slices still come."
    yield Inferred("slabs_per_run", at_once, why)


def _span(values: Sequence[int]) -> str:
    low, high = min(values), max(values)
    return str(low) if low == high else f"{low} to {high}"


def _most(count: int, before: dict[str, Any]) -> int:
    """Leave room for heads of twice as many slices, up to the most that the base analyses."""
    limit = int(before["max_slices"])
    return 2 * count if count > limit else min(2 * count, limit)


def _pace(rhythms: Sequence[Rhythm | str], before: dict[str, Any]) -> Iterator[Inferred]:
    known = [rhythm for rhythm in rhythms if isinstance(rhythm, Rhythm)]
    if not known:
        yield Inferred("quiet_s", None, f"{rhythms[0]}")
        yield Inferred("deadline_s", None, "as quiet_s")
        return
    slowest = max(known, key=lambda rhythm: rhythm.longest_pause_s)
    quiet_s = max(LEAST_QUIET_S, ceil(PAUSES * slowest.longest_pause_s * 10) / 10)
    why = f"{slowest}: {PAUSES:g} times that pause, and {LEAST_QUIET_S:g} s at least."
    yield Inferred("quiet_s", quiet_s, why)
    span_s = max(rhythm.span_s for rhythm in known)
    deadline_s: Value = max(float(before["deadline_s"]), float(ceil(2 * span_s)), 2 * quiet_s)
    yield Inferred("deadline_s", deadline_s, f"The longest export took {span_s:.1f} s.")
