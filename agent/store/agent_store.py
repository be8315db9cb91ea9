"""What the agent alone writes: series, files, results, its own sign of life, and what it forgets.

What a call has returned from is on the disk (WAL, synchronous=FULL).
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
    """The store as the agent writes it; ``queries`` is what it may ask. All threads share one."""

    def __init__(self, database: Database, clock: Clock) -> None:
        """Write to this database."""
        self.queries = Queries(database)
        self._db = database
        self._clock = clock
        self._looked_to = ""

    def commit(self, effects: Iterable[Effect]) -> None:
        """Write effects of series' lives, in order, all of them or none."""
        now = self._clock()
        with self._db.writing() as db:
            for effect in effects:
                write(db, effect, now)

    def notice(self, kind: str, reason: Reason) -> None:
        """Note something that concerns no series; see ``changes.add_notice``."""
        with self._db.writing() as db:
            add_notice(db, kind, reason, self._clock())

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
            replace(db, "agent", {"id": 1, "status": status_text(status)})
