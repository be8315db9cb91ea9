"""agent.store: opened by two processes, from nothing, and from another version."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from agent.errors import StoreError, StoreUnwritable
from agent.reasons import Reason
from agent.store.schema import MIGRATIONS
from agent.wiring import system_clock
from tests.agent.reports import add_result, report
from tests.agent.stored import Store

LONG_AGO = "2026-01-01T00:00:00+00:00"

OPEN = """
import sys
from pathlib import Path
from tests.agent.stored import Store
from agent.reasons import Reason
from agent.wiring import system_clock
sys.stdin.read(1)
Store(Path(sys.argv[1]), system_clock).agent.notice("opened", Reason("nothing_new"))
"""


@pytest.mark.slow
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
        assert len(store.queries.notices(10)) == 4


def test_a_new_store_that_another_process_is_writing_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    written = threading.Timer(0.5, other.execute, ["COMMIT"])
    written.start()

    with Store(path, system_clock) as store:
        store.agent.notice("opened", Reason("nothing_new"))

        assert len(store.queries.notices(10)) == 1
    written.join()
    other.close()


def test_a_store_that_another_process_keeps_locked_is_told_as_such(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.store.database.BUSY_MS", 100)
    path = tmp_path / "store.sqlite"
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    with pytest.raises(StoreUnwritable, match="locked") as refusal:
        Store(path, system_clock)

    assert "another process" in refusal.value.what_to_do
    other.close()


def test_a_key_slice_of_an_older_version_is_kept_as_the_axial_picture(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    write_older_store(path, {"1.1": b"png", "1.2": None})

    with Store(path, system_clock) as store:
        assert store.queries.history("1.1") == [report("1.1")]
        assert store.queries.picture("1.1", 1, "axial") == b"png"
        assert store.queries.picture("1.2", 1, "axial") is None
        add_result(store, report("1.2", revision=2), {"axial": b"new"})
        assert store.queries.picture("1.2", 2, "axial") == b"new"


def former_report(uid: str) -> str:
    """Write a report as schema 1 had it: reasons and engine as sentences."""
    values = report(uid).model_dump(mode="json", exclude={"values", "text"})
    engine = "default 0.1.0, ONNX Runtime 1.20.1, CPU"
    return json.dumps(values | {"schema_version": 1, "reason": None, "engine": engine})


def write_older_store(path: Path, key_slices: dict[str, bytes | None]) -> None:
    """Write a store of the version before there were pictures, a suspicion to each key slice."""
    version = next(n for n, made in enumerate(MIGRATIONS) if "TABLE pictures" in made)
    database = sqlite3.connect(path, isolation_level=None)
    for statement in ";".join(MIGRATIONS[:version]).split(";"):
        database.execute(statement)
    database.execute(f"PRAGMA user_version = {version}")
    known = {"state": "suspected", "revision": 1, "first_utc": LONG_AGO, "last_utc": LONG_AGO}
    columns = [tuple(row)[1:3] for row in database.execute("PRAGMA table_info(series)")]
    for uid, png in key_slices.items():
        row = [
            (known | {"uid": uid}).get(name, "" if kind == "TEXT" else 0) for name, kind in columns
        ]
        database.execute(f"INSERT INTO series VALUES ({', '.join('?' * len(row))})", row)
        database.execute(
            "INSERT INTO results VALUES (?, 1, ?, 'suspected', ?, ?, ?, 1.0)",
            (uid, uid, former_report(uid), png, LONG_AGO),
        )
    database.close()


def test_a_store_of_a_newer_version_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    database = sqlite3.connect(path)
    database.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    database.close()

    with pytest.raises(StoreError, match="version") as refusal:
        Store(path, system_clock)

    assert "newer program" in refusal.value.what_to_do


def test_what_is_no_store_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    path.write_text("no database " * 100)

    with pytest.raises(StoreError, match="not a database"):
        Store(path, system_clock)
