"""Puts what is asked about a series into the audit log, whichever endpoint answers."""

from __future__ import annotations

import re
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agent.console.access import READING, person_of
from agent.console.audit import AuditLog
from agent.console.audit_message import MINOR_FAILURE, SUCCESS
from agent.store.queries import Queries

OF_A_SERIES: Final = re.compile(r"/api/series/([^/]+)/(\d{1,10})/(.+)")

RECEIPT: Final = "shown"
"""What the page sends by itself: no person's action."""

NO_SUCH_METHOD: Final = 405

REFUSED: Final = 400
"""HTTP's statuses from here on say that it was not done."""


class Witness:
    """Notes views and actions once they were answered."""

    def __init__(self, app: ASGIApp, audit: AuditLog, queries: Queries) -> None:
        self._app = app
        self._audit = audit
        self._queries = queries

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request be answered, and note it."""
        about = OF_A_SERIES.fullmatch(scope["path"]) if scope["type"] == "http" else None
        if about is None or about[3] == RECEIPT:
            await self._app(scope, receive, send)
            return
        status = 500

        async def send_noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_noting)
        finally:
            if "endpoint" in scope and status != NO_SUCH_METHOD:  # or the path is anyone's words
                series, action = (about[1], int(about[2])), about[3].partition("/")[0]
                await run_in_threadpool(self._note, Request(scope), series, action, status)

    def _note(self, request: Request, series: tuple[str, int], action: str, status: int) -> None:
        person, study_uid = person_of(request), self._queries.study_uid(series[0])
        if study_uid is None:  # a series that nobody knows is no patient's
            return
        if request.method not in READING:
            outcome = SUCCESS if status < REFUSED else MINOR_FAILURE
            self._audit.acted(person, study_uid, series, action, outcome)
        elif status < REFUSED:
            self._audit.viewed(person, study_uid, series, "images")
