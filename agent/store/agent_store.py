"""What the agent alone writes: series, files, results, its own sign of life, and what it forgets.

What a call has returned from is on the disk (WAL, synchronous=FULL).
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Final

from agent.records import Arrival, Clock, EncodedSlice, Instant, State, is_test
from agent.report import SeriesReport, SliceStack
from agent.store.changes import NOTHING_NEW, add_notice, answered, attempted, change
from agent.store.database import Database, insert, replace
from agent.store.queries import Queries
from agent.store.retention import forget_files, forget_series, forget_tests
from agent.store.rows import (
    AgentStatus,
    FileNote,
    Keep,
    SeriesProgress,
    moment_columns,
    path_text,
)
from agent.store.slices import forget_slices, slices_bytes, slices_kept
from agent.store.totals import count_result

FURTHER_PROGRESS: Final = """
    ON CONFLICT (uid) DO UPDATE SET state = excluded.state,
        description = excluded.description, protocol = excluded.protocol,
        slices = excluded.slices, expected = excluded.expected,
        last_utc = excluded.last_utc, last_monotonic_s = excluded.last_monotonic_s
"""
"""Of a series that is known: who the patient is stays, and when the first slice came."""


class AgentStore:
    """The store as the agent writes it; ``queries`` is what it may ask. All threads share one."""

    def __init__(self, database: Database, clock: Clock) -> None:
        """Write to this database."""
        self.queries = Queries(database)
        self._db = database
        self._clock = clock
        self._looked_to = ""

    def note_files(self, files: Iterable[FileNote]) -> None:
        """Journal what became of files, replacing what was known of the same paths."""
        notes = [asdict(note) | {"path": path_text(note.path)} for note in files]
        if notes:
            with self._db.writing() as db:
                for note in notes:
                    replace(db, "files", note)

    def settle_files(self, files: Iterable[Arrival]) -> None:
        """Say that what these versions of files hold is in a result.

        By version and not by series: a slice that came while its series was being analysed is in no
        result yet, and must be read again if the agent ends now.
        """
        values = [(path_text(str(file.path)), file.size_bytes, file.mtime_ns) for file in files]
        with self._db.writing() as db:
            db.executemany(
                "UPDATE files SET settled = 1 WHERE path = ? AND size_bytes = ? AND mtime_ns = ?",
                values,
            )

    def progress(self, progress: SeriesProgress) -> None:
        """Say that a series is being received, and how far it is."""
        series = {
            "uid": progress.series_uid,
            **asdict(progress.identity),
            "description": progress.description,
            "protocol": progress.protocol,
            "state": State.RECEIVING,
            "slices": progress.slices,
            "expected": progress.expected,
            **moment_columns("first", progress.first_slice),
            **moment_columns("last", progress.last_slice),
        }
        with self._db.writing() as db:
            before = db.execute(
                "SELECT state FROM series WHERE uid = ?", (progress.series_uid,)
            ).fetchone()
            insert(db, "series", series, FURTHER_PROGRESS)
            if before is None or before["state"] != State.RECEIVING:
                change(db, progress.series_uid, State.RECEIVING, "", self._clock())

    def begin_analysis(self, series_uid: str) -> int:
        """Say that a series is complete and about to be analysed; counts as ``begin_attempt``."""
        with self._db.writing() as db:
            db.execute("UPDATE series SET state = ? WHERE uid = ?", (State.ANALYSING, series_uid))
            change(db, series_uid, State.ANALYSING, "", self._clock())
            return attempted(db, series_uid)

    def begin_attempt(self, series_uid: str) -> int:
        """Say that the networks are about to run on a series; returns how often that did not end.

        It is on the disk before they run, so that a series that takes the process down is counted.
        """
        with self._db.writing() as db:
            return attempted(db, series_uid)

    def end_attempt(self, series_uid: str) -> None:
        """Say that the process has survived what ``begin_attempt`` announced."""
        with self._db.writing() as db:
            db.execute("UPDATE series SET attempts = attempts - 1 WHERE uid = ?", (series_uid,))

    def conclude(
        self, report: SeriesReport, pictures: Mapping[str, bytes], channels: Sequence[str]
    ) -> bool:
        """Commit a result, its ``pictures`` (PNG by view), the series' state and its deliveries.

        Returns False, and alerts nobody, where the store has this very result already.
        """
        uid = report.series_uid
        with self._db.writing() as db:
            same = db.execute(
                "SELECT revision, report FROM results WHERE result_id = ?", (report.result_id,)
            ).fetchone()
            if same is not None:
                report = SeriesReport.model_validate_json(same["report"])
            else:
                _add_result(db, report, pictures, channels, self._clock())
            db.execute(
                "UPDATE series SET state = ?, revision = ?, attempts = 0, protocol = ?"
                " WHERE uid = ?",
                (report.state, report.revision, report.protocol, uid),
            )
            change(db, uid, State(report.state), report.reason or "", self._clock())
            answered(db, uid)
        return same is None

    def restore(self, series_uid: str) -> None:
        """Give a series the state of its latest result again: what came since was nothing new."""
        with self._db.writing() as db:
            row = db.execute(
                "SELECT state FROM results WHERE series_uid = ? ORDER BY revision DESC",
                (series_uid,),
            ).fetchone()
            changed = db.execute(
                "UPDATE series SET state = ? WHERE uid = ? AND state <> ?",
                (row["state"], series_uid, row["state"]),
            )
            was_asked_for = answered(db, series_uid)
            if changed.rowcount or was_asked_for:
                change(db, series_uid, State(row["state"]), NOTHING_NEW, self._clock())

    def decline(self, series_uid: str, reason: str) -> None:
        """Say that a series that was asked for again cannot be read; its result stands."""
        with self._db.writing() as db:
            row = db.execute("SELECT state FROM series WHERE uid = ?", (series_uid,)).fetchone()
            if row is not None and answered(db, series_uid):
                change(db, series_uid, State(row["state"]), reason, self._clock())

    def notice(self, kind: str, message: str) -> None:
        """Note something that concerns no series; see ``changes.add_notice``."""
        with self._db.writing() as db:
            add_notice(db, kind, message, self._clock())

    def forget_tests(self, before: datetime) -> None:
        """Forget self-tests' series that are over, or whose last slice came before a moment.

        For the agent alone: none is forgotten that is on its way in it.
        """
        forget_tests(self._db, before)

    def prune(self, keep: Keep, gone: Callable[[str], bool]) -> int:
        """Forget some series, and files that are gone; returns how many series.

        See ``retention``. ``gone`` tells of a path that it is not there. The slices that are kept
        with suspicions do not count: ``prune_slices``.
        """
        n_forgotten = self.forget(keep)
        too_old = self._clock().utc - timedelta(days=keep.days)
        self._looked_to = forget_files(self._db, too_old, gone, self._looked_to)
        return n_forgotten

    def forget(self, keep: Keep) -> int:
        """Forget some of the oldest series that are too old or too many; returns how many."""
        too_old = self._clock().utc - timedelta(days=keep.days)
        too_much = self._db.used_bytes() - slices_bytes(self._db) > keep.bytes
        return forget_series(self._db, None if too_much else too_old)

    def keep_slices(
        self, series_uid: str, revision: int, stack: SliceStack, slices: Iterable[EncodedSlice]
    ) -> Iterator[None]:
        """Keep the slices of a suspicion, some at each step; none is shown before the last step.

        Raises StoreUnwritable where the disk has no room to spare. See ``slices``.
        """
        return slices_kept(self._db, (series_uid, revision), stack, slices, self._clock())

    def prune_slices(self, keep: Keep) -> int:
        """Forget slices that are too old or too many; returns of how many results. See ``slices``.

        What is kept of the results is ``prune``'s.
        """
        return forget_slices(self._db, keep, self._clock())

    def heartbeat(self, status: AgentStatus) -> None:
        """Note that the agent lives, and how it is."""
        with self._db.writing() as db:
            text = json.dumps(asdict(status), default=datetime.isoformat)
            replace(db, "agent", {"id": 1, "status": text})


def _add_result(
    db: sqlite3.Connection,
    report: SeriesReport,
    pictures: Mapping[str, bytes],
    channels: Sequence[str],
    now: Instant,
) -> None:
    """Add a result that the store does not have, in the transaction under way."""
    named = {"series_uid": report.series_uid, "revision": report.revision}
    result = {
        "result_id": report.result_id,
        "state": report.state,
        "report": report.model_dump_json(),
        **moment_columns("at", now),
    }
    insert(db, "results", named | result)
    for view, png in pictures.items():
        insert(db, "pictures", named | {"view": view, "png": png})
    for channel in channels:
        insert(db, "outbox", named | {"channel": channel, **moment_columns("since", now)})
    if not is_test(report.series_uid):
        count_result(db, report)
