"""What only the delivery service writes, and commands that manage it: how far deliveries are."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from sqlite3 import Row
from typing import Final

from agent.reasons import Reason, recalled
from agent.records import Clock, Identity
from agent.report import SeriesReport
from agent.store.database import Database, insert
from agent.store.queries import Queries
from agent.store.rows import (
    Delivery,
    Parcel,
    PriorWanted,
    acquisition_of,
    delivery_of,
    instant_of,
    moment_columns,
    reason_of,
    sources_of,
    stored_reason,
)
from agent.store.statements import IS_NEW, IS_PRIOR, IS_TEST, PENDING

ONE: Final = """
    series_uid = :series_uid AND revision = :revision AND channel = :channel AND signed = :signed
"""
"""Condition: this entry of the outbox."""

WAITING: Final = f"""
    SELECT * FROM outbox WHERE channel = ? AND {PENDING} AND NOT EXISTS (
        SELECT 1 FROM outbox AS former WHERE former.channel = outbox.channel
        AND former.series_uid = outbox.series_uid AND (former.signed = 0) = (outbox.signed = 0)
        AND (former.revision, former.signed) < (outbox.revision, outbox.signed)
        AND former.delivered_utc IS NULL AND former.dropped_utc IS NULL)
    ORDER BY since_utc
"""  # noqa: S608 - constants only
"""The entries of a channel, without those of a series whose earlier result waits too, or whose
earlier signed report does."""

PREDECESSOR: Final = """
    SELECT results.result_id, results.report FROM outbox JOIN results USING (series_uid, revision)
    WHERE series_uid = ? AND revision < ? AND channel = ? AND delivered_utc IS NOT NULL
    AND signed = 0 ORDER BY revision DESC LIMIT 1
"""

FORMER_SIGNED: Final = """
    SELECT coalesce(max(signed), 0) AS version FROM outbox
    WHERE series_uid = ? AND signed < ? AND channel = ? AND delivered_utc IS NOT NULL
"""

UNNEEDED: Final = f"""
    UPDATE sources SET box = NULL, labels = NULL
    WHERE series_uid = :series_uid AND revision = :revision AND NOT EXISTS (
        SELECT 1 FROM outbox WHERE outbox.series_uid = sources.series_uid
        AND outbox.revision = sources.revision AND channel <> 'console' AND signed = 0
        AND {PENDING})
"""  # noqa: S608 - constants only
"""The labels of a result that nobody has to be sent any more. What its images are called stays as
long as the result: a report on it may be signed later."""


SEEN: Final = f"""
    SELECT DISTINCT patient_id, patient_name, birth_date, sex, study_uid, accession FROM series
    WHERE last_utc >= ? AND {IS_NEW}
"""  # noqa: S608 - constants only

FORGOTTEN: Final = """
    DELETE FROM identity_doubts
    WHERE NOT EXISTS (SELECT 1 FROM series WHERE series.study_uid = identity_doubts.study_uid)
"""
"""Doubts about studies of which nothing is kept any more."""

PRIORS_WANTED: Final = f"""
    SELECT series.*, n_attempts, outcome, prior_fetches.at_utc AS tried_utc FROM series
    LEFT JOIN prior_fetches USING (study_uid)
    WHERE last_utc >= ? AND state = 'suspected' AND {IS_NEW} AND coalesce(is_over, 0) = 0
    AND study_uid NOT IN (SELECT study_uid FROM identity_doubts)
    ORDER BY last_utc DESC
"""  # noqa: S608 - constants only

UNNEEDED_OUTCOMES: Final = """
    DELETE FROM prior_fetches
    WHERE NOT EXISTS (SELECT 1 FROM series WHERE series.study_uid = prior_fetches.study_uid)
"""
"""Of studies of which nothing is kept any more."""

ANOTHER_ATTEMPT: Final = """
    ON CONFLICT (study_uid) DO UPDATE SET outcome = excluded.outcome, is_over = excluded.is_over,
        n_attempts = n_attempts + 1, at_utc = excluded.at_utc,
        at_monotonic_s = excluded.at_monotonic_s
"""

KNOWN_STUDY: Final = f"""
    SELECT 1 FROM series WHERE study_uid = ? AND NOT {IS_TEST}
    AND ({IS_PRIOR} OR state IN ('suspected', 'not_suspected')) LIMIT 1
"""  # noqa: S608 - constants only


class DeliveryStore:
    """The delivery service's access to the store; ``queries`` reads it."""

    def __init__(self, database: Database, clock: Clock) -> None:
        """Read and write this database."""
        self.queries = Queries(database)
        self._db = database
        self._clock = clock

    def waiting(self, channel: str) -> list[Delivery]:
        """Return what a channel has to deliver, oldest first; of a series the earliest alone.

        So a result always comes after the one whose place it takes.
        """
        return [delivery_of(row) for row in self._db.rows(WAITING, channel)]

    def parcel(self, delivery: Delivery) -> Parcel:
        """Return what a delivery is made of."""
        one = delivery.series_uid, delivery.revision
        (row,) = self._db.rows(
            "SELECT * FROM results JOIN series ON uid = series_uid"
            " WHERE series_uid = ? AND results.revision = ?",
            *one,
        )
        sources = self._db.rows("SELECT * FROM sources WHERE series_uid = ? AND revision = ?", *one)
        former = self._db.rows(PREDECESSOR, *one, delivery.channel)
        before = delivery.series_uid, delivery.signed, delivery.channel
        reports = self.queries.signed_reports([delivery.series_uid])
        return Parcel(
            report=_report(row),
            at=instant_of(row, "at"),
            identity=_identity(row),
            sources=sources_of(sources[0]) if sources else None,
            key_png=self.queries.picture(*one, "axial"),
            predecessor=former[0]["result_id"] if former else None,
            n_former_findings=len(_report(former[0]).findings) if former else 0,
            signed=next((one for one in reports if one.version == delivery.signed), None),
            former_signed=self._db.rows(FORMER_SIGNED, *before)[0]["version"],
        )

    def sent(self, delivery: Delivery, remark: Reason | None) -> None:
        """Store that a channel has taken all of a result, and what else came of that."""
        self._update(delivery, "problem = NULL, remark = :remark", "sent", remark=remark)

    def delivered(self, delivery: Delivery) -> None:
        """Store that a channel has confirmed that it keeps a result."""
        self._update(delivery, "problem = NULL", "delivered")

    def failed(self, delivery: Delivery, why: Reason, *, send_again: bool) -> None:
        """Store why an attempt failed; where ``send_again``, nothing is held to be sent."""
        anew = ", sent_utc = NULL, sent_monotonic_s = NULL" if send_again else ""
        self._update(delivery, f"n_attempts = n_attempts + 1, problem = :problem{anew}", why=why)

    def retry(self, delivery: Delivery) -> None:
        """Have a delivery begin anew, and at once."""
        self._update(
            delivery,
            "n_attempts = 0, problem = NULL, sent_utc = NULL, sent_monotonic_s = NULL",
        )

    def drop(self, delivery: Delivery) -> None:
        """Give a delivery up."""
        self._update(delivery, "problem = problem", "dropped")

    def seen_since(self, since: datetime) -> list[Identity]:
        """Return whose images came since a moment; no self-test's, and none that was fetched."""
        rows = self._db.rows(SEEN, since.astimezone(timezone.utc).isoformat())
        return [_identity(row) for row in rows]

    def doubts(self) -> dict[str, Reason]:
        """Return by study why it is doubted whose images it holds."""
        rows = self._db.rows("SELECT * FROM identity_doubts")
        return {row["study_uid"]: recalled(json.loads(row["reason"])) for row in rows}

    def doubt(self, study_uid: str, why: Reason | None) -> None:
        """Store why it is doubted whose images a study holds, or that it no longer is."""
        with self._db.writing() as db:
            db.execute("DELETE FROM identity_doubts WHERE study_uid = ?", (study_uid,))
            db.execute(FORGOTTEN)
            if why:
                moment = moment_columns("at", self._clock())
                insert(
                    db,
                    "identity_doubts",
                    {"study_uid": study_uid, "reason": stored_reason(why), **moment},
                )

    def priors_wanted(self, since: datetime) -> list[PriorWanted]:
        """Return the suspicions whose slices came since a moment, the latest first.

        None for which all is done, nor one of which it is doubted whose images it holds.
        """
        rows = self._db.rows(PRIORS_WANTED, since.astimezone(timezone.utc).isoformat())
        return [
            PriorWanted(
                identity=_identity(row),
                acquisition=acquisition_of(row),
                n_attempts=row["n_attempts"] or 0,
                tried_utc=datetime.fromisoformat(row["tried_utc"]) if row["tried_utc"] else None,
                problem=reason_of(row["outcome"]),
            )
            for row in rows
        ]

    def prior_tried(self, study_uid: str, outcome: Reason, *, over: bool) -> None:
        """Store what came of fetching a study's earlier examination, and whether that is all."""
        values = {
            "study_uid": study_uid,
            "outcome": stored_reason(outcome),
            "is_over": over,
            "n_attempts": 1,
            **moment_columns("at", self._clock()),
        }
        with self._db.writing() as db:
            db.execute(UNNEEDED_OUTCOMES)
            insert(db, "prior_fetches", values, ANOTHER_ATTEMPT)

    def has_prior(self, study_uid: str) -> bool:
        """Whether an earlier study need not be fetched: it was, or its answer is here."""
        return bool(self._db.rows(KNOWN_STUDY, study_uid))

    def _update(
        self,
        delivery: Delivery,
        assign: str,
        moment: str = "",
        *,
        why: Reason | None = None,
        remark: Reason | None = None,
    ) -> None:
        """Change an entry that is still pending; ``moment`` is what happened to it now."""
        now = moment_columns(moment, self._clock()) if moment else {}
        both = ", ".join((assign, *(f"{column} = :{column}" for column in now)))
        values = {
            "series_uid": delivery.series_uid,
            "revision": delivery.revision,
            "channel": delivery.channel,
            "signed": delivery.signed,
            "problem": stored_reason(why),
            "remark": stored_reason(remark),
        }
        with self._db.writing() as db:
            db.execute(f"UPDATE outbox SET {both} WHERE {ONE} AND {PENDING}", values | now)  # noqa: S608
            db.execute(UNNEEDED, values)


def _report(row: Row) -> SeriesReport:
    return SeriesReport.model_validate_json(row["report"])


def _identity(row: Row) -> Identity:
    return Identity(**{name: row[name] for name in Identity.__dataclass_fields__})
