"""The agent's store, opened for a command."""

from __future__ import annotations

from pathlib import Path

from agent.config import Config, load_config
from agent.errors import ConfigError, RequestRefused, StoreError
from agent.store import SeriesRow, Store
from agent.store.schema import MIGRATIONS
from agent.store.upgrade import version_at
from agent.wiring import open_store


def opened(config: Path) -> Store:
    """Open the store that a configuration names, as ``opened_for`` does."""
    return opened_for(load_config(config))


def opened_for(settings: Config) -> Store:
    """Open the store of a configuration in hand; a question neither makes nor upgrades one.

    Raises
    ------
    ConfigError
        If there is none yet.
    StoreError
        If it is of an older version.
    """
    version = version_at(settings.store_path)
    if version is None:
        raise ConfigError(f"no store at {settings.store_path}", hint="start the agent first")
    if version < len(MIGRATIONS):
        raise StoreError(
            f"store {settings.store_path} is of version {version}, this program's is "
            f"{len(MIGRATIONS)}",
            hint="restart agent and console, or `bleedwatch upgrade`",
        )
    return open_store(settings)


def found(store: Store, study: str) -> list[SeriesRow]:
    """Find the series that a command was called for.

    Raises
    ------
    RequestRefused
        If there are none.
    """
    rows = store.find(study.strip("…"))  # as ``status`` prints it
    if not rows:
        hint = "`bleedwatch studies` lists what there is"
        raise RequestRefused(f"no study or series {study} in the store", hint=hint)
    return rows
