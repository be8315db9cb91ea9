"""Protocol profiles: which series are analysed, and why the others are not."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, TypeAlias

from pydantic import BeforeValidator, ConfigDict, TypeAdapter, ValidationError

from agent.assemble.series import is_localizer
from agent.errors import ConfigError, NotEligible
from agent.records import HeadVolume, SliceHeader

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def _compiled(pattern: object) -> object:
    """Compile a profile's pattern; none of them minds upper and lower case."""
    if not isinstance(pattern, str):
        return pattern
    try:
        return re.compile(pattern, re.IGNORECASE)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from error


Pattern: TypeAlias = Annotated[re.Pattern[str], BeforeValidator(_compiled)]
"""Found anywhere in the text, upper and lower case alike."""

Range: TypeAlias = tuple[float, float]


@dataclass(frozen=True, slots=True)
class ProtocolProfile:
    """How to recognise one kind of head series, and how it is treated.

    Patterns are looked for anywhere in the header's text; one that is None asks nothing. A header
    that is silent about a thing is not refused for it. ``heads`` and ``other_parts`` are tried
    on BodyPartExamined; where this is empty, on the description.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    name: str
    operating_point: str
    heads: Pattern
    other_parts: Pattern
    bone_kernels: Pattern
    other_image_types: Pattern
    other_descriptions: Pattern
    no_contrast: Pattern
    """What a scanner writes for "no contrast agent"."""
    thickness_mm: Range
    kvp: Range
    matrix_px: Range
    min_slices: int
    max_slices: int
    min_coverage_mm: float
    quiet_s: float
    deadline_s: float
    manufacturer: Pattern | None = None
    model: Pattern | None = None
    description: Pattern | None = None
    kernels: Pattern | None = None

    @property
    def n_demands(self) -> int:
        """How specific the profile is: the most specific one that fits is chosen."""
        demands = (self.manufacturer, self.model, self.description, self.kernels)
        return sum(demand is not None for demand in demands)


def load_profiles(folder: Path) -> tuple[ProtocolProfile, ...]:
    """Load all ``*.toml`` profiles of a folder, most specific first.

    Raises
    ------
    ConfigError
        There is none, or one is wrong: names the file and the key.
    """
    profiles = [_load(path) for path in sorted(folder.glob("*.toml"))]
    if not profiles:
        raise ConfigError(f"no protocol profile in {folder}", hint="install one, or set the folder")
    names = [profile.name for profile in profiles]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"two protocol profiles in {folder} are named {name}")
    return tuple(sorted(profiles, key=lambda profile: (-profile.n_demands, profile.name)))


def _load(path: Path) -> ProtocolProfile:
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
        return TypeAdapter(ProtocolProfile).validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"])) or "profile"
        raise ConfigError(f"{path}: {key}: {first['msg']}") from error
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: {error}") from error


def choose(headers: Sequence[SliceHeader], profiles: Sequence[ProtocolProfile]) -> ProtocolProfile:
    """Choose the profile for a series from the headers so far, localizers included.

    Raises
    ------
    NotEligible
        No profile fits: says what keeps the one that fits best from fitting.
    """
    slices = [header for header in headers if not is_localizer(header)]
    if not slices:
        raise NotEligible(
            "only localizer images", hint="none needed: the head series is analysed by itself"
        )
    objections = [_objections(slices, profile) for profile in profiles]
    best = min(range(len(profiles)), key=lambda n: (len(objections[n]), -profiles[n].n_demands))
    if not objections[best]:
        return profiles[best]
    raise NotEligible(
        objections[best][0],
        hint=f"if it should be analysed, adapt protocol profile {profiles[best].name}",
    )


def check_extent(volume: HeadVolume, profile: ProtocolProfile) -> None:
    """Refuse a complete series that is no whole head.

    Raises
    ------
    NotEligible
        Too few or too many slices, or too short a stretch.
    """
    n, coverage_mm = len(volume.hu), float(volume.grid.shares_mm.sum())
    hint = "check that the whole head was exported, as one series"
    if n < profile.min_slices:
        raise NotEligible(f"only {n} slices, {profile.min_slices} needed", hint=hint)
    if n > profile.max_slices:
        raise NotEligible(f"{n} slices, at most {profile.max_slices} are analysed", hint=hint)
    if coverage_mm < profile.min_coverage_mm:
        needed = f"{profile.min_coverage_mm:.0f} mm needed"
        raise NotEligible(f"only {coverage_mm:.0f} mm of the head, {needed}", hint=hint)


def _objections(slices: list[SliceHeader], profile: ProtocolProfile) -> list[str]:
    """Say all that keeps a series from fitting, what matters most to a technologist first."""
    seen: dict[str, None] = {}
    for header in slices:
        for objection in (*_of_content(header, profile), *_of_protocol(header, profile)):
            seen.setdefault(objection)
    return list(seen)


def _of_content(header: SliceHeader, profile: ProtocolProfile) -> list[str]:
    """Object to what was scanned and how it was reconstructed."""
    found = []
    if not _is_head(header, profile):
        found.append(f"not a head series: {header.body_part or header.description}")
    if header.contrast and not profile.no_contrast.search(header.contrast):
        found.append("contrast agent was given")
    if profile.bone_kernels.search(header.kernel):
        found.append(f"bone reconstruction (kernel {header.kernel})")
    if profile.other_image_types.search("\\".join(header.image_type)):
        found.append(f"not an original axial image ({'/'.join(header.image_type)})")
    if profile.other_descriptions.search(header.description):
        found.append(f"not a plain head series: {header.description}")
    return found


def _is_head(header: SliceHeader, profile: ProtocolProfile) -> bool:
    if header.body_part:
        return bool(profile.heads.search(header.body_part))
    if profile.heads.search(header.description):
        return True
    return not profile.other_parts.search(header.description)


def _of_protocol(header: SliceHeader, profile: ProtocolProfile) -> list[str]:
    """Object to scanner and settings outside the profile's."""
    patterns = (
        ("scanner maker", profile.manufacturer, header.manufacturer),
        ("scanner model", profile.model, header.model),
        ("series description", profile.description, header.description),
        ("kernel", profile.kernels, header.kernel),
    )
    ranges = (
        ("slice thickness", "mm", profile.thickness_mm, header.thickness_mm),
        ("tube voltage", "kV", profile.kvp, header.kvp),
        ("matrix", "pixels", profile.matrix_px, float(min(header.rows, header.columns))),
    )
    found = [
        f"{what} {text or 'not given'} is not the profile's"
        for what, pattern, text in patterns
        if pattern and not pattern.search(text)
    ]
    found += [
        f"{what} {value:g} {unit}, {low:g} to {high:g} covered"
        for what, unit, (low, high), value in ranges
        if value is not None and not low <= value <= high
    ]
    return found
