"""Writes that several transactions share."""

from __future__ import annotations

import sqlite3
from typing import Final

from agent.reasons import Reason
from agent.records import Instant, State
from agent.store.database import insert
from agent.store.rows import moment_columns, stored_reason
from agent.store.totals import NOTICES, count

MOST_NOTICES: Final = 1000
"""Notices kept: some hundred kilobytes, and more than anybody reads. Ours."""


def change(
    db: sqlite3.Connection, uid: str, state: State, reason: Reason | None, now: Instant
) -> None:
    """Store that a series changed its state, and why."""
    because = {"reason": stored_reason(reason)}
    changed = {"series_uid": uid, "state": state, **because, **moment_columns("at", now)}
    insert(db, "transitions", changed)


def ask_again(db: sqlite3.Connection, uid: str, now: Instant) -> bool:
    """Request the analysis of a concluded series again; see ``ConsoleStore.request``."""
    row = db.execute("SELECT state FROM series WHERE uid = ?", (uid,)).fetchone()
    if row is None or row["state"] in (State.RECEIVING, State.ANALYSING):
        return False
    request = {"series_uid": uid, **moment_columns("at", now)}
    asked = insert(db, "requests", request, "ON CONFLICT DO NOTHING")
    if asked.rowcount:
        db.execute(
            "UPDATE series SET attempts = 0, repeats = repeats + (state = ?) WHERE uid = ?",
            (State.NOT_ANALYSED, uid),
        )
        change(db, uid, State(row["state"]), Reason("asked_again"), now)
    return True


def answered(db: sqlite3.Connection, uid: str) -> bool:
    """Delete the request for a series; returns whether there was one."""
    return db.execute("DELETE FROM requests WHERE series_uid = ?", (uid,)).rowcount > 0


def add_notice(db: sqlite3.Connection, kind: str, reason: Reason, now: Instant) -> None:
    """Store a notice, which concerns no series; the latest ``MOST_NOTICES`` are kept."""
    notice = {"kind": kind, "reason": stored_reason(reason), **moment_columns("at", now)}
    insert(db, "notices", notice)
    count(db, NOTICES, kind)
    db.execute("DELETE FROM notices WHERE id <= (SELECT max(id) FROM notices) - ?", (MOST_NOTICES,))
