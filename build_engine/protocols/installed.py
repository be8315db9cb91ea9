"""The profiles and the bundle that the agent's configuration names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from agent.assemble.protocol import ProtocolProfile, load_profiles, ranked
from agent.config import DEFAULT_PATH, Config, load_config
from agent.errors import BundleError, ConfigError
from agent.infer.bundle import Bundle, load_bundle
from agent.reasons import Reason
from build_engine.protocols.catalogue import Entry, Problem, catalogue


def settings_from(config: Path | None) -> Config:
    """Read the configuration; without one, take profiles and bundle as they were installed."""
    if config or DEFAULT_PATH.is_file():
        return load_config(config or DEFAULT_PATH)
    return Config(export_folder=Path())


def bundle_in_use(settings: Config) -> tuple[Bundle | None, tuple[Problem, ...]]:
    """Load the bundle in use, for its operating points; say what is wrong with it."""
    try:
        return load_bundle(settings.bundle_folder), ()
    except BundleError as error:
        why = Reason("points_not_checked", because=error.reason, remedy=error.what_to_do)
        return None, (Problem(settings.bundle_folder, "", why),)


def chosen_entries(wanted: Sequence[str], settings: Config, bundle: Bundle | None) -> list[Entry]:
    """Find profiles by file or name among those installed and the files that are named.

    Raises
    ------
    ConfigError
        There is no such file or profile.
    """
    folder = settings.protocols_folder
    installed = {path.resolve() for path in folder.glob("*.toml")}
    named = [Path(one) for one in wanted if Path(one).is_file()]
    more = [path for path in named if path.resolve() not in installed]
    entries = catalogue(folder, bundle, more)
    return [entry for one in wanted for entry in _of(one, entries)] if wanted else list(entries)


def _of(wanted: str, entries: Sequence[Entry]) -> list[Entry]:
    path = Path(wanted).resolve()
    by_file = [entry for entry in entries if entry.path.resolve() == path]
    chosen = by_file or [entry for entry in entries if wanted in (entry.name, entry.path.stem)]
    if not chosen:
        names = ", ".join(entry.name for entry in entries)
        raise ConfigError("profile_or_file_unknown", wanted=wanted, known=names)
    return chosen[:1]


def profiles_with(settings: Config, draft: Path | None) -> tuple[ProtocolProfile, ...]:
    """Load the profiles; a draft stands in for one of its name.

    Raises
    ------
    ConfigError
        One of them cannot be used.
    """
    profiles = load_profiles(settings.protocols_folder)
    if draft is None:
        return profiles
    (entry,) = chosen_entries([str(draft)], settings, None)
    if entry.profile is None:
        raise ConfigError(entry.problems[0].reason)
    return ranked([entry.profile, *(one for one in profiles if one.name != entry.name)])
