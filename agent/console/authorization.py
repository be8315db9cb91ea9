"""Authentication and authorisation: each request's principal, and what that principal may do.

Every path is forbidden unless a session allows it, the page is served to this computer alone, or
the path is on a list below.
"""

from __future__ import annotations

import hmac
import math
from dataclasses import dataclass
from hashlib import sha256
from typing import Final
from urllib.parse import urlencode

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
        "/static/glossary.html",
        "/static/glossary.js",
        "/static/language.js",
        "/static/manifest.webmanifest",
        "/static/offline.html",
        "/sw.js",
    }
)
"""Paths that need no session; there is no patient data in them."""

MONITORED: Final = ("/metrics", "/readyz")
"""Paths that a monitoring system on this computer may read without a session; no patient data."""

FOR_SERVICE: Final = ("/metrics",)
"""Paths, with all below them, that need the role *service*."""

READING_PAGES: Final = ("/reading", "/exam")
"""Pages, with all below them, to which a link from elsewhere leads also through the sign-in."""

CSRF_HEADER: Final = "x-bleedwatch-csrf"

SAFE_METHODS: Final = ("GET", "HEAD")
"""Methods that change nothing. Source: RFC 9110, 9.2.1."""


@dataclass(frozen=True, slots=True)
class AccessPolicy:
    """How the page is served: by which host names, with or without sign-in and TLS."""

    hosts: tuple[str, ...] = LOOPBACK_NAMES
    sign_in: bool = False
    tls: bool = False

    @property
    def cookie(self) -> str:
        """The session cookie's name; browsers accept the prefix __Host- by TLS only."""
        return "__Host-bleedwatch" if self.tls else "bleedwatch"


LOOPBACK: Final = AccessPolicy()
"""The page for this computer alone, without sign-in."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who sends a request: a signed-in user, or whoever sits at this computer (``user`` None).

    ``page`` identifies the browser, by its session or else by its address. ``csrf`` is the
    session's CSRF token, ``ends_in_s`` how long the session still lasts [s].
    """

    user: str | None
    role: str
    address: str
    page: str = ""
    csrf: str = ""
    ends_in_s: float = math.inf


def principal_of(request: Request) -> Principal:
    """Return the principal that ``AuthorizationMiddleware`` put into the request."""
    principal: Principal = request.scope["principal"]
    return principal


def address_of(scope: Scope) -> str:
    """Return the address that a request came from."""
    return scope["client"][0] if scope.get("client") else ""


class Authenticator:
    """Finds a request's principal by its session cookie."""

    def __init__(self, policy: AccessPolicy, sessions: Sessions) -> None:
        """Look sessions up where the policy requires one."""
        self._policy = policy
        self._sessions = sessions

    def principal(self, request: Request) -> Principal | None:
        """Return the principal; None where a session is required and there is none."""
        address = address_of(request.scope)
        if not self._policy.sign_in:
            return Principal(None, "service", address, page=address)
        token = request.cookies.get(self._policy.cookie, "")
        session = self._sessions.find(token) if token else None
        if session is None:
            return None
        page, csrf = sha256(token.encode()).hexdigest(), csrf_token(token)
        ends_in_s = self._sessions.ends_in_s(session)
        return Principal(session.user, session.role, address, page, csrf, ends_in_s)


class AuthorizationMiddleware:
    """Puts the principal into the request, or refuses the request."""

    def __init__(self, app: ASGIApp, authenticator: Authenticator) -> None:
        self._app = app
        self._authenticator = authenticator

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it with a refusal."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        scope["principal"] = await run_in_threadpool(self._authenticator.principal, request)
        answer = _refusal(request, scope["principal"]) or self._app
        await answer(scope, receive, send)


def _refusal(request: Request, principal: Principal | None) -> Response | None:
    """Return the refusal of a request, None where it is allowed.

    The path is the one that the router matches, ``scope["path"]``: ``request.url`` is built from
    the Host header, which the client sets.
    """
    path, changes = request.scope["path"], request.method not in SAFE_METHODS
    if changes and not _same_site(request):
        return PlainTextResponse("another site may not act here\n", 403)
    if path in OPEN or (path in MONITORED and is_loopback(address_of(request.scope))):
        return None
    if principal is None:
        return _to_sign_in(request) if _is_page(path) else _not_signed_in()
    if changes and principal.user is not None and not _csrf_matches(request, principal):
        return PlainTextResponse("not from this session's page: load it again\n", 403)
    if principal.role != "service" and any(_within(path, own) for own in FOR_SERVICE):
        return PlainTextResponse("for the role service only\n", 403)
    return None


def _is_page(path: str) -> bool:
    return path == "/" or any(_within(path, page) for page in READING_PAGES)


def _to_sign_in(request: Request) -> Response:
    """Lead to the sign-in page, which leads back to one of the radiologist's pages."""
    path, query = request.scope["path"], request.scope["query_string"].decode("ascii", "replace")
    if path == "/":
        return RedirectResponse("/sign-in", 303)
    asked = f"{path}?{query}" if query else path
    return RedirectResponse(f"/sign-in?{urlencode({'to': asked})}", 303)


def _not_signed_in() -> Response:
    return PlainTextResponse("sign in first\n", 401)


def _same_site(request: Request) -> bool:
    origin = request.headers.get("origin")
    same = origin in (None, f"{request.url.scheme}://{request.headers.get('host')}")
    return same and request.headers.get("sec-fetch-site", "same-origin") == "same-origin"


def _csrf_matches(request: Request, principal: Principal) -> bool:
    given = request.headers.get(CSRF_HEADER, "")
    return hmac.compare_digest(given.encode(), principal.csrf.encode())


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder}/")
