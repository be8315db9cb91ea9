"""All profile files of a folder, the broken ones too, each with all that is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from agent.assemble.protocol import (
    BASED_ON,
    NotAPattern,
    ProfileFile,
    ProtocolProfile,
    read_table,
    with_base,
)
from agent.errors import BundleError, ConfigError
from agent.infer.bundle import Bundle
from agent.reasons import Reason, english, what_to_do

KEYS: Final = (*(field.name for field in fields(ProtocolProfile)), BASED_ON)
"""All that a profile may set."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a profile's file; ``key`` is "" where it is the file itself."""

    file: Path
    key: str
    because: Reason

    @property
    def reason(self) -> Reason:
        """Say it as why the profile cannot be used."""
        return Reason(
            "profile_wrong",
            where=self.where,
            because=self.because,
            remedy=what_to_do(self.because),
        )

    @property
    def where(self) -> str:
        """The file, and the key in it."""
        return f"{self.file}: {self.key}" if self.key else str(self.file)

    def __str__(self) -> str:
        """Name file and key in one line."""
        return f"{self.where}: {english(self.because)}"


@dataclass(frozen=True, slots=True)
class Entry:
    """A profile's file; ``file`` is None where it cannot be read, ``profile`` where it is wrong."""

    path: Path
    file: ProfileFile | None
    profile: ProtocolProfile | None
    problems: tuple[Problem, ...]

    @property
    def name(self) -> str:
        """What the profile is called; what its file is called where that is not known."""
        name = self.file.own.get("name") if self.file else None
        return name if isinstance(name, str) else self.path.stem


def catalogue(folder: Path, bundle: Bundle | None, more: Sequence[Path] = ()) -> tuple[Entry, ...]:
    """Read all profiles of a folder, and ``more`` files as if they lay in it.

    ``bundle`` is the one whose operating points they may name; None leaves that unchecked.

    Raises
    ------
    ConfigError
        There is none.
    """
    paths = [*sorted(folder.glob("*.toml")), *more]
    if not paths:
        raise ConfigError("no_profiles", folder=str(folder))
    tables: dict[Path, dict[str, Any]] = {}
    unreadable: dict[Path, Problem] = {}
    for path in paths:
        try:
            tables[path] = read_table(path)
        except ConfigError as error:
            unreadable[path] = _catalogue_problem(path, "", error)
    return tuple(
        Entry(path, None, None, (unreadable[path],))
        if path in unreadable
        else _entry(path, tables, bundle)
        for path in paths
    )


def _entry(path: Path, tables: dict[Path, dict[str, Any]], bundle: Bundle | None) -> Entry:
    namesakes = tuple(_of_name(path, tables))
    try:
        file = with_base(path, tables)
    except ConfigError as error:
        # Its own keys are checked when it has a base to stand on.
        problem = _catalogue_problem(path, BASED_ON, error)
        return Entry(path, ProfileFile(path, tables[path], None), None, (problem, *namesakes))
    problems = (*_of_values(file), *_of_point(file, bundle), *namesakes)
    try:
        return Entry(path, file, file.profile(), problems)
    except ConfigError:
        return Entry(path, file, None, problems)


def _catalogue_problem(path: Path, key: str, error: ConfigError) -> Problem:
    """Say what keeps a profile's file from being read."""
    return Problem(path, key, error.reason.without_file())


def _of_name(path: Path, tables: dict[Path, dict[str, Any]]) -> Iterator[Problem]:
    name = tables[path].get("name")
    if name is None and BASED_ON in tables[path]:
        yield Problem(path, "name", Reason("profile_without_name"))
    for other, table in tables.items():
        if other != path and name is not None and table.get("name") == name:
            taken = Reason("profile_namesake", other=str(other), name=str(name))
            yield Problem(path, "name", taken)


def _of_values(file: ProfileFile) -> Iterator[Problem]:
    try:
        TypeAdapter(ProtocolProfile).validate_python(file.values)
    except ValidationError as error:
        missing = [str(one["loc"][0]) for one in error.errors() if _is_missing(one)]
        if missing:
            yield Problem(file.path, ", ".join(missing), Reason("profile_key_missing"))
        yield from (_of_value(file, one) for one in error.errors() if not _is_missing(one))


def _is_missing(details: ErrorDetails) -> bool:
    """Say whether a whole key is missing, not an end of a range."""
    return details["type"] == "missing" and len(details["loc"]) == 1


def _of_value(file: ProfileFile, details: ErrorDetails) -> Problem:
    key = str(details["loc"][0]) if details["loc"] else ""
    return Problem(_origin(file, key), key, _why_wrong(key, details))


def _why_wrong(key: str, details: ErrorDetails) -> Reason:
    why = details["msg"].removeprefix("Value error, ")
    if key and key not in KEYS:
        close = get_close_matches(key, KEYS, 1)
        if close:
            return Reason("profile_key_misspelt", close=close[0])
        return Reason("profile_key_unknown", known=", ".join(KEYS))
    if isinstance(details.get("ctx", {}).get("error"), NotAPattern):
        return Reason("profile_pattern_wrong", why=why)
    if details["type"] == "value_error":
        return Reason("profile_values_disagree", why=why)
    if len(details["loc"]) > 1:
        return Reason("profile_value_wrong_at", number=int(details["loc"][1]) + 1, why=why)
    return Reason("profile_value_wrong", why=why)


def _of_point(file: ProfileFile, bundle: Bundle | None) -> Iterator[Problem]:
    name = file.values.get("operating_point")
    if bundle is None or not isinstance(name, str):
        return
    try:
        bundle.contract.operating_point(name)
    except BundleError as error:
        key = "operating_point"
        yield Problem(_origin(file, key), key, error.reason)


def _origin(file: ProfileFile, key: str) -> Path:
    """Say in which file a key is set: a base's mistakes are not those of whoever builds on it."""
    inherited = file.base is not None and key not in file.own and key in file.base.own
    return file.base.path if file.base is not None and inherited else file.path
