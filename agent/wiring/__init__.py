"""Construction of what every command needs: clock and database. ``wiring.agent`` builds the agent.

Apart, because a command that only reads the store must not wait for the agent's imports.
"""

from __future__ import annotations

import time
from datetime import datetime, timezone
from pathlib import Path

from agent.config import Config
from agent.records import Instant
from agent.store.database import Database

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def system_clock() -> Instant:
    """Return the present moment, on both clocks."""
    return Instant(datetime.now(timezone.utc), time.monotonic())


def boot_id() -> str:
    """Return the ID of the computer's current boot, to which monotonic times belong."""
    return BOOT_ID.read_text().strip()


def open_database(config: Config) -> Database:
    """Open the store's database; its folder is made if it does not exist."""
    config.state_folder.mkdir(parents=True, exist_ok=True)
    return Database(config.store_path)
