"""What several of the store's transactions write of a series."""

from __future__ import annotations

import sqlite3
from typing import Final

from agent.records import Instant, State
from agent.store.rows import stored

NOTHING_NEW: Final = "nothing new"
"""Why a series is in the state of its last result again."""


def change(db: sqlite3.Connection, uid: str, state: State, detail: str, now: Instant) -> None:
    """Note that a series came into a state, and why."""
    db.execute(
        "INSERT INTO transitions (series_uid, state, detail, at_utc, at_monotonic_s)"
        " VALUES (?, ?, ?, ?, ?)",
        (uid, state, detail, *stored(now)),
    )


def attempted(db: sqlite3.Connection, uid: str) -> int:
    """Count an attempt that is about to begin; returns how many did not end."""
    db.execute("UPDATE series SET attempts = attempts + 1 WHERE uid = ?", (uid,))
    (attempts,) = db.execute("SELECT attempts FROM series WHERE uid = ?", (uid,)).fetchone()
    return int(attempts)


def ask_again(db: sqlite3.Connection, uid: str, now: Instant) -> bool:
    """Ask for a concluded series again, once; False if it is under way. See ``Store.request``."""
    row = db.execute("SELECT state FROM series WHERE uid = ?", (uid,)).fetchone()
    if row is None or row["state"] in (State.RECEIVING, State.ANALYSING):
        return False
    asked = db.execute(
        "INSERT INTO requests VALUES (?, ?, ?) ON CONFLICT DO NOTHING", (uid, *stored(now))
    )
    if asked.rowcount:
        db.execute(
            "UPDATE series SET attempts = 0, repeats = repeats + (state = ?) WHERE uid = ?",
            (State.NOT_ANALYSED, uid),
        )
        change(db, uid, State(row["state"]), "asked for again", now)
    return True


def answered(db: sqlite3.Connection, uid: str) -> bool:
    """Take note that a series is asked for no longer; whether it was."""
    return db.execute("DELETE FROM requests WHERE series_uid = ?", (uid,)).rowcount > 0
