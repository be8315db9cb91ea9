"""Escalation: a suspicion that nobody acknowledges is POSTed to a URL that the site has set.

The URL is a pager's gateway or a chat's webhook. The message identifies nobody: it holds UIDs and
findings. Delivery is at least once: after a crash between the response and its receipt in the
store, the message is sent again.
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
from agent.exam import Second
from agent.reasons import Reason, english
from agent.records import Clock
from agent.store.console_store import ConsoleStore
from agent.store.examinations import ExaminationRow
from agent.store.rows import SeriesRow

LOOK_S: Final = 1.0
"""Between two looks for alerts that are due [s]. Ours."""

RETRY_S: Final = 15.0
"""Between two attempts to send one alert [s]. Ours: within some of these a gateway restarts."""

RESPONSE_S: Final = 10.0
"""How long the gateway may take to respond [s]. Ours."""


class Escalation:
    """Sends the alerts that have waited too long.

    ``problems`` holds, by series UID, why an alert could not be sent.
    """

    def __init__(
        self,
        store: ConsoleStore,
        clock: Clock,
        boot_id: str,
        settings: PageSettings,
        log: FilteringBoundLogger,
    ) -> None:
        """Send as the settings say."""
        self.problems: dict[str, Reason] = {}
        self._store = store
        self._clock = clock
        self._boot_id = boot_id
        self._settings = settings
        self._log = log
        self._tried_s: dict[str, float] = {}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Look for due alerts within this context, if the site has set a URL."""
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
            rows = self._store.queries.listed(0, self._clock().utc)
            waiting = {row.uid: row for row in map(due_in, rows) if row}
            self.problems = {uid: why for uid, why in self.problems.items() if uid in waiting}
            for row in waiting.values():
                if self._is_due(row):
                    self._send(row)
        except StoreUnwritable as error:
            self._log.warning(error.kind, reason=str(error), what_to_do=error.what_to_do)

    def _is_due(self, row: SeriesRow) -> bool:
        now_s = self._clock().monotonic_s
        waited_s = self._waited_s(row)
        waited_enough = waited_s is None or waited_s >= self._settings.escalate_after_s
        return waited_enough and now_s - self._tried_s.get(row.uid, float("-inf")) >= RETRY_S

    def _waited_s(self, row: SeriesRow) -> float | None:
        """How long an alert has waited [s]; None if since before this boot."""
        status = self._store.queries.agent_status()
        this_boot = status is not None and status.boot_id == self._boot_id
        alerted_at = row.alerted_at or self._clock()
        return age_s(alerted_at, self._clock(), this_boot=this_boot)

    def _send(self, row: SeriesRow) -> None:
        report = row.alert
        if report is None:
            return
        self._tried_s[row.uid] = self._clock().monotonic_s
        waited_s = self._waited_s(row)
        message = {"event": "unacknowledged_alert", "waited_s": waited_s}
        try:
            _post(self._settings.escalate_to or "", message | {"report": report.model_dump()})
        except Exception as error:  # noqa: BLE001 - one that fails must not stop the others
            self.problems[row.uid] = reason = _reason(error)
            self._log.warning("escalation_failed", series_uid=row.uid, reason=english(reason))
            return
        self._store.escalated(row.uid, report.revision)
        self._tried_s.pop(row.uid)
        self.problems.pop(row.uid, None)
        self._log.info("escalated", series_uid=row.uid, waited_s=waited_s)


def due_in(row: ExaminationRow) -> SeriesRow | None:
    """Return the series whose alert is to be sent for an examination, None where none is.

    One is enough for all of its series, and none is sent where preferred slices withdrew it.
    """
    waiting = [(one.alerted_at.utc, one.uid, one) for one in row.series if one.alerted_at]
    done = any(one.test or one.escalated_at for _, _, one in waiting)
    if done or not waiting or row.examination.second is Second.WITHDRAWN:
        return None
    return min(waiting)[2]


def _post(url: str, message: dict[str, object]) -> None:
    """POST as JSON; raises what urllib raises where it is not accepted."""
    request = urllib.request.Request(  # noqa: S310 - the configuration allows http and https only
        url,
        json.dumps(message).encode(),
        {"Content-Type": "application/json", "User-Agent": "Bleedwatch"},
    )
    with urllib.request.urlopen(request, timeout=RESPONSE_S):  # noqa: S310
        pass


def _reason(error: Exception) -> Reason:
    """Describe a failure without the URL, which may hold a secret."""
    if isinstance(error, urllib.error.HTTPError):
        return Reason("escalation_refused", status=error.code)
    if isinstance(error, urllib.error.URLError):
        return Reason("escalation_unreachable", why=str(error.reason))
    return Reason("escalation_unreachable", why=type(error).__name__)
