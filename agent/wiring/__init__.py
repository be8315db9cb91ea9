"""What constructs: clocks and database here, for every command; the agent's own in ``agent``.

Apart, because a command that only looks into the store would wait for all that the agent loads.
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
    """Now, on both clocks."""
    return Instant(datetime.now(timezone.utc), time.monotonic())


def boot_id() -> str:
    """Name the computer's current boot: monotonic times of another one mean nothing."""
    return BOOT_ID.read_text().strip()


def open_database(config: Config) -> Database:
    """Open the store's database, making its folder where that is not there yet."""
    config.state_folder.mkdir(parents=True, exist_ok=True)
    return Database(config.store_path)
