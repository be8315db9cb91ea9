"""``bleedwatch upgrade``, before and after a newer program is installed."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

from agent.store.schema import MIGRATIONS
from tests.agent.cli.conftest import Call
from tests.agent.store.test_upgrade import store_of, version

NOW = len(MIGRATIONS)


def test_check_tells_from_where_to_where_and_whether_it_succeeds(
    call: Call, tmp_path: Path
) -> None:
    path = store_of(tmp_path / "bleedwatch.sqlite", 1)

    told = call("upgrade", "--check")

    assert told.returncode == 0
    assert f"store: version 1, 0.1 MB; this program: version {NOW}" in told.stdout
    assert "CREATE INDEX suspicions ON results" in told.stdout
    assert "✓ it succeeds on a copy; the store is as it was" in told.stdout
    assert version(path) == 1

    assert "✓ upgraded" in call("upgrade").stdout
    assert version(path) == NOW
    after = call("upgrade", "--check")
    assert "✓ nothing is to be done; the store is whole" in after.stdout
    assert "bleedwatch.sqlite.v1.backup" in after.stdout


def test_a_question_does_not_upgrade_a_store(call: Call, tmp_path: Path) -> None:
    path = store_of(tmp_path / "bleedwatch.sqlite", 1)

    for command in ("status", "studies"):
        refused = call(command)
        assert refused.returncode == 78
        assert "`bleedwatch upgrade`" in refused.stderr

    assert version(path) == 1


def test_what_would_fail_is_told_and_not_done(call: Call, tmp_path: Path) -> None:
    path = store_of(tmp_path / "bleedwatch.sqlite", 1)
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE requests (uid TEXT)")

    for words in (("--check",), ()):
        told = call("upgrade", *words, "--json")

        assert told.returncode == 1
        problem = json.loads(told.stdout)["problem"]
        assert problem["code"] == "migration_failed"
        assert problem["values"] == {"why": "table requests already exists"}
    assert version(path) == 1


def test_going_back_is_refused_with_the_reason(call: Call, tmp_path: Path) -> None:
    path = store_of(tmp_path / "bleedwatch.sqlite", NOW)
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version = {NOW + 1}")

    refused = call("upgrade", "--check")

    assert refused.returncode == 78
    assert f"of version {NOW + 1}, this program knows {NOW}" in refused.stderr
    assert "install the newer program again" in refused.stderr


def test_without_a_store_there_is_nothing_to_upgrade(call: Call, tmp_path: Path) -> None:
    told = call("upgrade", "--check")

    assert told.returncode == 0
    assert "there is no store yet" in told.stdout
    assert not (tmp_path / "bleedwatch.sqlite").exists()
