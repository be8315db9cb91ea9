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

from agent.console.answers import SessionAnswer, SignedInAnswer, SignInRefusedAnswer
from agent.console.audit import AuditLog
from agent.console.authorization import AccessPolicy, Principal, address_of, principal_of
from agent.console.lockout import Lockout
from agent.console.passwords import LONGEST_NAME, Passwords
from agent.console.requests import one_line, read_values
from agent.console.sessions import Sessions
from agent.reasons import Reason
from agent.report import reason_report
from agent.store.accounts import Accounts, User

PAGE: Final = Path(__file__).parent / "static" / "sign-in.html"


async def session(request: Request) -> Response:
    """Return who is signed in, with the CSRF token; null where the page needs no sign-in."""
    principal = principal_of(request)
    if principal.user is None:
        answer = SessionAnswer(user=None)
    else:
        answer = SessionAnswer(
            user=principal.user,
            role=principal.role,
            csrf=principal.csrf,
            ends_in_s=principal.ends_in_s,
        )
    return JSONResponse(answer.model_dump(mode="json"))


class SignIn:
    """The endpoints by which a session begins and ends."""

    def __init__(
        self,
        accounts: Accounts,
        sessions: Sessions,
        lockout: Lockout,
        audit: AuditLog,
        policy: AccessPolicy,
    ) -> None:
        self._accounts = accounts
        self._passwords = Passwords(accounts)
        self._sessions = sessions
        self._lockout = lockout
        self._audit = audit
        self._policy = policy
        self._one_at_a_time = asyncio.Lock()  # a hash takes 64 MiB and all cores

    @property
    def routes(self) -> list[Route]:
        """The routes."""
        return [
            Route("/sign-in", self.page),
            Route("/api/sign-in", self.sign_in, methods=["POST"]),
            Route("/api/sign-out", self.sign_out, methods=["POST"]),
        ]

    async def page(self, _request: Request) -> Response:
        """Serve the sign-in page."""
        return FileResponse(PAGE)

    async def sign_in(self, request: Request) -> Response:
        """Begin a session after a correct password; 429 after too many wrong ones."""
        values = await read_values(request)
        name, password = one_line(values.get("name"), LONGEST_NAME), values.get("password")
        if not isinstance(password, str):
            raise HTTPException(422, "send text")
        address = address_of(request.scope)
        wait_s = await run_in_threadpool(self._lockout.count_attempt, name, address)
        if wait_s > 0:
            return _refusal(Reason("too_many_tries"), wait_s)
        async with self._one_at_a_time:
            user = await run_in_threadpool(self._passwords.user, name, password)
        if user is None:
            return await run_in_threadpool(self._refuse, name, address)
        return await run_in_threadpool(self._begin, request, user, name)

    async def sign_out(self, request: Request) -> Response:
        """End the request's session."""
        principal = principal_of(request)
        await run_in_threadpool(self._end, request)
        await run_in_threadpool(self._audit.signed_out, principal)
        response = Response(status_code=204)
        response.delete_cookie(self._policy.cookie, secure=self._policy.tls, httponly=True)
        return response

    def _begin(self, request: Request, user: User, name: str) -> Response:
        """Begin a session with a new token, against session fixation."""
        address = address_of(request.scope)
        self._end(request)
        token = self._sessions.begin(user.name)
        self._lockout.reset(name, address)
        self._audit.signed_in(Principal(user.name, user.role, address))
        response = JSONResponse(SignedInAnswer(user=user.name, role=user.role).model_dump())
        response.set_cookie(
            self._policy.cookie, token, secure=self._policy.tls, httponly=True, samesite="strict"
        )
        return response

    def _end(self, request: Request) -> None:
        self._sessions.end(request.cookies.get(self._policy.cookie, ""))

    def _refuse(self, name: str, address: str) -> Response:
        known = self._accounts.user(name)
        user = known.name if known else None
        self._audit.sign_in_refused(user, address)
        wait_s = self._lockout.next_wait_s(name, address)
        if wait_s > 0:
            self._audit.locked(user, address, wait_s)
        return _refusal(Reason("wrong_password"), wait_s)


def _refusal(reason: Reason, wait_s: float) -> Response:
    """Answer with what the page shows: the reason, and how long the next attempt has to wait."""
    answer = SignInRefusedAnswer(reason=reason_report(reason), wait_s=math.ceil(wait_s))
    content = answer.model_dump(mode="json")
    if not answer.wait_s:
        return JSONResponse(content, 401)
    return JSONResponse(content, 429, {"Retry-After": str(answer.wait_s)})
