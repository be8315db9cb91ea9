"""Protocol profiles: which series are analysed, and why the others are not."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, TypeAlias

from pydantic import AfterValidator, BeforeValidator, ConfigDict, TypeAdapter, ValidationError

from agent.assemble.eligibility import Content, content_of
from agent.assemble.series import is_localizer
from agent.errors import ConfigError, NotEligible
from agent.reasons import Reason
from agent.records import SliceHeader
from agent.voxels import HeadVolume

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


class NotAPattern(ValueError):
    """A text that is no regular expression."""


def _compiled(pattern: object) -> object:
    """Compile a profile's pattern; none of them minds upper and lower case."""
    if not isinstance(pattern, str):
        return pattern
    try:
        return re.compile(pattern, re.IGNORECASE)
    except re.error as error:
        raise NotAPattern(f"not a regular expression: {error}") from error


Pattern: TypeAlias = Annotated[re.Pattern[str], BeforeValidator(_compiled)]
"""Found anywhere in the text, upper and lower case alike."""


def _ascending(ends: tuple[float, float]) -> tuple[float, float]:
    if ends[0] > ends[1]:
        raise ValueError(f"from {ends[0]:g} to {ends[1]:g} is no range")
    return ends


Range: TypeAlias = Annotated[tuple[float, float], AfterValidator(_ascending)]

PLAIN_HEAD: Final = "plain head"
"""What a site's own name for its plain heads is taken for."""

THIN_FIRST: Final = ((0.0, 2.0), (2.0, 4.0))
"""Slice thicknesses in the order in which they are preferred [mm]. Ours: what a thick slice shows
at its edge, a thin one shows whole."""

BASED_ON = "based_on"
"""Key by which a profile takes from another what it does not set itself."""


@dataclass(frozen=True, slots=True)
class ProtocolProfile:
    """How to recognise one kind of head series, and how it is treated.

    Patterns are looked for anywhere in the header's text; one that is None asks nothing. A header
    that is silent about a thing is not refused for it. What words mean is the same everywhere
    (``agent.assemble.terms``); ``plain_heads`` and ``other_series`` are for what is not.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", allow_inf_nan=False)

    name: str
    operating_point: str
    bone_kernels: Pattern
    other_image_types: Pattern
    thickness_mm: Range
    kvp: Range
    matrix_px: Range
    min_slices: int
    max_slices: int
    min_coverage_mm: float
    quiet_s: float
    deadline_s: float
    slabs_per_run: int
    """Slabs that a plan built for this protocol takes at once."""
    preferred_thickness_mm: tuple[Range, ...] = THIN_FIRST
    """Of several reconstructions of one scan, one within an earlier range has the last word."""
    plain_heads: Pattern | None = None
    """What this site calls its plain heads, whatever the words mean elsewhere."""
    other_series: Pattern | None = None
    """What this site calls series that are not to be analysed."""
    manufacturer: Pattern | None = None
    model: Pattern | None = None
    description: Pattern | None = None
    kernels: Pattern | None = None

    def __post_init__(self) -> None:
        """Refuse what contradicts itself."""
        if self.min_slices < 1:
            raise ValueError(f"min_slices {self.min_slices} asks for no slice")
        if self.min_coverage_mm <= 0:
            raise ValueError(f"min_coverage_mm {self.min_coverage_mm:g} asks for no head")
        if self.min_slices > self.max_slices:
            raise ValueError(f"min_slices {self.min_slices} is above max_slices {self.max_slices}")
        if self.slabs_per_run < 1:
            raise ValueError(f"slabs_per_run {self.slabs_per_run} is no number of slabs")
        if self.quiet_s <= 0:
            raise ValueError(f"quiet_s {self.quiet_s:g} is no time to wait")
        if self.quiet_s >= self.deadline_s:
            raise ValueError(f"quiet_s {self.quiet_s:g} reaches deadline_s {self.deadline_s:g}")

    @property
    def n_demands(self) -> int:
        """How specific the profile is: the most specific one that fits is chosen."""
        demands = (self.manufacturer, self.model, self.description, self.kernels)
        return sum(demand is not None for demand in demands)

    def preference(self, thickness_mm: float | None) -> int:
        """Return which place slices have in the order of preference, 0 first.

        Where ranges meet, the earlier one holds; what is in none is preferred least.
        """
        ranges = self.preferred_thickness_mm
        if thickness_mm is None:
            return len(ranges)
        within = (n for n, (low, high) in enumerate(ranges) if low <= thickness_mm <= high)
        return next(within, len(ranges))


@dataclass(frozen=True, slots=True)
class ProfileFile:
    """A profile as it is written: its ``own`` keys, and those of the file that it is based on."""

    path: Path
    own: dict[str, Any]
    base: ProfileFile | None

    @property
    def values(self) -> dict[str, Any]:
        """Every key, the profile's own first."""
        inherited = self.base.values if self.base else {}
        return {**inherited, **{key: v for key, v in self.own.items() if key != BASED_ON}}

    def profile(self) -> ProtocolProfile:
        """Return the profile; ConfigError names the file and the key that is wrong."""
        try:
            return TypeAdapter(ProtocolProfile).validate_python(self.values)
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(map(str, first["loc"])) or "profile"
            raise ConfigError(
                "profile_key_wrong", file=str(self.path), key=key, why=first["msg"]
            ) from error


def load_profiles(folder: Path) -> tuple[ProtocolProfile, ...]:
    """Load all ``*.toml`` profiles of a folder, most specific first.

    Raises
    ------
    ConfigError
        There is none, or one is wrong: names the file and the key.
    """
    profiles = [file.profile() for file in profile_files(folder)]
    names = [profile.name for profile in profiles]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError("profile_name_used_twice", folder=str(folder), name=name)
    return ranked(profiles)


def ranked(profiles: Iterable[ProtocolProfile]) -> tuple[ProtocolProfile, ...]:
    """Put profiles in the order in which they are tried: most specific first, then by name."""
    return tuple(sorted(profiles, key=lambda profile: (-profile.n_demands, profile.name)))


def profile_files(folder: Path) -> tuple[ProfileFile, ...]:
    """Read the ``*.toml`` files of a folder, each with the one that it is based on.

    Raises
    ------
    ConfigError
        There is none, or one is no TOML or based on what is not there.
    """
    tables = {path: read_table(path) for path in sorted(folder.glob("*.toml"))}
    if not tables:
        raise ConfigError("no_profiles", folder=str(folder))
    return tuple(with_base(path, tables) for path in tables)


def read_table(path: Path) -> dict[str, Any]:
    """Read a profile's file as it is written; ConfigError if it is no TOML."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError("profile_unreadable", file=str(path), why=str(error)) from error


def with_base(path: Path, tables: Mapping[Path, dict[str, Any]]) -> ProfileFile:
    """Join one of ``tables`` to the one that it is based on; ConfigError if that is not there."""
    own = tables[path]
    if BASED_ON not in own:
        return ProfileFile(path, own, None)
    for base_path, base in tables.items():
        if base.get("name") == own[BASED_ON] and BASED_ON not in base:
            return ProfileFile(path, own, ProfileFile(base_path, base, None))
    raise ConfigError("base_profile_missing", file=str(path), base=str(own[BASED_ON]))


def choose(headers: Sequence[SliceHeader], profiles: Sequence[ProtocolProfile]) -> ProtocolProfile:
    """Choose the profile for a series from the headers so far, localizers included.

    The most specific profile for the scanner knows best what its series show: what it refuses for
    its content (a bone kernel, contrast agent …) no more general profile takes. Where only its
    ranges do not fit, a more general one may.

    Raises
    ------
    NotEligible
        No profile fits: says what keeps the one that is for this scanner, or fits best.
    """
    slices = [header for header in headers if not is_localizer(header)]
    if not slices:
        raise NotEligible("localizers_only")
    expert = expert_on(slices, profiles)
    refused = objections(slices, expert)
    if not content_objections(slices, expert):
        fitting = [profile for profile in profiles if not objections(slices, profile)]
        if fitting:
            return max(fitting, key=lambda profile: profile.n_demands)
    raise NotEligible(refused[0])


def expert_on(
    slices: Sequence[SliceHeader], profiles: Sequence[ProtocolProfile]
) -> ProtocolProfile:
    """Find the profile that knows best about slices: the most specific one for their scanner."""
    return min(profiles, key=lambda one: (len(unmet_demands(slices, one)), -one.n_demands))


def check_extent(volume: HeadVolume, profile: ProtocolProfile) -> None:
    """Refuse a complete series of which no head can be made.

    Raises
    ------
    NotEligible
        Too few or too many slices.
    """
    against = extent_objections(len(volume.hu), profile)
    if against:
        raise NotEligible(against[0])


def extent_objections(n_slices: int, profile: ProtocolProfile) -> list[Reason]:
    """Say what keeps so many slices from being one head."""
    against = []
    if n_slices < profile.min_slices:
        against.append(Reason("too_few_slices", n_slices=n_slices, n_needed=profile.min_slices))
    if n_slices > profile.max_slices:
        against.append(Reason("too_many_slices", n_slices=n_slices, n_most=profile.max_slices))
    return against


def objections(slices: Sequence[SliceHeader], profile: ProtocolProfile) -> list[Reason]:
    """Say all that keeps slices from fitting, what matters most to a technologist first."""
    asked = (_of_content, _of_demands, _of_ranges)
    return _distinct(
        objection for header in slices for ask in asked for objection in ask(header, profile)
    )


def content_objections(slices: Sequence[SliceHeader], profile: ProtocolProfile) -> list[Reason]:
    """Say what about what was scanned and how it was reconstructed keeps slices from fitting."""
    return _distinct(objection for header in slices for objection in _of_content(header, profile))


def unmet_demands(slices: Sequence[SliceHeader], profile: ProtocolProfile) -> list[Reason]:
    """Say what shows that the profile is for another scanner or series; empty if nothing does."""
    return _distinct(objection for header in slices for objection in _of_demands(header, profile))


def _distinct(reasons: Iterable[Reason]) -> list[Reason]:
    return list(dict.fromkeys(reasons))


def _of_content(header: SliceHeader, profile: ProtocolProfile) -> list[Reason]:
    """Object to what was scanned and how it was reconstructed."""
    against, name = list(said_of(header, profile).objections), profile.name
    if profile.other_image_types.search("\\".join(header.image_type)):
        image_type = "/".join(header.image_type)
        against.append(Reason("not_original_axial", image_type=image_type, profile=name))
    if profile.other_series and profile.other_series.search(header.description):
        against.append(Reason("not_plain_head", description=header.description, profile=name))
    return against


def said_of(header: SliceHeader, profile: ProtocolProfile) -> Content:
    """Weigh what a header says of its series' content; a site may know its own plain heads."""
    known = profile.plain_heads and profile.plain_heads.search(header.description)
    asked = replace(header, description=PLAIN_HEAD) if known else header
    sharp = bool(profile.bone_kernels.search(header.kernel))
    return content_of(asked, profile.name, sharp=sharp)


def contrast_unsure(slices: Sequence[SliceHeader], profile: ProtocolProfile) -> bool:
    """Whether only the images can tell if contrast agent is in a series."""
    return any(said_of(header, profile).contrast_unsure for header in slices)


def _of_demands(header: SliceHeader, profile: ProtocolProfile) -> list[Reason]:
    """Object to scanners and series that the profile is not for."""
    maker, model, kernel = header.manufacturer, header.model, header.kernel
    description, name = header.description, profile.name
    met = (
        (profile.manufacturer, maker, Reason("maker_not_covered", maker=maker, profile=name)),
        (profile.model, model, Reason("model_not_covered", model=model, profile=name)),
        (
            profile.description,
            description,
            Reason("description_not_covered", description=description, profile=name),
        ),
        (profile.kernels, kernel, Reason("kernel_not_covered", kernel=kernel, profile=name)),
    )
    return [reason for pattern, text, reason in met if pattern and not pattern.search(text)]


def _of_ranges(header: SliceHeader, profile: ProtocolProfile) -> list[Reason]:
    """Object to settings outside the profile's."""
    against, name = [], profile.name
    low, high = profile.thickness_mm
    thickness_mm = header.thickness_mm
    if thickness_mm is not None and not low <= thickness_mm <= high:
        against.append(
            Reason(
                "thickness_not_covered",
                thickness_mm=thickness_mm,
                low_mm=low,
                high_mm=high,
                profile=name,
            )
        )
    low, high = profile.kvp
    if header.kvp is not None and not low <= header.kvp <= high:
        against.append(
            Reason(
                "voltage_not_covered", voltage_kv=header.kvp, low_kv=low, high_kv=high, profile=name
            )
        )
    low, high = profile.matrix_px
    matrix_px = min(header.rows, header.columns)
    if not low <= matrix_px <= high:
        against.append(
            Reason(
                "matrix_not_covered", matrix_px=matrix_px, low_px=low, high_px=high, profile=name
            )
        )
    return against
