"""Retention: which series and file notes are deleted, a few at a time, so that nobody waits.

A series is never deleted while it is under way, has a result that a channel has not delivered, or a
suspicion that nobody has acknowledged. The notes on its files stay while the files exist, or these
would be analysed again.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from agent.records import TEST_MARK, State
from agent.store.database import Database
from agent.store.rows import Forgettable, Keep, path_of
from agent.store.slices import slices_bytes
from agent.store.statements import PENDING, UNACKNOWLEDGED

MOST_PRUNED: Final = 100
"""Series deleted in one transaction, for which other writers wait. Ours."""

NEVER_UTC: Final = "9999"
"""Later than any moment, as text."""

PRUNED: Final = (
    ("requests", "series_uid"),
    ("transitions", "series_uid"),
    ("acknowledgements", "series_uid"),
    ("taken_back", "series_uid"),
    ("verdicts", "series_uid"),
    ("readings", "series_uid"),
    ("signed_reports", "series_uid"),
    ("drawings", "series_uid"),
    ("corrections", "series_uid"),
    ("outbox", "series_uid"),
    ("sources", "series_uid"),
    ("pictures", "series_uid"),
    ("volumes", "series_uid"),
    ("slices", "series_uid"),
    ("results", "series_uid"),
    ("series", "uid"),
)
"""Tables that a series is deleted from, by which column; referring tables first."""

PRUNABLE: Final = f"""
    SELECT uid FROM series WHERE state NOT IN (?, ?) AND last_utc < ?
    AND uid NOT IN (SELECT series_uid FROM outbox WHERE {PENDING})
    AND uid NOT IN ({UNACKNOWLEDGED})
    ORDER BY last_utc LIMIT ?
"""  # noqa: S608 - constants only

ALL_PRUNABLE: Final = PRUNABLE.replace("ORDER BY last_utc LIMIT ?", "")

OVER_TESTS: Final = """
    SELECT uid FROM series WHERE uid > ?1 AND uid < ?1 || 'a' AND state NOT IN (?2, ?3)
    AND (last_utc < ?4 OR EXISTS (
        SELECT 1 FROM acknowledgements AS given
        WHERE given.series_uid = uid AND given.revision = series.revision))
"""
"""Self-tests whose result was acknowledged, and abandoned ones. UIDs hold no letters, so that the
range by ``uid`` is that of the mark."""

MOST_LOOKED_AT: Final = 2000
"""Notes on files that are examined at one call. Ours."""

FILES_FROM: Final = """
    SELECT path, settled AND mtime_ns < ? AND (
        series_uid IS NULL OR series_uid NOT IN (SELECT uid FROM series)) AS orphan
    FROM files WHERE path > ? ORDER BY path LIMIT ?
"""
"""An ``orphan`` is an old file whose series was deleted, or which is no slice."""


def forgettable(database: Database, keep: Keep, now: datetime) -> Forgettable:
    """Return what ``forget_series`` would delete if it were called until nothing is left to delete.

    Bytes are estimated by the number of series, as if all were of one size.
    """
    too_old = (now - timedelta(days=keep.days)).isoformat()
    n_series = database.rows("SELECT count(*) AS n FROM series")[0]["n"]
    n_old, n_any = (
        database.rows(
            f"SELECT count(*) AS n FROM ({ALL_PRUNABLE})",  # noqa: S608 - constants only
            *(State.RECEIVING, State.ANALYSING, until),
        )[0]["n"]
        for until in (too_old, NEVER_UTC)
    )
    used = database.used_bytes() - slices_bytes(database)
    each = used / max(n_series, 1)
    turns = math.ceil(max(0, used - keep.bytes) / max(each, 1) / MOST_PRUNED)
    n_forgotten = max(n_old, min(n_any, turns * MOST_PRUNED))
    return Forgettable(n_series, used, n_forgotten, round(n_forgotten * each))


def forget_series(database: Database, before: datetime | None) -> int:
    """Delete the oldest series, of those before a moment or of all; returns how many."""
    until = before.isoformat() if before else NEVER_UTC
    with database.writing() as db:
        values = State.RECEIVING, State.ANALYSING, until, MOST_PRUNED
        uids = [(row["uid"],) for row in db.execute(PRUNABLE, values)]
        for table, column in PRUNED:
            db.executemany(f"DELETE FROM {table} WHERE {column} = ?", uids)  # noqa: S608
    return len(uids)


def forget_tests(database: Database, before: datetime) -> None:
    """Delete self-tests that were acknowledged, or whose last slice came before a moment."""
    values = TEST_MARK, State.RECEIVING, State.ANALYSING, before.isoformat()
    uids = [(row["uid"],) for row in database.rows(OVER_TESTS, *values)]
    if not uids:
        return
    with database.writing() as db:
        for table, column in (("files", "series_uid"), *PRUNED):
            db.executemany(f"DELETE FROM {table} WHERE {column} = ?", uids)  # noqa: S608


def forget_files(
    database: Database, before: datetime, gone: Callable[[str], bool], looked_to: str
) -> str:
    """Delete the notes on orphans, last changed before a moment, that are ``gone`` from the folder.

    Examines the next ``MOST_LOOKED_AT`` notes after the path ``looked_to``; returns the last path.
    """
    mtime_ns = int(before.timestamp() * 1e9)
    rows = database.rows(FILES_FROM, mtime_ns, looked_to, MOST_LOOKED_AT)
    orphans = [row["path"] for row in rows if row["orphan"]]
    forgotten = [(path,) for path in orphans if gone(path_of(path))]
    if forgotten:
        with database.writing() as db:
            db.executemany("DELETE FROM files WHERE path = ?", forgotten)
    return rows[-1]["path"] if len(rows) == MOST_LOOKED_AT else ""
