"""What the console and the commands write: answers, receipts, requests, users, self-tests."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from agent.errors import StoreError
from agent.reasons import Reason
from agent.records import Clock, is_new
from agent.store.accounts import Accounts
from agent.store.changes import add_notice, ask_again
from agent.store.database import Database, insert, replace
from agent.store.drawings import MOST_KEPT, DrawnSegment
from agent.store.examinations import answer_beside
from agent.store.extents import Extent
from agent.store.queries import Queries
from agent.store.readings import (
    READING,
    Judgement,
    Reading,
    Section,
    SignedReport,
    reading_of,
    signed_report_of,
)
from agent.store.rows import (
    AGREE,
    DISAGREE,
    Acknowledgement,
    Selftest,
    moment_columns,
    stored_acknowledgement,
    stored_reason,
)
from agent.store.totals import DISPOSITIONS, VERDICTS, count

TAKE_BACK: Final = """
    INSERT INTO taken_back (series_uid, revision, who, note, dismissed_because, at_utc,
        at_monotonic_s, through_uid, by_whom, back_utc, back_monotonic_s)
    SELECT other.series_uid, other.revision, other.who, other.note, other.dismissed_because,
        other.at_utc, other.at_monotonic_s, other.through_uid, :by_whom, :back_utc,
        :back_monotonic_s
    FROM acknowledgements AS given
    JOIN acknowledgements AS other ON coalesce(other.through_uid, other.series_uid)
            = coalesce(given.through_uid, given.series_uid)
        AND other.at_utc = given.at_utc AND other.who = given.who
    WHERE given.series_uid = :uid AND given.revision = :revision
"""
"""Copies an answer, and what was taken for one with it: those have its author and time."""

FORGET_ANSWER: Final = """
    DELETE FROM acknowledgements WHERE EXISTS (
        SELECT 1 FROM taken_back AS former WHERE former.id = ?
        AND former.series_uid = acknowledgements.series_uid
        AND former.revision = acknowledgements.revision)
"""

MOST_SELFTESTS: Final = 400
"""A year's daily self-tests, and some run by hand."""


TOO_MANY_DRAWINGS: Final = """
    DELETE FROM drawings WHERE series_uid = ? AND sop_uid NOT IN (
        SELECT sop_uid FROM drawings WHERE series_uid = ? ORDER BY at_utc DESC, sop_uid LIMIT ?)
"""


class ConsoleStore:
    """The console's and the commands' access to the store; ``queries`` reads it."""

    def __init__(self, database: Database, clock: Clock) -> None:
        """Read and write this database."""
        self.queries = Queries(database)
        self.accounts = Accounts(database)
        self._db = database
        self._clock = clock

    def receipt(self, series_uid: str, revision: int, channel: str) -> None:
        """Store that a channel has delivered a result; the first receipt stands."""
        delivery = {"series_uid": series_uid, "revision": revision, "channel": channel}
        with self._db.writing() as db:
            db.execute(
                "UPDATE outbox SET delivered_utc = :delivered_utc,"
                " delivered_monotonic_s = :delivered_monotonic_s WHERE series_uid = :series_uid"
                " AND revision = :revision AND channel = :channel AND delivered_utc IS NULL",
                delivery | moment_columns("delivered", self._clock()),
            )

    def correction_recorded(self, correction_id: int) -> None:
        """Note that a correction of a patient is in the audit log."""
        with self._db.writing() as db:
            db.execute("UPDATE corrections SET recorded = 1 WHERE id = ?", (correction_id,))

    def escalated(self, series_uid: str, revision: int) -> None:
        """Store that an alert which nobody acknowledged was escalated."""
        now = self._clock()
        delivery = {
            "series_uid": series_uid,
            "revision": revision,
            "channel": "escalation",
            **moment_columns("since", now),
            **moment_columns("delivered", now),
        }
        with self._db.writing() as db:
            insert(db, "outbox", delivery, "ON CONFLICT DO NOTHING")

    def acknowledge(
        self,
        series_uid: str,
        revision: int,
        who: str,
        note: str,
        dismissed_because: str | None = None,
    ) -> Acknowledgement:
        """Store who acknowledged or dismissed a result; the first stands, and is returned.

        It is an answer to all that waits in the examination; a dismissal, to what was shown of it.

        Raises
        ------
        StoreError
            If there is no such result.
        """
        values = {
            "series_uid": series_uid,
            "revision": revision,
            "who": who,
            "note": note,
            "dismissed_because": dismissed_because,
            **moment_columns("at", self._clock()),
        }
        with _known(series_uid, revision), self._db.writing() as db:
            first = insert(db, "acknowledgements", values, "ON CONFLICT DO NOTHING")
            if first.rowcount and is_new(series_uid):
                count(db, DISPOSITIONS, dismissed_because or "acknowledged")
            if first.rowcount:
                answer_beside(db, series_uid, only_shown=dismissed_because is not None)
            row = db.execute(
                "SELECT * FROM acknowledgements WHERE series_uid = ? AND revision = ?",
                (series_uid, revision),
            ).fetchone()
        return stored_acknowledgement(row)

    def take_answer_back(self, series_uid: str, revision: int, by_whom: str) -> list[str]:
        """Take back the answer to a result and to all that it was given for; return their series.

        What it was, whose, and who took it back when, is kept. What waited for an answer waits
        again. Empty where there is no answer.
        """
        given = {"uid": series_uid, "revision": revision, "by_whom": by_whom}
        values = given | moment_columns("back", self._clock())
        with self._db.writing() as db:
            rows = db.execute(f"{TAKE_BACK} RETURNING id, series_uid", values).fetchall()
            db.executemany(FORGET_ANSWER, [(row["id"],) for row in rows])
        return [row["series_uid"] for row in rows]

    def judge(self, series_uid: str, revision: int, who: str, note: str, *, agrees: bool) -> None:
        """Store somebody's verdict on a result, in place of the same person's former one.

        Raises
        ------
        StoreError
            If there is no such result.
        """
        verdict = AGREE if agrees else DISAGREE
        values = {
            "series_uid": series_uid,
            "revision": revision,
            "who": who,
            "verdict": verdict,
            "note": note,
            **moment_columns("at", self._clock()),
        }
        with _known(series_uid, revision), self._db.writing() as db:
            replace(db, "verdicts", values)
            if is_new(series_uid):
                count(db, VERDICTS, verdict)

    def read(
        self,
        series_uid: str,
        revision: int,
        who: str,
        judgement: Judgement,
        drawn: tuple[Extent, float] | None = None,
    ) -> Reading:
        """Store what a radiologist made of one finding, beside the result.

        ``drawn`` is the extent that goes with it, and its volume [mL].

        Raises
        ------
        StoreError
            If there is no such result.
        """
        values = {
            "series_uid": series_uid,
            "revision": revision,
            "judgement": judgement.model_dump_json(),
            "who": who,
            **moment_columns("at", self._clock()),
        }
        with _known(series_uid, revision), self._db.writing() as db:
            reading_id = insert(db, "readings", values).lastrowid
            if drawn:
                runs_z, volume_ml = drawn[0].packed(), drawn[1]
                extent = {"reading_id": reading_id, "runs_z": runs_z, "volume_ml": volume_ml}
                insert(db, "extents", extent)
            row = db.execute(f"{READING} WHERE id = ?", (reading_id,)).fetchone()
        return reading_of(row)

    def take_back(self, series_uid: str, revision: int, who: str, reading_id: int) -> Reading:
        """Store that a reading is taken back; the first to do so stands.

        Raises
        ------
        StoreError
            If there is no such reading of this result.
        """
        of_result = (reading_id, series_uid, revision)
        with self._db.writing() as db:
            db.execute(
                "UPDATE readings SET taken_back_by = :who, taken_back_utc = :taken_back_utc,"
                " taken_back_monotonic_s = :taken_back_monotonic_s"
                " WHERE id = :id AND series_uid = :uid AND revision = :revision"
                " AND taken_back_by IS NULL",
                dict(zip(("id", "uid", "revision"), of_result, strict=True))
                | {"who": who, **moment_columns("taken_back", self._clock())},
            )
            row = db.execute(
                f"{READING} WHERE id = ? AND series_uid = ? AND revision = ?", of_result
            ).fetchone()
        if row is None:
            raise StoreError("no_such_reading", series_uid=series_uid, revision=revision)
        return reading_of(row)

    def sign(
        self,
        result: tuple[str, int],
        who: str,
        language: str,
        sections: Sequence[Section],
        channels: Sequence[str] = (),
    ) -> SignedReport:
        """Store a signed report on a result (series UID, revision), as the series' next version.

        It is put into the outbox for each of ``channels``.

        Raises
        ------
        StoreError
            If there is no such result.
        """
        (uid, revision), now = result, self._clock()
        of_result = {"series_uid": uid, "revision": revision}
        values = of_result | {
            "language": language,
            "sections": json.dumps([one.model_dump(mode="json") for one in sections]),
            "who": who,
            **moment_columns("at", now),
        }
        with _known(*result), self._db.writing() as db:
            (last,) = db.execute(
                "SELECT coalesce(max(version), 0) FROM signed_reports WHERE series_uid = ?", (uid,)
            ).fetchone()
            insert(db, "signed_reports", values | {"version": last + 1})
            for channel in channels:
                entry = {"channel": channel, "signed": last + 1, **moment_columns("since", now)}
                insert(db, "outbox", of_result | entry)
            row = db.execute(
                "SELECT * FROM signed_reports WHERE series_uid = ? AND version = ?", (uid, last + 1)
            ).fetchone()
        return signed_report_of(row)

    def draw(
        self, result: tuple[str, int], sop_uid: str, who: str, segments: Sequence[DrawnSegment]
    ) -> None:
        """Store what somebody outlined on a series, beside its result (series UID, revision).

        What is sent again stands in its own place; of a series the latest ``MOST_KEPT`` are kept.
        """
        uid, revision = result
        values = {
            "sop_uid": sop_uid,
            "series_uid": uid,
            "revision": revision,
            "who": who,
            "segments": json.dumps([one.model_dump() for one in segments]),
            **moment_columns("at", self._clock()),
        }
        with self._db.writing() as db:
            replace(db, "drawings", values)
            db.execute(TOO_MANY_DRAWINGS, (uid, uid, MOST_KEPT))

    def request(self, series_uid: str) -> bool:
        """Request that the agent analyses a concluded series again; False if it is under way.

        A series that was *not analysed* gets a new result in any case, and its attempts are counted
        from zero. Any other gets one only if its files or the bundle have changed.
        """
        with self._db.writing() as db:
            return ask_again(db, series_uid, self._clock())

    def notice(self, kind: str, reason: Reason) -> None:
        """Store a notice, which concerns no series."""
        with self._db.writing() as db:
            add_notice(db, kind, reason, self._clock())

    def note_selftest(self, test: Selftest) -> None:
        """Store the outcome of a self-test; the latest ``MOST_SELFTESTS`` are kept."""
        values = {
            "failure": stored_reason(test.failure),
            "engine": test.engine.model_dump_json() if test.engine else None,
            "latency_s": test.latency_s,
            "volume_ml": test.volume_ml,
            "truth_ml": test.truth_ml,
            "shown": test.shown,
            **moment_columns("at", test.at),
        }
        with self._db.writing() as db:
            insert(db, "selftests", values)
            db.execute(
                "DELETE FROM selftests WHERE id <= (SELECT max(id) FROM selftests) - ?",
                (MOST_SELFTESTS,),
            )


@contextmanager
def _known(series_uid: str, revision: int) -> Iterator[None]:
    """Turn a violated foreign key into StoreError: there is no such result."""
    try:
        yield
    except sqlite3.IntegrityError as error:
        raise StoreError("no_such_result", series_uid=series_uid, revision=revision) from error
