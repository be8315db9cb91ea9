"""The agent's store, opened for a command."""

from __future__ import annotations

from pathlib import Path

from agent.config import Config, load_config
from agent.errors import ConfigError, RequestRefused
from agent.store import SeriesRow, Store
from agent.wiring import open_store


def opened(config: Path) -> Store:
    """Open the store that a configuration names; ConfigError where there is none yet."""
    return opened_for(load_config(config))


def opened_for(settings: Config) -> Store:
    """Open the store of a configuration in hand; ConfigError where there is none yet."""
    if not settings.store_path.exists():
        raise ConfigError(f"no store at {settings.store_path}", hint="start the agent first")
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
