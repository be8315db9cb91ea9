"""The agent's store, opened for a command."""

from __future__ import annotations

from pathlib import Path

from agent.config import Config, load_config
from agent.errors import ConfigError
from agent.store import Store
from agent.wiring import open_store


def opened(config: Path) -> Store:
    """Open the store that a configuration names; ConfigError where there is none yet."""
    return opened_for(load_config(config))


def opened_for(settings: Config) -> Store:
    """Open the store of a configuration in hand; ConfigError where there is none yet."""
    if not settings.store_path.exists():
        raise ConfigError(f"no store at {settings.store_path}", hint="start the agent first")
    return open_store(settings)
