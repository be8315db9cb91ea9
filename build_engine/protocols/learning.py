"""From a sample export to a drafted profile: which series it is learned from, and what fits it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from agent.assemble.protocol import (
    ProfileFile,
    ProtocolProfile,
    content_objections,
    expert_on,
    extent_objections,
    ranked,
)
from agent.errors import ConfigError, InputError, NotEligible
from agent.reasons import Reason
from agent.records import SliceHeader
from build_engine.protocols.drafts import Draft
from build_engine.protocols.inference import Known, draft_profile, name_for
from build_engine.protocols.matching import missing_from, verdict_on
from build_engine.protocols.sample import SampleSeries

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

BASE: Final = "generic-head"
"""The profile that drafts are based on."""


@dataclass(frozen=True, slots=True)
class Learned:
    """A draft, the series that it was ``used`` for, and by UID why the others were ``left_out``.

    ``matched`` holds, by UID, the profile that each used series has once the draft is installed.
    """

    draft: Draft
    used: tuple[SampleSeries, ...]
    left_out: dict[str, Reason]
    matched: dict[str, str | None]


def learn_from(
    sample: Sequence[SampleSeries],
    files: Sequence[ProfileFile],
    slab_mm: float,
    name: str | None,
) -> Learned:
    """Draft a profile from a sample's series, with what the profiles in ``files`` know.

    Raises
    ------
    NotEligible
        No series is a whole plain head, or the heads are several scanners'.
    ConfigError
        There is no profile to base the draft on, or another has the name already.
    """
    profiles = ranked(file.profile() for file in files)
    base = _of_name(BASE, files)
    judged = {series.uid: why_left_out(series, profiles, base.profile()) for series in sample}
    left_out = {uid: why for uid, why in judged.items() if why is not None}
    used = tuple(series for series in sample if series.uid not in left_out)
    if not used:
        reasons = tuple(dict.fromkeys(left_out.values())) or (Reason("no_ct_series"),)
        raise NotEligible("no_head_to_learn_from", why=reasons)
    headers = [header for series in used for header in series.slices]
    known = Known(_of_name(expert_on(headers, profiles).name, files), base)
    draft = draft_profile(used, known, slab_mm, _name(name, headers, profiles))
    return Learned(draft, used, left_out, _matched(used, draft, base, profiles))


def _name(
    name: str | None, headers: Sequence[SliceHeader], profiles: Sequence[ProtocolProfile]
) -> str:
    taken = {profile.name for profile in profiles}
    if name in taken:
        raise ConfigError("profile_name_taken", name=name)
    return name or name_for(headers, taken)


def _matched(
    used: Sequence[SampleSeries],
    draft: Draft,
    base: ProfileFile,
    profiles: Sequence[ProtocolProfile],
) -> dict[str, str | None]:
    own = ProfileFile(Path(draft.name), tomllib.loads(draft.text), base).profile()
    then = ranked((*profiles, own))
    return {series.uid: verdict_on(series, then).profile for series in used}


def why_left_out(
    series: SampleSeries, profiles: Sequence[ProtocolProfile], base: ProtocolProfile
) -> Reason | None:
    """Say why a series tells nothing of a scanner's plain heads; None if it does.

    What is plain is the profile's to say that knows the scanner best, what is a whole head
    ``base``'s. What lies outside ranges may be just what is new about a scanner, and is learned.
    """
    if refusal := series.refusal or series.stack.obstacle:
        return refusal
    if not series.slices:
        return Reason("localizers_only")
    expert = expert_on(series.slices, profiles)
    objections = content_objections(series.slices, expert)
    if objections:
        return objections[0]
    try:
        grid, missing = series.stack.layout().grid, missing_from(series)
    except InputError as error:
        return error.reason
    n = len(grid.origins_lps_mm)
    however_many = replace(base, max_slices=max(base.max_slices, n))
    objections = [*missing, *extent_objections(n, however_many)]
    return objections[0] if objections else None


def _of_name(name: str, files: Sequence[ProfileFile]) -> ProfileFile:
    for file in files:
        if file.values["name"] == name:
            return file
    raise ConfigError("base_profile_not_installed", name=name)
