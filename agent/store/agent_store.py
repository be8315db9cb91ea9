"""What only the agent writes: series, files, results, its heartbeat; and retention.

When a call returns, what it wrote is on the disk (WAL, synchronous=FULL).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta

from agent.reasons import Reason
from agent.records import Clock, EncodedSlice
from agent.report import SliceStack
from agent.store.changes import add_notice
from agent.store.commit import write
from agent.store.database import Database, replace
from agent.store.effects import Effect
from agent.store.queries import Queries
from agent.store.retention import forget_files, forget_series, forget_tests
from agent.store.rows import AgentStatus, Keep, status_text
from agent.store.slices import forget_slices, slices_bytes, slices_kept


class AgentStore:
    """The agent's access to the store; ``queries`` reads it. One object serves all threads."""

    def __init__(self, database: Database, clock: Clock) -> None:
        """Read and write this database."""
        self.queries = Queries(database)
        self._db = database
        self._clock = clock
        self._looked_to = ""

    def commit(self, effects: Iterable[Effect]) -> None:
        """Write the effects of an event, in order, in one transaction."""
        now = self._clock()
        with self._db.writing() as db:
            for effect in effects:
                write(db, effect, now)

    def notice(self, kind: str, reason: Reason) -> None:
        """Store a notice, which concerns no series."""
        with self._db.writing() as db:
            add_notice(db, kind, reason, self._clock())

    def forget_tests(self, before: datetime) -> None:
        """Delete the series of self-tests that were acknowledged, or abandoned before a moment.

        None that the agent still receives or analyses is deleted.
        """
        forget_tests(self._db, before)

    def prune(self, keep: Keep, gone: Callable[[str], bool]) -> int:
        """Delete some series, and the notes on files that are gone; returns how many series.

        ``gone`` returns whether a path no longer exists. See ``retention``. Stored slices are not
        counted here: ``prune_slices`` deletes them.
        """
        n_forgotten = self.forget(keep)
        too_old = self._clock().utc - timedelta(days=keep.days)
        self._looked_to = forget_files(self._db, too_old, gone, self._looked_to)
        return n_forgotten

    def forget(self, keep: Keep) -> int:
        """Delete some of the oldest series, if too old or too many; returns how many."""
        too_old = self._clock().utc - timedelta(days=keep.days)
        too_much = self._db.used_bytes() - slices_bytes(self._db) > keep.bytes
        return forget_series(self._db, None if too_much else too_old)

    def keep_slices(
        self, series_uid: str, revision: int, stack: SliceStack, slices: Iterable[EncodedSlice]
    ) -> Iterator[None]:
        """Store the slices of a series' result, some at each step; shown after the last step.

        Raises StoreUnwritable where the disk has no space to spare. See ``slices``.
        """
        return slices_kept(self._db, (series_uid, revision), stack, slices, self._clock())

    def prune_slices(self, keep: Keep) -> int:
        """Delete stored slices that are too old or too many; returns of how many results.

        The results themselves stay: ``prune`` deletes them.
        """
        return forget_slices(self._db, keep, self._clock())

    def heartbeat(self, status: AgentStatus) -> None:
        """Store the agent's heartbeat: that it runs, and its state."""
        with self._db.writing() as db:
            replace(db, "agent", {"id": 1, "status": status_text(status)})
