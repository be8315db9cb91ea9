"""Who may: every path is closed until a session, or a page of this computer's own, opens it."""

from __future__ import annotations

import hmac
import math
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from agent.console.address import LOOPBACK_NAMES, is_loopback
from agent.console.sessions import Sessions, csrf_token

OPEN: Final = frozenset(
    {
        "/healthz",
        "/sign-in",
        "/api/sign-in",
        "/api/words",
        "/static/sign-in.js",
        "/static/dom.js",
        "/static/words.js",
        "/static/sign-in.css",
        "/static/console.css",
        "/static/icon.svg",
    }
)
"""What anyone may ask for; nothing of a patient is in it."""

MONITORED: Final = ("/metrics", "/readyz")
"""What a monitoring system on this computer may ask for too: no patient is in it."""

FOR_SERVICE: Final = ("/metrics",)
"""Paths, and all below them, that a technologist may not ask for."""

CSRF_HEADER: Final = "x-bleedwatch-csrf"

READING: Final = ("GET", "HEAD")


@dataclass(frozen=True, slots=True)
class Door:
    """How the page is served: the names it may be asked for by, whether users sign in, by TLS."""

    names: tuple[str, ...] = LOOPBACK_NAMES
    sign_in: bool = False
    tls: bool = False

    @property
    def cookie(self) -> str:
        """The session cookie's name; a browser takes __Host- only by TLS, for this host alone."""
        return "__Host-bleedwatch" if self.tls else "bleedwatch"


LOOPBACK: Final = Door()
"""This computer's own page, without sign-in."""


@dataclass(frozen=True, slots=True)
class Person:
    """Who asks: a user who is signed in, or whoever sits at this computer (``user`` None).

    ``page`` tells one's pages from others': by the session, or by the address. ``csrf`` and
    ``ends_in_s`` are of the session [s].
    """

    user: str | None
    role: str
    address: str
    page: str = ""
    csrf: str = ""
    ends_in_s: float = math.inf


def person_of(request: Request) -> Person:
    """Return who asks; the guard has found out."""
    person: Person = request.scope["person"]
    return person


def address_of(scope: Scope) -> str:
    """Return the address that a request came from."""
    return scope["client"][0] if scope.get("client") else ""


class Admission:
    """Finds out who asks, by the session that a cookie names."""

    def __init__(self, door: Door, sessions: Sessions) -> None:
        """Go by these sessions, where the door asks for one."""
        self._door = door
        self._sessions = sessions

    def person(self, request: Request) -> Person | None:
        """Return who asks; None if that is nobody who may."""
        address = address_of(request.scope)
        if not self._door.sign_in:
            return Person(None, "service", address, page=address)
        token = request.cookies.get(self._door.cookie, "")
        session = self._sessions.find(token) if token else None
        if session is None:
            return None
        page, csrf = sha256(token.encode()).hexdigest(), csrf_token(token)
        ends_in_s = self._sessions.ends_in_s(session)
        return Person(session.user, session.role, address, page, csrf, ends_in_s)


class Guard:
    """Lets through who may, and puts the person into ``scope``; all others get an answer here."""

    def __init__(self, app: ASGIApp, admission: Admission) -> None:
        self._app = app
        self._admission = admission

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or let it through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        scope["person"] = await run_in_threadpool(self._admission.person, request)
        answer = _refusal(request, scope["person"]) or self._app
        await answer(scope, receive, send)


def _refusal(request: Request, person: Person | None) -> Response | None:
    """Say no, and why; None where nothing stands against it.

    The path is the one that routes go by: ``request.url`` is put together with the Host header.
    """
    path, acts = request.scope["path"], request.method not in READING
    if acts and not _same_site(request):
        return PlainTextResponse("another site may not act here\n", 403)
    if path in OPEN or (path in MONITORED and is_loopback(address_of(request.scope))):
        return None
    if person is None:
        return RedirectResponse("/sign-in", 303) if path == "/" else _not_signed_in()
    if acts and person.user is not None and not _csrf_matches(request, person):
        return PlainTextResponse("not from this session's page: load it again\n", 403)
    if person.role != "service" and any(_within(path, own) for own in FOR_SERVICE):
        return PlainTextResponse("for the role service only\n", 403)
    return None


def _not_signed_in() -> Response:
    return PlainTextResponse("sign in first\n", 401)


def _same_site(request: Request) -> bool:
    origin = request.headers.get("origin")
    same = origin in (None, f"{request.url.scheme}://{request.headers.get('host')}")
    return same and request.headers.get("sec-fetch-site", "same-origin") == "same-origin"


def _csrf_matches(request: Request, person: Person) -> bool:
    given = request.headers.get(CSRF_HEADER, "")
    return hmac.compare_digest(given.encode(), person.csrf.encode())


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder}/")
