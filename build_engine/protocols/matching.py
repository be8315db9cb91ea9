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
    said_of,
)
from agent.errors import InputError
from agent.reasons import Reason
from build_engine.protocols.sample import SampleSeries


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the agent makes of a series.

    ``profile`` is the one that matches, None if none does. ``refusal`` is why it is not analysed
    all the same, or at all. ``others`` holds, by name, what every other profile has against it.
    ``missing`` says what shows that slices have not come, ``evidence`` by which attributes it is
    known what the series is.
    """

    profile: str | None
    refusal: Reason | None
    missing: tuple[Reason, ...]
    others: dict[str, tuple[Reason, ...]]
    evidence: tuple[str, ...]


def verdict_on(series: SampleSeries, profiles: Sequence[ProtocolProfile]) -> Verdict:
    """Judge a series as the agent would, whose profiles these are, once all of it has come."""
    mixed = series.stack.disagreement
    if refusal := series.refusal or (mixed.reason if mixed else series.stack.obstacle):
        return Verdict(None, refusal, (), {}, ())
    evidence = evidence_in(series, profiles)
    try:
        chosen = choose(series.stack.headers, profiles)
    except InputError as error:
        others = _why_not(series, profiles, None)
        return Verdict(None, error.reason, (), others, evidence)
    others = _why_not(series, profiles, chosen)
    try:
        refusals = _of_extent(series, chosen)
    except InputError as error:
        return Verdict(chosen.name, error.reason, (), others, evidence)
    refusal = refusals[0] if refusals else None
    return Verdict(chosen.name, refusal, missing_from(series), others, evidence)


def evidence_in(series: SampleSeries, profiles: Sequence[ProtocolProfile]) -> tuple[str, ...]:
    """Say which attributes show what was scanned, how it was reconstructed, with what agent."""
    if not series.slices:
        return ()
    expert = expert_on(series.slices, profiles)
    said = (str(one) for header in series.slices for one in said_of(header, expert).evidence)
    return tuple(dict.fromkeys(said))


def missing_from(series: SampleSeries) -> tuple[Reason, ...]:
    """Say what shows that slices have not come; raises InputError where they do not stack."""
    missing = [gap.reason for gap in series.stack.layout().gaps]
    shortfall = series.stack.facts().shortfall
    return (*missing, *([shortfall] if shortfall else []), *series.stack.unread())


def _of_extent(series: SampleSeries, profile: ProtocolProfile) -> list[Reason]:
    return extent_objections(len(series.stack.layout().grid.origins_lps_mm), profile)


def _why_not(
    series: SampleSeries, profiles: Sequence[ProtocolProfile], chosen: ProtocolProfile | None
) -> dict[str, tuple[Reason, ...]]:
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
) -> Reason:
    """Say why a profile that has nothing against a series is not the one chosen."""
    if chosen is None:
        return Reason("profile_overruled", profile=last_word.name)
    if profile.n_demands == chosen.n_demands:
        return Reason("profile_comes_later", profile=chosen.name)
    return Reason("profile_knows_less", profile=chosen.name)
