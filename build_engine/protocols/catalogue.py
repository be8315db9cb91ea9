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
    ProfileFile,
    ProtocolProfile,
    read_table,
    with_base,
)
from agent.errors import BundleError, ConfigError
from agent.infer.bundle import Bundle
from agent.reasons import Reason, english

KEYS: Final = (*(field.name for field in fields(ProtocolProfile)), BASED_ON)
"""All that a profile may set."""

SET_IT: Final = f'set it, or take it from another profile: {BASED_ON} = "generic-head"'
MEND_PATTERN: Final = r"mend it; a backslash before . + * ? ( ) [ ] takes them as they are"
MEND_VALUE: Final = "mend one of these values"
AS_GENERIC: Final = "write it as generic-head.toml does"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a profile's file, and what to do next."""

    file: Path
    key: str
    what: str
    what_to_do: str

    @property
    def reason(self) -> Reason:
        """Say it as why the profile cannot be used."""
        return Reason("profile_wrong", problem=str(self), remedy=self.what_to_do)

    def __str__(self) -> str:
        """Name file and key in one line."""
        return f"{self.file}: {f'{self.key}: ' if self.key else ''}{self.what}"


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
    return Problem(path, key, english(error.reason.without_file()), error.what_to_do)


def _of_name(path: Path, tables: dict[Path, dict[str, Any]]) -> Iterator[Problem]:
    name = tables[path].get("name")
    if name is None and BASED_ON in tables[path]:
        yield Problem(path, "name", "not set", "give the profile a name of its own")
    for other, table in tables.items():
        if other != path and name is not None and table.get("name") == name:
            what = f"{other} has the name {name!r} too"
            yield Problem(path, "name", what, "rename one of them, or remove it")


def _of_values(file: ProfileFile) -> Iterator[Problem]:
    try:
        TypeAdapter(ProtocolProfile).validate_python(file.values)
    except ValidationError as error:
        missing = [str(one["loc"][0]) for one in error.errors() if _is_missing(one)]
        if missing:
            yield Problem(file.path, ", ".join(missing), "not set", SET_IT)
        yield from (_of_value(file, one) for one in error.errors() if not _is_missing(one))


def _is_missing(details: ErrorDetails) -> bool:
    """Say whether a whole key is missing, not an end of a range."""
    return details["type"] == "missing" and len(details["loc"]) == 1


def _of_value(file: ProfileFile, details: ErrorDetails) -> Problem:
    key = str(details["loc"][0]) if details["loc"] else ""
    what = details["msg"].removeprefix("Value error, ")
    if key and key not in KEYS:
        close = get_close_matches(key, KEYS, 1)
        hint = f"did you mean {close[0]}?" if close else f"remove it; there are {', '.join(KEYS)}"
        return Problem(_origin(file, key), key, "no such key", hint)
    if what.startswith("not a regular expression"):
        return Problem(_origin(file, key), key, what, MEND_PATTERN)
    if details["type"] == "value_error":
        return Problem(_origin(file, key), key, what, MEND_VALUE)
    place = f"value {int(details['loc'][1]) + 1}: " if len(details["loc"]) > 1 else ""
    return Problem(_origin(file, key), key, place + what, AS_GENERIC)


def _of_point(file: ProfileFile, bundle: Bundle | None) -> Iterator[Problem]:
    name = file.values.get("operating_point")
    if bundle is None or not isinstance(name, str):
        return
    try:
        bundle.contract.operating_point(name)
    except BundleError as error:
        key = "operating_point"
        yield Problem(_origin(file, key), key, str(error), error.what_to_do)


def _origin(file: ProfileFile, key: str) -> Path:
    """Say in which file a key is set: a base's mistakes are not those of whoever builds on it."""
    inherited = file.base is not None and key not in file.own and key in file.base.own
    return file.base.path if file.base is not None and inherited else file.path
