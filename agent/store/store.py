"""The journal of every series, result, delivery and acknowledgement: one SQLite file.

The daemon writes it; the console reads it, and writes acknowledgements and receipts. What a call
has returned from is on the disk (WAL, synchronous=FULL).
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, astuple
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Final

from typing_extensions import Self

from agent.errors import StoreError
from agent.records import Arrival, Clock, State, is_test
from agent.report import SeriesReport
from agent.store.database import Database
from agent.store.reader import StoreReader
from agent.store.retention import forget_files, forget_series, forget_tests
from agent.store.rows import (
    Acknowledgement,
    AgentStatus,
    FileNote,
    Keep,
    Selftest,
    SeriesProgress,
    instant_of,
    path_text,
    stored,
)
from agent.store.totals import DISPOSITIONS, NOTICES, count, count_result

MOST_NOTICES: Final = 1000
MOST_SELFTESTS: Final = 400
"""A year's, and some run by hand."""


class Store(StoreReader):
    """The store, open: what it can be asked, and told. One object serves a process's threads."""

    def __init__(self, path: Path, clock: Clock) -> None:
        """Open ``path``, making or migrating it; StoreError if that cannot be done."""
        super().__init__(Database(path))
        self._clock = clock
        self._looked_to = ""

    def __enter__(self) -> Self:
        """Use as a context manager: closes at the end."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the store."""
        self._db.close()

    def note_files(self, files: Iterable[FileNote]) -> None:
        """Journal what became of files, replacing what was known of the same paths."""
        values = [(path_text(note.path), *astuple(note)[1:]) for note in files]
        if values:
            with self._db.writing() as db:
                db.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, ?)", values)

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
        who = progress.identity
        with self._db.writing() as db:
            before = db.execute(
                "SELECT state FROM series WHERE uid = ?", (progress.series_uid,)
            ).fetchone()
            db.execute(
                """
                INSERT INTO series VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0)
                ON CONFLICT (uid) DO UPDATE SET state = excluded.state,
                    description = excluded.description, protocol = excluded.protocol,
                    slices = excluded.slices, expected = excluded.expected,
                    last_utc = excluded.last_utc, last_monotonic_s = excluded.last_monotonic_s
                """,
                (
                    progress.series_uid,
                    who.patient_id,
                    who.patient_name,
                    who.birth_date,
                    who.sex,
                    who.study_uid,
                    who.accession,
                    progress.description,
                    progress.protocol,
                    State.RECEIVING,
                    progress.slices,
                    progress.expected,
                    *stored(progress.first_slice),
                    *stored(progress.last_slice),
                ),
            )
            if before is None or before["state"] != State.RECEIVING:
                self._change(db, progress.series_uid, State.RECEIVING, "")

    def begin_analysis(self, series_uid: str) -> int:
        """Say that a series is complete and about to be analysed; counts as ``begin_attempt``."""
        with self._db.writing() as db:
            db.execute("UPDATE series SET state = ? WHERE uid = ?", (State.ANALYSING, series_uid))
            self._change(db, series_uid, State.ANALYSING, "")
            return _attempted(db, series_uid)

    def begin_attempt(self, series_uid: str) -> int:
        """Say that the networks are about to run on a series; returns how often that did not end.

        It is on the disk before they run, so that a series that takes the process down is counted.
        """
        with self._db.writing() as db:
            return _attempted(db, series_uid)

    def end_attempt(self, series_uid: str) -> None:
        """Say that the process has survived what ``begin_attempt`` announced."""
        with self._db.writing() as db:
            db.execute("UPDATE series SET attempts = attempts - 1 WHERE uid = ?", (series_uid,))

    def conclude(
        self, report: SeriesReport, key_slice_png: bytes | None, channels: Sequence[str]
    ) -> bool:
        """Commit a result, the series' state and its deliveries together.

        Returns False, and alerts nobody, where the store has this very result already.
        """
        uid, now = report.series_uid, stored(self._clock())
        with self._db.writing() as db:
            same = db.execute(
                "SELECT revision, report FROM results WHERE result_id = ?", (report.result_id,)
            ).fetchone()
            if same is not None:
                report = SeriesReport.model_validate_json(same["report"])
            else:
                db.execute(
                    "INSERT INTO results VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    (
                        uid,
                        report.revision,
                        report.result_id,
                        report.state,
                        report.model_dump_json(),
                        key_slice_png,
                        *now,
                    ),
                )
                db.executemany(
                    "INSERT INTO outbox VALUES (?, ?, ?, ?, ?, NULL, NULL)",
                    [(uid, report.revision, channel, *now) for channel in channels],
                )
                if not is_test(uid):
                    count_result(db, report)
            db.execute(
                "UPDATE series SET state = ?, revision = ?, attempts = 0, protocol = ?"
                " WHERE uid = ?",
                (report.state, report.revision, report.protocol, uid),
            )
            self._change(db, uid, State(report.state), report.reason or "")
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
            if changed.rowcount:
                self._change(db, series_uid, State(row["state"]), "nothing new")

    def receipt(self, series_uid: str, revision: int, channel: str) -> None:
        """Note that a channel has delivered a result; the first receipt stands."""
        with self._db.writing() as db:
            db.execute(
                "UPDATE outbox SET delivered_utc = ?, delivered_monotonic_s = ?"
                " WHERE series_uid = ? AND revision = ? AND channel = ? AND delivered_utc IS NULL",
                (*stored(self._clock()), series_uid, revision, channel),
            )

    def acknowledge(self, series_uid: str, revision: int, who: str, note: str) -> Acknowledgement:
        """Note who took note of a result; the first one stands and is returned to all.

        Raises
        ------
        StoreError
            If there is no such result.
        """
        now = stored(self._clock())
        try:
            with self._db.writing() as db:
                given = db.execute(
                    "INSERT INTO acknowledgements VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                    (series_uid, revision, who, note, *now),
                )
                if given.rowcount and not is_test(series_uid):
                    count(db, DISPOSITIONS, "acknowledged")
                row = db.execute(
                    "SELECT * FROM acknowledgements WHERE series_uid = ? AND revision = ?",
                    (series_uid, revision),
                ).fetchone()
        except sqlite3.IntegrityError as error:
            raise StoreError(f"no result {revision} of series {series_uid}") from error
        return Acknowledgement(row["who"], instant_of(row, "at"), row["note"])

    def notice(self, kind: str, message: str) -> None:
        """Note something that concerns no series; the latest thousand are kept."""
        with self._db.writing() as db:
            db.execute(
                "INSERT INTO notices (kind, message, at_utc, at_monotonic_s) VALUES (?, ?, ?, ?)",
                (kind, message, *stored(self._clock())),
            )
            count(db, NOTICES, kind)
            db.execute(
                "DELETE FROM notices WHERE id <= (SELECT max(id) FROM notices) - ?",
                (MOST_NOTICES,),
            )

    def note_selftest(self, test: Selftest) -> None:
        """Journal a self-test; the latest ``MOST_SELFTESTS`` are kept."""
        measured = test.latency_s, test.volume_ml, test.truth_ml
        with self._db.writing() as db:
            db.execute(
                "INSERT INTO selftests VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?)",
                (test.failure, test.engine, *measured, test.shown, *stored(test.at)),
            )
            db.execute(
                "DELETE FROM selftests WHERE id <= (SELECT max(id) FROM selftests) - ?",
                (MOST_SELFTESTS,),
            )

    def forget_tests(self, before: datetime) -> None:
        """Forget self-tests' series that are over, or whose last slice came before a moment.

        For the agent alone: none is forgotten that is on its way in it.
        """
        forget_tests(self._db, before)

    def prune(self, keep: Keep, gone: Callable[[str], bool]) -> int:
        """Forget the oldest series that are too old or too many; returns how many.

        See ``retention``. ``gone`` tells of a path that it is not there.
        """
        too_old = self._clock().utc - timedelta(days=keep.days)
        too_much = self._db.used_bytes() > keep.bytes
        n_forgotten = forget_series(self._db, None if too_much else too_old)
        self._looked_to = forget_files(self._db, too_old, gone, self._looked_to)
        return n_forgotten

    def heartbeat(self, status: AgentStatus) -> None:
        """Note that the agent lives, and how it is."""
        with self._db.writing() as db:
            db.execute(
                "INSERT OR REPLACE INTO agent VALUES (1, ?)",
                (json.dumps(asdict(status), default=datetime.isoformat),),
            )

    def _change(self, db: sqlite3.Connection, uid: str, state: State, detail: str) -> None:
        db.execute(
            "INSERT INTO transitions (series_uid, state, detail, at_utc, at_monotonic_s)"
            " VALUES (?, ?, ?, ?, ?)",
            (uid, state, detail, *stored(self._clock())),
        )


def _attempted(db: sqlite3.Connection, series_uid: str) -> int:
    db.execute("UPDATE series SET attempts = attempts + 1 WHERE uid = ?", (series_uid,))
    (attempts,) = db.execute("SELECT attempts FROM series WHERE uid = ?", (series_uid,)).fetchone()
    return int(attempts)
