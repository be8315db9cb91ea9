"""Signing in and out."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from agent.console.access import Door, Person, address_of, person_of
from agent.console.audit import AuditLog
from agent.console.lockout import Lockout
from agent.console.passwords import LONGEST_NAME, Passwords
from agent.console.requests import one_line, read_values
from agent.console.sessions import Sessions
from agent.store.access import Access, User

WRONG: Final = "Wrong name or password."
TOO_MANY: Final = "Too many wrong passwords."

PAGE: Final = Path(__file__).parent / "static" / "sign-in.html"


async def session(request: Request) -> Response:
    """Say who is signed in, and what their page must send along; null where nobody need be."""
    person = person_of(request)
    if person.user is None:
        return JSONResponse({"user": None})
    names = {"user": person.user, "role": person.role, "csrf": person.csrf}
    return JSONResponse({**names, "ends_in_s": person.ends_in_s})


class SignIn:
    """The endpoints by which a session begins and ends."""

    def __init__(
        self, access: Access, sessions: Sessions, lockout: Lockout, audit: AuditLog, door: Door
    ) -> None:
        self._access = access
        self._passwords = Passwords(access)
        self._sessions = sessions
        self._lockout = lockout
        self._audit = audit
        self._door = door
        self._one_at_a_time = asyncio.Lock()  # a hash takes 64 MiB and all cores

    @property
    def routes(self) -> list[Route]:
        """Where they are."""
        return [
            Route("/sign-in", self.page),
            Route("/api/sign-in", self.sign_in, methods=["POST"]),
            Route("/api/sign-out", self.sign_out, methods=["POST"]),
        ]

    async def page(self, _request: Request) -> Response:
        """Serve the page to sign in on."""
        return FileResponse(PAGE)

    async def sign_in(self, request: Request) -> Response:
        """Begin a session for who knows a user's password, unless too many did not."""
        values = await read_values(request)
        name, password = one_line(values.get("name"), LONGEST_NAME), values.get("password")
        if not isinstance(password, str):
            raise HTTPException(422, "send text")
        address = address_of(request.scope)
        wait_s = await run_in_threadpool(self._lockout.take_try, name, address)
        if wait_s > 0:
            return _refusal(TOO_MANY, wait_s)
        async with self._one_at_a_time:
            user = await run_in_threadpool(self._passwords.user, name, password)
        if user is None:
            return await run_in_threadpool(self._refuse, name, address)
        return await run_in_threadpool(self._begin, request, user, name)

    async def sign_out(self, request: Request) -> Response:
        """End the session that asks."""
        person = person_of(request)
        await run_in_threadpool(self._end, request)
        await run_in_threadpool(self._audit.signed_out, person)
        response = Response(status_code=204)
        response.delete_cookie(self._door.cookie, secure=self._door.tls, httponly=True)
        return response

    def _begin(self, request: Request, user: User, name: str) -> Response:
        """Begin a session, never one whose token the browser had before."""
        address = address_of(request.scope)
        self._end(request)
        token = self._sessions.begin(user.name)
        self._lockout.forgive(name, address)
        self._audit.signed_in(Person(user.name, user.role, address))
        response = JSONResponse({"user": user.name, "role": user.role})
        response.set_cookie(
            self._door.cookie, token, secure=self._door.tls, httponly=True, samesite="strict"
        )
        return response

    def _end(self, request: Request) -> None:
        self._sessions.end(request.cookies.get(self._door.cookie, ""))

    def _refuse(self, name: str, address: str) -> Response:
        known = self._access.user(name)
        user = known.name if known else None
        self._audit.sign_in_refused(user, address)
        wait_s = self._lockout.next_wait_s(name, address)
        if wait_s > 0:
            self._audit.locked(user, address, wait_s)
        return _refusal(WRONG, wait_s)


def _refusal(why: str, wait_s: float) -> Response:
    """Say why and for how long, in words that the page shows."""
    whole_s = math.ceil(wait_s)
    if not whole_s:
        return JSONResponse({"error": why, "wait_s": 0}, 401)
    return JSONResponse({"error": why, "wait_s": whole_s}, 429, {"Retry-After": str(whole_s)})
