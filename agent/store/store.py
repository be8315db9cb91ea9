"""The journal of every series, result, delivery and acknowledgement: one SQLite file.

The daemon writes it; the console reads it, and writes acknowledgements and receipts. What a call
has returned from is on the disk (WAL, synchronous=FULL).
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, astuple
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Final

from typing_extensions import Self

from agent.errors import StoreError
from agent.records import Arrival, Clock, EncodedSlice, State, is_test
from agent.report import SeriesReport, SliceStack
from agent.store.access import Access
from agent.store.changes import NOTHING_NEW, answered, ask_again, attempted, change
from agent.store.database import Database
from agent.store.reader import StoreReader
from agent.store.retention import forget_files, forget_series, forget_tests, forgettable
from agent.store.rows import (
    AGREE,
    DISAGREE,
    Acknowledgement,
    AgentStatus,
    FileNote,
    Forgettable,
    Keep,
    Selftest,
    SeriesProgress,
    instant_of,
    path_text,
    stored,
)
from agent.store.slices import forget_slices, slices_bytes, slices_kept
from agent.store.totals import DISPOSITIONS, NOTICES, VERDICTS, count, count_result

MOST_NOTICES: Final = 1000
MOST_SELFTESTS: Final = 400
"""A year's, and some run by hand."""


class Store(StoreReader):
    """The store, open: what it can be asked, and told. One object serves a process's threads."""

    def __init__(self, path: Path, clock: Clock) -> None:
        """Open ``path``, making or migrating it; StoreError if that cannot be done."""
        database = Database(path)
        super().__init__(database)
        self.access = Access(database)
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
                INSERT INTO series VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0, 0)
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
        uid, now = report.series_uid, stored(self._clock())
        with self._db.writing() as db:
            same = db.execute(
                "SELECT revision, report FROM results WHERE result_id = ?", (report.result_id,)
            ).fetchone()
            if same is not None:
                report = SeriesReport.model_validate_json(same["report"])
            else:
                db.execute(
                    "INSERT INTO results VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (
                        uid,
                        report.revision,
                        report.result_id,
                        report.state,
                        report.model_dump_json(),
                        *now,
                    ),
                )
                db.executemany(
                    "INSERT INTO pictures VALUES (?, ?, ?, ?)",
                    [(uid, report.revision, *picture) for picture in pictures.items()],
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

    def request(self, series_uid: str) -> bool:
        """Ask the agent to read and analyse a concluded series again; False if it is under way.

        A series that was *not analysed* is tried anew: its attempts are counted from the beginning,
        and its next answer is a result of its own. Any other has a new result only if its files or
        the engine have changed.
        """
        with self._db.writing() as db:
            return ask_again(db, series_uid, self._clock())

    def decline(self, series_uid: str, reason: str) -> None:
        """Say that a series that was asked for again cannot be read; its result stands."""
        with self._db.writing() as db:
            row = db.execute("SELECT state FROM series WHERE uid = ?", (series_uid,)).fetchone()
            if row is not None and answered(db, series_uid):
                change(db, series_uid, State(row["state"]), reason, self._clock())

    def receipt(self, series_uid: str, revision: int, channel: str) -> None:
        """Note that a channel has delivered a result; the first receipt stands."""
        with self._db.writing() as db:
            db.execute(
                "UPDATE outbox SET delivered_utc = ?, delivered_monotonic_s = ?"
                " WHERE series_uid = ? AND revision = ? AND channel = ? AND delivered_utc IS NULL",
                (*stored(self._clock()), series_uid, revision, channel),
            )

    def escalated(self, series_uid: str, revision: int) -> None:
        """Note that a suspicion that nobody acknowledged was told elsewhere too."""
        now = stored(self._clock())
        with self._db.writing() as db:
            db.execute(
                "INSERT OR IGNORE INTO outbox VALUES (?, ?, 'escalation', ?, ?, ?, ?)",
                (series_uid, revision, *now, *now),
            )

    def acknowledge(
        self,
        series_uid: str,
        revision: int,
        who: str,
        note: str,
        dismissed_because: str | None = None,
    ) -> Acknowledgement:
        """Note who took note of a result, or dismissed it; the first stands and is returned to all.

        Raises
        ------
        StoreError
            If there is no such result.
        """
        values = (series_uid, revision, who, note, *stored(self._clock()), dismissed_because)
        with _known(series_uid, revision), self._db.writing() as db:
            first = db.execute(
                "INSERT INTO acknowledgements VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                values,
            )
            if first.rowcount and not is_test(series_uid):
                count(db, DISPOSITIONS, dismissed_because or "acknowledged")
            row = db.execute(
                "SELECT * FROM acknowledgements WHERE series_uid = ? AND revision = ?",
                (series_uid, revision),
            ).fetchone()
        return Acknowledgement(
            row["who"], instant_of(row, "at"), row["note"], row["dismissed_because"]
        )

    def judge(self, series_uid: str, revision: int, who: str, note: str, *, agrees: bool) -> None:
        """Note what somebody thinks of a result; what the same person said before is replaced.

        Raises
        ------
        StoreError
            If there is no such result.
        """
        verdict = AGREE if agrees else DISAGREE
        values = (series_uid, revision, who, verdict, note, *stored(self._clock()))
        with _known(series_uid, revision), self._db.writing() as db:
            db.execute("INSERT OR REPLACE INTO verdicts VALUES (?, ?, ?, ?, ?, ?, ?)", values)
            if not is_test(series_uid):
                count(db, VERDICTS, verdict)

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

    def forgettable(self, keep: Keep) -> Forgettable:
        """Say what ``forget`` would forget now, called until nothing is left to forget."""
        return forgettable(self._db, keep, self._clock().utc)

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
            db.execute(
                "INSERT OR REPLACE INTO agent VALUES (1, ?)",
                (json.dumps(asdict(status), default=datetime.isoformat),),
            )


@contextmanager
def _known(series_uid: str, revision: int) -> Iterator[None]:
    """Say of what was to be written that there is no such result."""
    try:
        yield
    except sqlite3.IntegrityError as error:
        raise StoreError(f"no result {revision} of series {series_uid}") from error
