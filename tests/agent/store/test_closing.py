"""The store's connection, closed while another thread uses it."""

from __future__ import annotations

import threading
from pathlib import Path

from agent.store.database import Database


def test_a_store_is_closed_once_no_thread_uses_it(tmp_path: Path) -> None:
    """Regression: SQLite crashed the process."""
    database = Database(tmp_path / "bleedwatch.sqlite")
    closing = threading.Thread(target=database.__exit__)

    with database.writing():
        closing.start()
        closing.join(0.2)
        assert closing.is_alive()

    closing.join(10)
    assert not closing.is_alive()
