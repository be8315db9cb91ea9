"""What everybody but the agent writes: people's answers, receipts, requests, users, self-tests."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from agent.errors import StoreError
from agent.reasons import Reason
from agent.records import Clock, is_test
from agent.store.accounts import Accounts
from agent.store.changes import add_notice, ask_again
from agent.store.database import Database, insert, replace
from agent.store.queries import Queries
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

MOST_SELFTESTS: Final = 400
"""A year's daily self-tests, and some run by hand."""


class ConsoleStore:
    """The store as the console and the commands write it; ``queries`` is what they may ask."""

    def __init__(self, database: Database, clock: Clock) -> None:
        """Write to this database."""
        self.queries = Queries(database)
        self.accounts = Accounts(database)
        self._db = database
        self._clock = clock

    def receipt(self, series_uid: str, revision: int, channel: str) -> None:
        """Note that a channel has delivered a result; the first receipt stands."""
        delivery = {"series_uid": series_uid, "revision": revision, "channel": channel}
        with self._db.writing() as db:
            db.execute(
                "UPDATE outbox SET delivered_utc = :delivered_utc,"
                " delivered_monotonic_s = :delivered_monotonic_s WHERE series_uid = :series_uid"
                " AND revision = :revision AND channel = :channel AND delivered_utc IS NULL",
                delivery | moment_columns("delivered", self._clock()),
            )

    def escalated(self, series_uid: str, revision: int) -> None:
        """Note that a suspicion that nobody acknowledged was told elsewhere too."""
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
        """Note who took note of a result, or dismissed it; the first stands and is returned to all.

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
            if first.rowcount and not is_test(series_uid):
                count(db, DISPOSITIONS, dismissed_because or "acknowledged")
            row = db.execute(
                "SELECT * FROM acknowledgements WHERE series_uid = ? AND revision = ?",
                (series_uid, revision),
            ).fetchone()
        return stored_acknowledgement(row)

    def judge(self, series_uid: str, revision: int, who: str, note: str, *, agrees: bool) -> None:
        """Note what somebody thinks of a result; what the same person said before is replaced.

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
            if not is_test(series_uid):
                count(db, VERDICTS, verdict)

    def request(self, series_uid: str) -> bool:
        """Ask the agent to read and analyse a concluded series again; False if it is under way.

        A series that was *not analysed* is tried anew: its attempts are counted from the beginning,
        and its next answer is a result of its own. Any other has a new result only if its files or
        the engine have changed.
        """
        with self._db.writing() as db:
            return ask_again(db, series_uid, self._clock())

    def notice(self, kind: str, reason: Reason) -> None:
        """Note something that concerns no series; see ``changes.add_notice``."""
        with self._db.writing() as db:
            add_notice(db, kind, reason, self._clock())

    def note_selftest(self, test: Selftest) -> None:
        """Journal a self-test; the latest ``MOST_SELFTESTS`` are kept."""
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
    """Say of what was to be written that there is no such result."""
    try:
        yield
    except sqlite3.IntegrityError as error:
        raise StoreError("no_such_result", series_uid=series_uid, revision=revision) from error
