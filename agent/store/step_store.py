"""What only the inlet writes: scanners' procedure steps, and how many images they list."""

from __future__ import annotations

from datetime import timedelta, timezone
from typing import Final

from agent.reasons import Reason
from agent.records import Clock, PerformedStep
from agent.store.database import Database, insert
from agent.store.rows import moment_columns

KEPT: Final = timedelta(days=2)
MOST: Final = 1000
"""Steps are kept so long, and so many. Ours: no scanner begins as many in a day."""

FORGET: Final = """
    DELETE FROM performed_steps WHERE at_utc < :before OR uid NOT IN
    (SELECT uid FROM performed_steps ORDER BY at_utc DESC, rowid DESC LIMIT :most)
"""

LIST: Final = """
    INSERT INTO performed_series (series_uid, step_uid, n_images) VALUES (?, ?, ?)
    ON CONFLICT (series_uid) DO UPDATE
    SET step_uid = excluded.step_uid, n_images = excluded.n_images
"""


class StepStore:
    """The inlet's access to the store."""

    def __init__(self, database: Database, clock: Clock) -> None:
        """Write to this database."""
        self._db = database
        self._clock = clock

    def record(self, step: PerformedStep) -> Reason | None:
        """Store that a step began or changed; returns why that cannot be, None where it is stored.

        Of a step that is discontinued no image is waited for any more.
        """
        now = self._clock()
        before = (now.utc - KEPT).astimezone(timezone.utc).isoformat()
        with self._db.writing() as db:
            db.execute(FORGET, {"before": before, "most": MOST})
            known = db.execute(
                "SELECT status FROM performed_steps WHERE uid = ?", (step.uid,)
            ).fetchone()
            if step.created:
                if known:
                    return Reason("step_known")
                values = {"uid": step.uid, "status": step.status, **moment_columns("at", now)}
                insert(db, "performed_steps", values)
            elif known is None:
                return Reason("step_unknown")
            elif known["status"] != "IN PROGRESS":
                return Reason("step_ended")
            db.execute(
                "UPDATE performed_steps SET status = ? WHERE uid = ?", (step.status, step.uid)
            )
            if step.images or step.status == "DISCONTINUED":
                db.execute("DELETE FROM performed_series WHERE step_uid = ?", (step.uid,))
            if step.status != "DISCONTINUED":
                db.executemany(LIST, [(uid, step.uid, n) for uid, n in step.images])
        return None
