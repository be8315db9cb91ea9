"""A suspicion that nobody acknowledges is told elsewhere too: POSTed to a URL of the site's.

The page, a pager's gateway or a chat's webhook is the site's; what is sent names nobody: UIDs and
findings. Told at least once: a restart between the answer and its note in the store tells again.
"""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from starlette.concurrency import run_in_threadpool
from structlog.typing import FilteringBoundLogger

from agent.console.settings import PageSettings
from agent.console.snapshot import age_s
from agent.errors import StoreUnwritable
from agent.records import Clock
from agent.store.console_store import ConsoleStore
from agent.store.rows import SeriesRow

LOOK_S: Final = 1.0

AGAIN_S: Final = 15.0
"""Between two attempts to tell of one suspicion [s]. Ours: a gateway restarts in less than many."""

ANSWER_S: Final = 10.0


class Escalation:
    """Looks for suspicions that have waited too long, and tells of them.

    ``problems`` says by series UID why one could not be told.
    """

    def __init__(
        self,
        store: ConsoleStore,
        clock: Clock,
        boot_id: str,
        settings: PageSettings,
        log: FilteringBoundLogger,
    ) -> None:
        """Tell as the settings say."""
        self.problems: dict[str, str] = {}
        self._store = store
        self._clock = clock
        self._boot_id = boot_id
        self._settings = settings
        self._log = log
        self._tried_s: dict[str, float] = {}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Look once a second while the page is served, if the site names a URL."""
        if self._settings.escalate_to is None:
            yield
            return
        task = asyncio.create_task(self._keep_looking())
        try:
            yield
        finally:
            task.cancel()

    async def _keep_looking(self) -> None:
        while True:
            await run_in_threadpool(self._look)
            await asyncio.sleep(LOOK_S)

    def _look(self) -> None:
        try:
            rows = self._store.queries.worklist(0)
            waiting = {row.uid: row for row in rows if not (row.escalated_at or row.test)}
            self.problems = {uid: why for uid, why in self.problems.items() if uid in waiting}
            for row in waiting.values():
                if self._is_due(row):
                    self._tell(row)
        except StoreUnwritable as error:
            self._log.warning(error.kind, reason=str(error), what_to_do=error.what_to_do)

    def _is_due(self, row: SeriesRow) -> bool:
        now_s = self._clock().monotonic_s
        waited_s = self._waited_s(row)
        waited_enough = waited_s is None or waited_s >= self._settings.escalate_after_s
        return waited_enough and now_s - self._tried_s.get(row.uid, float("-inf")) >= AGAIN_S

    def _waited_s(self, row: SeriesRow) -> float | None:
        """How long a suspicion has waited, None if since before this boot."""
        status = self._store.queries.agent_status()
        this_boot = status is not None and status.boot_id == self._boot_id
        alerted_at = row.alerted_at or self._clock()
        return age_s(alerted_at, self._clock(), this_boot=this_boot)

    def _tell(self, row: SeriesRow) -> None:
        report = row.alert
        if report is None:
            return
        self._tried_s[row.uid] = self._clock().monotonic_s
        waited_s = self._waited_s(row)
        said = {"event": "unacknowledged_alert", "waited_s": waited_s}
        try:
            _post(self._settings.escalate_to or "", said | {"report": report.model_dump()})
        except Exception as error:  # noqa: BLE001 - whatever a gateway does must end no other's turn
            self.problems[row.uid] = _reason(error)
            self._log.warning("escalation_failed", series_uid=row.uid, reason=_reason(error))
            return
        self._store.escalated(row.uid, report.revision)
        self._tried_s.pop(row.uid)
        self.problems.pop(row.uid, None)
        self._log.info("escalated", series_uid=row.uid, waited_s=waited_s)


def _post(url: str, said: dict[str, object]) -> None:
    """POST as JSON; raises whatever keeps it from being taken."""
    request = urllib.request.Request(  # noqa: S310 - the configuration allows http and https only
        url,
        json.dumps(said).encode(),
        {"Content-Type": "application/json", "User-Agent": "Bleedwatch"},
    )
    with urllib.request.urlopen(request, timeout=ANSWER_S):  # noqa: S310
        pass


def _reason(error: Exception) -> str:
    """Say why, without the URL: it may hold a secret."""
    if isinstance(error, urllib.error.HTTPError):
        return f"answered with {error.code}"
    if isinstance(error, urllib.error.URLError):
        return f"cannot be reached: {error.reason}"
    return f"cannot be reached: {type(error).__name__}"
