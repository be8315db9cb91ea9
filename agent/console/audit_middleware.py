"""Records views of a series and actions on it in the audit log, whichever endpoint answers."""

from __future__ import annotations

import re
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agent.console.audit import AuditLog
from agent.console.audit_message import MINOR_FAILURE, SUCCESS
from agent.console.authorization import SAFE_METHODS, principal_of
from agent.store.queries import Queries

RESULT_PATH: Final = re.compile(r"/api/series/([^/]+)/(\d{1,10})/(.+)")

RECEIPT: Final = "shown"
"""The last part of the path by which the page confirms, by itself, that it shows a result."""

ACKNOWLEDGE: Final = "acknowledge"
TAKE_BACK: Final = "take-back"
"""The actions that concern all reconstructions of a scan at once; each is recorded."""

NO_SUCH_METHOD: Final = 405

REFUSED: Final = 400
"""HTTP statuses from here on are failures. Source: RFC 9110, 15."""


class AuditMiddleware:
    """Records a view or an action after its response, with the outcome."""

    def __init__(self, app: ASGIApp, audit: AuditLog, queries: Queries) -> None:
        self._app = app
        self._audit = audit
        self._queries = queries

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Have a request answered, then record it."""
        matched = RESULT_PATH.fullmatch(scope["path"]) if scope["type"] == "http" else None
        if matched is None or matched[3] == RECEIPT:
            await self._app(scope, receive, send)
            return
        status = 500

        async def send_and_note_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_and_note_status)
        finally:
            if "endpoint" in scope and status != NO_SUCH_METHOD:  # no route: the path is free text
                result = matched[1], int(matched[2])
                action = matched[3].partition("/")[0]
                await run_in_threadpool(self._note, Request(scope), result, action, status)

    def _note(self, request: Request, result: tuple[str, int], action: str, status: int) -> None:
        principal, study_uid = principal_of(request), self._queries.study_uid(result[0])
        if study_uid is None:  # not in the store: there is no patient to record
            return
        if request.method not in SAFE_METHODS:
            outcome = SUCCESS if status < REFUSED else MINOR_FAILURE
            others = {
                ACKNOWLEDGE: self._queries.answered_through,
                TAKE_BACK: self._queries.taken_back_with,
            }.get(action)
            as_well = others(*result) if others and outcome == SUCCESS else []
            for each in (result, *as_well):
                self._audit.acted(principal, study_uid, each, action, outcome)
        elif status < REFUSED:
            self._audit.viewed(principal, study_uid, result, "images")
