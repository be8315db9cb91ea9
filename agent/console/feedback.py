"""What people say of a result: seen, dismissed because …, right or wrong."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Final, TypeVar

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from agent.console.access import Person, person_of
from agent.console.requests import named_result, one_line, read_values
from agent.errors import StoreError
from agent.store.console_store import ConsoleStore

Result = TypeVar("Result")

LONGEST_NAME, LONGEST_NOTE = 100, 1000

REASONS: Final = ("calcification", "artefact", "known bleed", "post-operative", "other")
"""Why an alert may be dismissed."""


class Feedback:
    """The endpoints of one result that write. The store's calls block: beside the event loop."""

    def __init__(self, store: ConsoleStore) -> None:
        """Write to this store."""
        self._store = store

    def routes(self, result: str) -> list[Route]:
        """Give the routes below a result's own path."""
        return [
            Route(f"{result}/acknowledge", self.acknowledge, methods=["POST"]),
            Route(f"{result}/verdict", self.verdict, methods=["POST"]),
        ]

    async def acknowledge(self, request: Request) -> Response:
        """Take note of an alert; with a reason, dismiss it. The first who did stands."""
        values = await read_values(request)
        reason = values.get("dismissed_because")
        if reason is not None and reason not in REASONS:
            raise HTTPException(422, f"dismissed because of one of: {', '.join(REASONS)}")
        who, note = _who(person_of(request), values), one_line(values.get("note", ""), LONGEST_NOTE)
        if reason == "other" and not note:
            raise HTTPException(422, "other than what? say it in the note")
        given = await _stored(
            run_in_threadpool(self._store.acknowledge, *named_result(request), who, note, reason)
        )
        return JSONResponse(
            {
                "who": given.who,
                "at_utc": given.at.utc.isoformat(),
                "dismissed_because": given.dismissed_because,
            }
        )

    async def verdict(self, request: Request) -> Response:
        """Say that a result is right or wrong."""
        values = await read_values(request)
        agrees = values.get("agrees")
        if not isinstance(agrees, bool):
            raise HTTPException(422, "agrees: true or false")
        who, note = _who(person_of(request), values), one_line(values.get("note", ""), LONGEST_NOTE)
        uid, revision = named_result(request)
        await _stored(run_in_threadpool(self._store.judge, uid, revision, who, note, agrees=agrees))
        return Response(status_code=204)


def _who(person: Person, values: dict[str, object]) -> str:
    """Return the name that it is stored under: of who is signed in, and of nobody else."""
    given = one_line(values.get("who", ""), LONGEST_NAME)
    if person.user is not None and given not in ("", person.user):
        raise HTTPException(403, f"{person.user} is signed in, and nobody else")
    if not given and person.user is None:
        raise HTTPException(422, "who says so?")
    return person.user or given


async def _stored(written: Awaitable[Result]) -> Result:
    """Wait until it is stored; 404 where there is no such result."""
    try:
        return await written
    except StoreError as error:
        raise HTTPException(404, str(error)) from error
