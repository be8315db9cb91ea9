"""agent.store: opened by two processes, from nothing, and from another version."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from agent.errors import StoreError
from agent.store import Store
from agent.store.schema import MIGRATIONS
from agent.wiring import system_clock

OPEN = """
import sys
from pathlib import Path
from agent.store import Store
from agent.wiring import system_clock
sys.stdin.read(1)
Store(Path(sys.argv[1]), system_clock).notice("opened", "here")
"""


def test_two_processes_may_open_a_new_store_at_the_same_moment(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    openers = [
        subprocess.Popen([sys.executable, "-c", OPEN, str(path)], stdin=subprocess.PIPE)
        for _ in range(4)
    ]

    for opener in openers:
        assert opener.stdin
        opener.stdin.write(b"!")
        opener.stdin.close()

    assert [opener.wait() for opener in openers] == [0] * 4
    with Store(path, system_clock) as store:
        assert len(store.notices(10)) == 4


def test_a_store_of_a_newer_version_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    database = sqlite3.connect(path)
    database.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    database.close()

    with pytest.raises(StoreError, match="version") as refusal:
        Store(path, system_clock)

    assert "newer program" in refusal.value.hint


def test_what_is_no_store_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    path.write_text("no database " * 100)

    with pytest.raises(StoreError, match="not a database"):
        Store(path, system_clock)
