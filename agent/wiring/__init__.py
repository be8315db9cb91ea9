"""What constructs: clocks and the store here, for every command; the agent's own in ``journeys``.

Apart, because a command that only looks into the store would wait for all that the agent loads.
"""

from __future__ import annotations

import time
from datetime import datetime, timezone
from pathlib import Path

from agent.config import Config
from agent.records import Instant
from agent.store import Store

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def system_clock() -> Instant:
    """Now, on both clocks."""
    return Instant(datetime.now(timezone.utc), time.monotonic())


def boot_id() -> str:
    """Name the computer's current boot: monotonic times of another one mean nothing."""
    return BOOT_ID.read_text().strip()


def open_store(config: Config) -> Store:
    """Open the store, making its folder where that is not there yet."""
    config.state_folder.mkdir(parents=True, exist_ok=True)
    return Store(config.store_path, system_clock)
