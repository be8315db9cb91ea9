"""agent.store.upgrade: from every former version to this one, with a copy of before."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from agent.errors import StoreError, StoreUnwritable
from agent.reasons import Reason, english
from agent.store import former, upgrade
from agent.store.schema import MIGRATIONS
from agent.store.view import SeriesView
from agent.wiring import system_clock
from tests.agent.store.test_opening import OPEN
from tests.agent.stored import Store

WRITTEN_BY_59E1EA3 = Path(__file__).with_name("written_by_59e1ea3.sql")
"""What that program left behind: its agent was killed over five generated studies, one of them
half-sent; people had answered. Pictures and slices are cut short."""

FORMER = range(1, len(MIGRATIONS))


def store_of(path: Path, version: int) -> Path:
    """Make a store as a former program did, with a series in it."""
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        former.register(db)
        for migration in MIGRATIONS[:version]:
            db.executescript(migration)
        db.execute(
            "INSERT INTO series (uid, patient_id, patient_name, birth_date, sex, study_uid,"
            " accession, description, state, slices, expected, first_utc, first_monotonic_s,"
            " last_utc, last_monotonic_s) VALUES ('1.2.3', '', '', '', '', '1.2', '', '',"
            " 'receiving', 17, 0, '2026-01-01T00:00:00+00:00', 1.0, '2026-01-01T00:00:00+00:00', 1)"
        )
        db.execute(f"PRAGMA user_version = {version}")
        db.commit()
    return path


def version(path: Path) -> int:
    with closing(sqlite3.connect(path)) as db:
        return upgrade.version_of(db)


@pytest.mark.parametrize("former", FORMER)
def test_a_former_store_is_copied_beside_itself_and_then_upgraded(
    tmp_path: Path, former: int
) -> None:
    path = store_of(tmp_path / "store.sqlite", former)
    path.chmod(0o640)

    with Store(path, system_clock) as store:
        row = store.queries.series("1.2.3")

    assert row
    assert row.slices == 17
    assert version(path) == len(MIGRATIONS)
    (copy,) = upgrade.backups_of(path)
    assert copy.name == f"store.sqlite.v{former}.backup"
    assert version(copy) == former
    assert copy.stat().st_mode & 0o777 == 0o640
    with closing(sqlite3.connect(copy)) as db:
        assert db.execute("SELECT slices FROM series").fetchall() == [(17,)]


def test_neither_a_new_store_nor_one_of_this_version_is_copied(tmp_path: Path) -> None:
    for _ in range(2):
        with Store(tmp_path / "store.sqlite", system_clock):
            pass

    assert upgrade.backups_of(tmp_path / "store.sqlite") == []


@pytest.mark.slow
def test_two_processes_upgrade_a_store_once(tmp_path: Path) -> None:
    path = store_of(tmp_path / "store.sqlite", 1)
    openers = [
        subprocess.Popen([sys.executable, "-c", OPEN, str(path)], stdin=subprocess.PIPE)
        for _ in range(2)
    ]

    for opener in openers:
        opener.communicate(b"!")

    assert [opener.returncode for opener in openers] == [0, 0]
    assert len(upgrade.backups_of(path)) == 1
    with Store(path, system_clock) as store:
        assert len(store.queries.notices(9)) == 2


def test_only_the_latest_copies_are_kept(tmp_path: Path) -> None:
    path = store_of(tmp_path / "store.sqlite", 1)
    for number in range(100, 105):
        upgrade.back_up(path, number)

    names = [backup.name for backup in upgrade.backups_of(path)]
    assert names == [f"store.sqlite.v{number}.backup" for number in (104, 103, 102)]


def test_an_upgrade_that_fails_leaves_the_store_as_it_was(tmp_path: Path) -> None:
    path = store_of(tmp_path / "store.sqlite", 1)
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE INDEX suspicions ON results (state)")  # a later version's name is taken

    checked = upgrade.check(path)
    with pytest.raises(StoreError, match="suspicions already exists"):
        Store(path, system_clock)

    assert english(checked.problem) == "index suspicions already exists"
    assert version(path) == 1


def test_where_there_is_no_room_for_a_copy_nothing_is_upgraded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = store_of(tmp_path / "store.sqlite", 1)
    monkeypatch.setattr(upgrade, "SPARE_BYTES", 10**18)

    checked = upgrade.check(path)
    with pytest.raises(StoreUnwritable, match="MB are free"):
        Store(path, system_clock)

    assert checked.problem
    assert "a copy of it needs 1000000" in english(checked.problem)
    assert version(path) == 1


def test_a_check_says_what_would_be_run_and_touches_nothing(tmp_path: Path) -> None:
    path = store_of(tmp_path / "store.sqlite", 1)
    before = path.read_bytes()

    checked = upgrade.check(path)

    assert (checked.version, checked.program_version) == (1, len(MIGRATIONS))
    assert checked.statements[0].startswith("CREATE INDEX suspicions")
    assert checked.problem is None
    assert path.read_bytes() == before
    assert {one.name for one in tmp_path.iterdir()} <= {
        path.name,
        f"{path.name}-wal",
        f"{path.name}-shm",
    }


def test_a_check_finds_damage(tmp_path: Path) -> None:
    path = store_of(tmp_path / "store.sqlite", 1)
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA foreign_keys = OFF")
        db.execute("INSERT INTO transitions VALUES (1, '9.9.9', 'receiving', '', '', 0)")
        db.commit()

    assert upgrade.check(path).problem == Reason(
        "store_row_dangling", table="transitions", to="series"
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_copy_made_by_root_is_the_services_own(tmp_path: Path) -> None:
    path = store_of(tmp_path / "store.sqlite", 1)
    os.chown(path, 65534, 65534)

    assert upgrade.back_up(path, 1).stat().st_uid == 65534


@pytest.fixture
def left_behind(tmp_path: Path) -> Path:
    path = tmp_path / "bleedwatch.sqlite"
    with closing(sqlite3.connect(path)) as db:
        db.executescript(WRITTEN_BY_59E1EA3.read_text())
    return path


def rows_of(path: Path, statement: str) -> list[tuple]:
    with closing(sqlite3.connect(path)) as db:
        return db.execute(statement).fetchall()


def n_rows(path: Path) -> dict[str, int]:
    tables = rows_of(path, "SELECT name FROM sqlite_master WHERE type = 'table'")
    return {name: rows_of(path, f"SELECT count(*) FROM {name}")[0][0] for (name,) in tables}


def test_every_row_that_59e1ea3_wrote_is_still_there(left_behind: Path) -> None:
    before = n_rows(left_behind)

    with Store(left_behind, system_clock):
        pass

    after = n_rows(left_behind)
    assert {table: n for table, n in after.items() if table in before} == before
    assert min(before.values()) > 0, "a table of which this store shows nothing"


def test_every_result_of_59e1ea3_says_what_it_said(left_behind: Path) -> None:
    written = rows_of(left_behind, "SELECT series_uid, revision, report FROM results")

    with Store(left_behind, system_clock) as store:
        read = {
            (view.series_uid, result.report.revision): result.report
            for row in store.queries.latest(99)
            for view in [SeriesView.of(row).with_history(store.queries)]
            for result in view.results
        }

    assert len(read) == len(written) > 5
    for series_uid, revision, text in written:
        former, report = json.loads(text), read[series_uid, revision]
        for name in ("study_uid", "result_id", "state", "score", "total_volume_ml", "protocol"):
            assert getattr(report, name) == former[name]
        volumes_ml = [finding["volume_ml"] for finding in former["findings"]]
        assert [finding.volume_ml for finding in report.findings] == volumes_ml


def test_what_people_and_the_box_had_done_by_59e1ea3_still_counts(left_behind: Path) -> None:
    with Store(left_behind, system_clock) as store:
        queries = store.queries
        rows = queries.latest(99)

        (alert,) = [row for row in rows if row.alert]
        assert alert.escalated_at
        (dismissed,) = [row for row in rows if row.acknowledged]
        assert (dismissed.acknowledged.who, dismissed.acknowledged.dismissed_because) == (
            "Ann",
            "artefact",
        )
        (judged,) = [row for row in rows if row.verdict]
        assert (judged.verdict.who, judged.verdict.agrees) == ("Dr Bob", False)
        assert queries.unfinished() == ["1.2.826.0.1.3680043.8.498.7"]
        assert len(queries.files_of("1.2.826.0.1.3680043.8.498.7")) == 3
        assert len(queries.requested()) == 1
        assert len(queries.selftests(9)) == 2
        assert [notice.kind for notice in queries.notices(9)] == ["file_refused"]
        assert queries.user_roles() == ["technologist"]
        assert queries.stack(alert.uid, 1)
        assert queries.picture(alert.uid, 1, "axial")
        status = queries.agent_status()
        assert status
        assert status.folder == "/srv/ct-export"
        assert sum(queries.totals().results.values()) == n_rows(left_behind)["results"]
