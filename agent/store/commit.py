"""How each effect of a series' life is written, within the transaction of all of them."""

from __future__ import annotations

import sqlite3
from dataclasses import asdict
from typing import Final

from agent.reasons import Reason, recalled
from agent.records import Instant, State, is_new
from agent.store.changes import answered, change
from agent.store.database import insert, replace
from agent.store.effects import (
    BeginAttempt,
    Conclude,
    CountImage,
    Decline,
    Effect,
    EndAttempt,
    NoteFile,
    Restore,
    Settle,
    ShowAnalysis,
    ShowProgress,
)
from agent.store.examinations import answer_as_well, through_whom
from agent.store.rows import (
    FileNote,
    SeriesProgress,
    moment_columns,
    path_text,
    sources_columns,
    stored_acquisition,
    stored_reason,
)
from agent.store.totals import count_result

FURTHER_PROGRESS: Final = """
    ON CONFLICT (uid) DO UPDATE SET state = excluded.state,
        acquisition = excluded.acquisition,
        description = excluded.description, protocol = excluded.protocol,
        slices = excluded.slices, expected = excluded.expected,
        patient_id = excluded.patient_id, patient_name = excluded.patient_name,
        birth_date = excluded.birth_date, sex = excluded.sex, accession = excluded.accession,
        last_utc = excluded.last_utc, last_monotonic_s = excluded.last_monotonic_s
"""
"""Of a series that is known: its study stays, and when the first slice came."""

PERSON: Final = "patient_id", "patient_name", "birth_date", "sex", "accession"
"""What of an identity may be corrected at the source; the study is another one then."""


def write(db: sqlite3.Connection, effect: Effect, now: Instant) -> None:  # noqa: C901 - a table
    """Write one effect."""
    match effect:
        case NoteFile(note):
            _note_file(db, note)
        case ShowProgress(progress):
            _show_progress(db, progress, now)
        case CountImage(uid):
            db.execute("UPDATE series SET slices = slices + 1 WHERE uid = ?", (uid,))
        case ShowAnalysis(uid):
            db.execute("UPDATE series SET state = ? WHERE uid = ?", (State.ANALYSING, uid))
            change(db, uid, State.ANALYSING, None, now)
        case BeginAttempt(uid):
            db.execute("UPDATE series SET attempts = attempts + 1 WHERE uid = ?", (uid,))
        case EndAttempt(uid):
            db.execute("UPDATE series SET attempts = attempts - 1 WHERE uid = ?", (uid,))
        case Conclude():
            _conclude(db, effect, now)
        case Restore(uid, revision):
            _restore(db, uid, revision, now)
        case Settle(notes):
            _settle(db, notes)
        case Decline(uid, reason):
            _decline(db, uid, reason, now)


def _note_file(db: sqlite3.Connection, note: FileNote) -> None:
    stored = {"path": path_text(note.path), "refusal": stored_reason(note.refusal)}
    replace(db, "files", asdict(note) | stored)


def _settle(db: sqlite3.Connection, notes: tuple[FileNote, ...]) -> None:
    """Settle files by version: one that was written anew meanwhile is in no result."""
    db.executemany(
        "UPDATE files SET settled = 1 WHERE path = ? AND size_bytes = ? AND mtime_ns = ?",
        [(path_text(note.path), note.size_bytes, note.mtime_ns) for note in notes],
    )


def _show_progress(db: sqlite3.Connection, progress: SeriesProgress, now: Instant) -> None:
    uid = progress.series_uid
    series = {
        "uid": uid,
        **asdict(progress.identity),
        "description": progress.description,
        "protocol": progress.protocol,
        "state": State.RECEIVING,
        "slices": progress.slices,
        "expected": progress.expected,
        "acquisition": stored_acquisition(progress.acquisition),
        **moment_columns("first", progress.first_slice),
        **moment_columns("last", progress.last_slice),
    }
    before = db.execute("SELECT * FROM series WHERE uid = ?", (uid,)).fetchone()
    insert(db, "series", series, FURTHER_PROGRESS)
    if before is not None and any(before[name] != series[name] for name in PERSON):
        former = {name: before[name] for name in PERSON}
        insert(db, "corrections", {"series_uid": uid, **former, **moment_columns("at", now)})
        change(db, uid, State.RECEIVING, Reason("patient_corrected"), now)
    elif before is None or before["state"] != State.RECEIVING:
        change(db, uid, State.RECEIVING, None, now)


def _conclude(db: sqlite3.Connection, conclude: Conclude, now: Instant) -> None:
    report = conclude.report
    uid = report.series_uid
    named = {"series_uid": uid, "revision": report.revision}
    result = {
        "result_id": report.result_id,
        "state": report.state,
        "report": report.model_dump_json(),
        **moment_columns("at", now),
    }
    new_suspicion = report.state == State.SUSPECTED.value
    through_uid = through_whom(db, uid) if new_suspicion else None
    insert(db, "results", named | result)
    if through_uid is not None:
        answer_as_well(db, (uid, report.revision), through_uid)
    for view, png in conclude.pictures.items():
        insert(db, "pictures", named | {"view": view, "png": png})
    if conclude.sources is not None:
        insert(db, "sources", named | sources_columns(conclude.sources))
    for channel in conclude.channels:
        insert(db, "outbox", named | {"channel": channel, **moment_columns("since", now)})
    if is_new(uid):
        count_result(db, report)
    db.execute(
        "UPDATE series SET state = ?, revision = ?, attempts = 0, protocol = ? WHERE uid = ?",
        (report.state, report.revision, report.protocol, uid),
    )
    refusal = recalled(report.model_dump()) if report.code else None
    change(db, uid, State(report.state), refusal, now)
    answered(db, uid)


def _restore(db: sqlite3.Connection, uid: str, revision: int, now: Instant) -> None:
    (state,) = db.execute(
        "SELECT state FROM results WHERE series_uid = ? AND revision = ?", (uid, revision)
    ).fetchone()
    changed = db.execute(
        "UPDATE series SET state = ?1, revision = ?2, attempts = 0"
        " WHERE uid = ?3 AND (state, revision) <> (?1, ?2)",
        (state, revision, uid),
    )
    if answered(db, uid) or changed.rowcount:
        change(db, uid, State(state), Reason("nothing_new"), now)


def _decline(db: sqlite3.Connection, uid: str, reason: Reason, now: Instant) -> None:
    row = db.execute("SELECT state FROM series WHERE uid = ?", (uid,)).fetchone()
    if row is not None and answered(db, uid):
        change(db, uid, State(row["state"]), reason, now)
