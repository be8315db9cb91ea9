"""Which profile a series of a sample matches, and what each other profile has against it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agent.assemble.protocol import (
    ProtocolProfile,
    choose,
    expert_on,
    extent_objections,
    objections,
)
from agent.errors import InputError
from build_engine.protocols.sample import SampleSeries


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the agent makes of a series.

    ``profile`` is the one that matches, None if none does. ``refusal`` is why it is not analysed
    all the same, or at all. ``others`` holds, by name, what every other profile has against it.
    ``missing`` says what shows that slices have not come.
    """

    profile: str | None
    refusal: str | None
    what_to_do: str
    missing: tuple[str, ...]
    others: dict[str, tuple[str, ...]]


def verdict_on(series: SampleSeries, profiles: Sequence[ProtocolProfile]) -> Verdict:
    """Judge a series as the agent would, whose profiles these are, once all of it has come."""
    if series.refusal:
        hint = "export the series again; see which of its images is wrong"
        return Verdict(None, series.refusal, hint, (), {})
    try:
        chosen = choose(series.headers, profiles)
    except InputError as error:
        others = _why_not(series, profiles, None)
        return Verdict(None, str(error), error.hint, (), others)
    others = _why_not(series, profiles, chosen)
    try:
        refusals = _of_extent(series, chosen)
    except InputError as error:
        return Verdict(chosen.name, str(error), error.hint, (), others)
    hint = "check that the whole head was exported, as one series" if refusals else ""
    refusal = refusals[0] if refusals else None
    return Verdict(chosen.name, refusal, hint, missing_from(series), others)


def missing_from(series: SampleSeries) -> tuple[str, ...]:
    """Say what shows that slices have not come; raises InputError where they do not stack."""
    gaps, facts = series.stack.layout().gaps, series.stack.facts()
    short = f"only {facts.n_images} of {facts.expected_images} images came"
    return (*map(str, gaps), *((short,) if facts.n_images < facts.expected_images else ()))


def _of_extent(series: SampleSeries, profile: ProtocolProfile) -> list[str]:
    grid = series.stack.layout().grid
    return extent_objections(len(grid.origins_lps_mm), float(grid.shares_mm.sum()), profile)


def _why_not(
    series: SampleSeries, profiles: Sequence[ProtocolProfile], chosen: ProtocolProfile | None
) -> dict[str, tuple[str, ...]]:
    slices = series.slices
    if not slices:
        return {}
    last_word = chosen or expert_on(slices, profiles)
    return {
        profile.name: tuple(objections(slices, profile)) or (_outdone(profile, last_word, chosen),)
        for profile in profiles
        if profile is not chosen
    }


def _outdone(
    profile: ProtocolProfile, last_word: ProtocolProfile, chosen: ProtocolProfile | None
) -> str:
    """Say why a profile that has nothing against a series is not the one chosen."""
    if chosen is None:
        return f"would fit, but {last_word.name} is for this scanner and has the last word"
    if profile.n_demands == chosen.n_demands:
        return f"fits too; {chosen.name} asks as much and comes before it by name"
    return f"fits too; {chosen.name} asks for more and so knows better"
