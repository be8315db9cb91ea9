"""People's answers to a result: acknowledged, dismissed with a reason, judged right or wrong."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Final, TypeVar

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from agent.console.answers import AcknowledgedAnswer
from agent.console.authorization import Principal, principal_of
from agent.console.requests import named_result, one_line, read_values
from agent.errors import StoreError
from agent.store.console_store import ConsoleStore

Result = TypeVar("Result")

LONGEST_NAME, LONGEST_NOTE = 100, 1000

REASONS: Final = ("calcification", "artefact", "known bleed", "post-operative", "other")
"""Why an alert may be dismissed."""


class Feedback:
    """The endpoints for these answers. The store's calls block, so they run in the thread pool."""

    def __init__(self, store: ConsoleStore) -> None:
        """Write to this store."""
        self._store = store

    def routes(self, result: str) -> list[Route]:
        """Return the routes below ``result``, a path with ``uid`` and ``revision``."""
        return [
            Route(f"{result}/acknowledge", self.acknowledge, methods=["POST"]),
            Route(f"{result}/take-back", self.take_back, methods=["POST"]),
            Route(f"{result}/verdict", self.verdict, methods=["POST"]),
        ]

    async def acknowledge(self, request: Request) -> Response:
        """Acknowledge an alert or, with a reason, dismiss it; the first acknowledgement stands."""
        values = await read_values(request)
        reason = values.get("dismissed_because")
        if reason is not None and reason not in REASONS:
            raise HTTPException(422, f"dismissed because of one of: {', '.join(REASONS)}")
        who = name_of(principal_of(request), values)
        note = one_line(values.get("note", ""), LONGEST_NOTE)
        if reason == "other" and not note:
            raise HTTPException(422, "other than what? say it in the note")
        acknowledged = await _stored(
            run_in_threadpool(self._store.acknowledge, *named_result(request), who, note, reason)
        )
        answer = AcknowledgedAnswer(
            who=acknowledged.who,
            at_utc=acknowledged.at.utc,
            dismissed_because=acknowledged.dismissed_because,
        )
        return JSONResponse(answer.model_dump(mode="json"))

    async def take_back(self, request: Request) -> Response:
        """Take an answer back; what waited for it waits again."""
        who = name_of(principal_of(request), await read_values(request))
        result = named_result(request)
        if not await run_in_threadpool(self._store.take_answer_back, *result, who):
            raise HTTPException(404, "nobody has answered it")
        return Response(status_code=204)

    async def verdict(self, request: Request) -> Response:
        """Store a verdict: the result is right, or it is wrong."""
        values = await read_values(request)
        agrees = values.get("agrees")
        if not isinstance(agrees, bool):
            raise HTTPException(422, "agrees: true or false")
        who = name_of(principal_of(request), values)
        note = one_line(values.get("note", ""), LONGEST_NOTE)
        uid, revision = named_result(request)
        await _stored(run_in_threadpool(self._store.judge, uid, revision, who, note, agrees=agrees))
        return Response(status_code=204)


def name_of(principal: Principal, values: dict[str, object]) -> str:
    """Return the name to store: the signed-in user's, or the one typed at the kiosk."""
    typed = one_line(values.get("who", ""), LONGEST_NAME)
    if principal.user is not None and typed not in ("", principal.user):
        raise HTTPException(403, f"{principal.user} is signed in, and nobody else")
    if not typed and principal.user is None:
        raise HTTPException(422, "who says so?")
    return principal.user or typed


async def _stored(written: Awaitable[Result]) -> Result:
    """Await a write to the store; 404 where there is no such result."""
    try:
        return await written
    except StoreError as error:
        raise HTTPException(404, str(error)) from error
