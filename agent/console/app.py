"""The console's web application: the page, its JSON snapshot, its event stream, its middleware."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, cast, get_args

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.typing import FilteringBoundLogger

from agent.console.audit import AuditLog
from agent.console.audit_middleware import AuditMiddleware
from agent.console.authorization import (
    LOOPBACK,
    AccessPolicy,
    Authenticator,
    AuthorizationMiddleware,
    Principal,
    principal_of,
)
from agent.console.corrections import recording_corrections
from agent.console.escalation import Escalation
from agent.console.feedback import Feedback
from agent.console.images import Images
from agent.console.laid_over import LaidOver
from agent.console.lockout import Lockout
from agent.console.metrics import monitoring_routes
from agent.console.reader import Reader
from agent.console.requests import named_result, one_line, read_values
from agent.console.sessions import Sessions
from agent.console.settings import LANGUAGES, Language, PageSettings
from agent.console.sign_in import SignIn, session
from agent.console.snapshot import MOST_EXAMINATIONS, View
from agent.console.streams import Streams
from agent.console.words import spoken, wordings, words
from agent.errors import StoreUnwritable
from agent.records import Clock
from agent.store.console_store import ConsoleStore
from agent.store.search import ANY, Show

CHANNEL: Final = "console"

LONGEST_SEARCH, MOST_WORDS = 100, 8
MOST_FOUND: Final = 1000
"""Examinations that are sent at a time, where somebody looks for more. Ours: some megabytes."""

HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; manifest-src 'self'; worker-src 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}

STATIC: Final = Path(__file__).parent / "static"


@dataclass(frozen=True, slots=True)
class Context:
    """What the application is built from: store, clock, logs, and the site's settings."""

    store: ConsoleStore
    clock: Clock
    boot_id: str
    audit: AuditLog
    log: FilteringBoundLogger
    settings: PageSettings = field(default_factory=PageSettings)
    policy: AccessPolicy = LOOPBACK


def create_app(context: Context) -> Starlette:
    """Build the application over an open store."""
    store, policy, audit = context.store, context.policy, context.audit
    sessions = Sessions(store.accounts, context.clock, context.boot_id)
    authenticator = Authenticator(policy, sessions)
    escalation = Escalation(store, context.clock, context.boot_id, context.settings, context.log)
    streams = Streams(store.queries, context.clock, authenticator)
    endpoints = _Endpoints(context, streams, escalation)
    result = "/api/series/{uid}/{revision:int}"
    routes = [
        Route("/", endpoints.page),
        Route("/sw.js", endpoints.worker),
        Route("/api/words", endpoints.words),
        Route("/api/session", session),
        Route("/api/state", endpoints.state),
        Route("/api/events", endpoints.events),
        Route("/api/examinations", endpoints.found, methods=["POST"]),
        *Images(store.queries, context.clock).routes(result),
        *LaidOver(store.queries, audit).routes(result),
        Route(f"{result}/shown", endpoints.shown, methods=["POST"]),
        *Feedback(store).routes(result),
        *Reader(store, streams, audit, context.settings).routes(result),
        *monitoring_routes(store.queries, context.clock, context.boot_id),
        Mount("/static", StaticFiles(directory=STATIC)),
    ]
    if policy.sign_in:
        lockout = Lockout(store.accounts, context.clock, context.boot_id)
        routes += SignIn(store.accounts, sessions, lockout, audit, policy).routes
    return Starlette(
        routes=routes,
        middleware=[
            Middleware(_SecurityHeadersMiddleware),
            Middleware(TrustedHostMiddleware, allowed_hosts=policy.hosts, www_redirect=False),
            Middleware(AuthorizationMiddleware, authenticator=authenticator),
            Middleware(AuditMiddleware, audit=audit, queries=store.queries),
        ],
        exception_handlers={StoreUnwritable: _unwritable, Exception: _fault},
        lifespan=lambda _app: _served(store, audit, escalation),
    )


@asynccontextmanager
async def _served(
    store: ConsoleStore, audit: AuditLog, escalation: Escalation
) -> AsyncIterator[None]:
    """Record what happens in the audit log, and escalate, while the page is served."""
    audit.started()
    async with escalation.running(), recording_corrections(store, audit):
        yield
    audit.stopped()


async def _unwritable(_request: Request, error: Exception) -> Response:
    return PlainTextResponse(f"{error}\n", 503, HEADERS)


async def _fault(_request: Request, _error: Exception) -> Response:
    """Answer after an unforeseen error, whose traceback is in the log."""
    return PlainTextResponse("a fault in Bleedwatch; its log has the details\n", 500, HEADERS)


class _Endpoints:
    """The endpoints of the page itself. The store's calls block, so they run in the thread pool."""

    def __init__(self, context: Context, streams: Streams, escalation: Escalation) -> None:
        self._store = context.store
        self._clock = context.clock
        self._boot_id = context.boot_id
        self._settings = context.settings
        self._audit = context.audit
        self._streams = streams
        self._escalation = escalation

    async def page(self, _request: Request) -> Response:
        html = await run_in_threadpool((STATIC / "index.html").read_text, encoding="utf-8")
        html = html.replace("{version}", version("bleedwatch"))
        return Response(html, media_type="text/html")

    async def worker(self, _request: Request) -> Response:
        """Return the page's worker from the root, below which alone it may act."""
        script = await run_in_threadpool((STATIC / "sw.js").read_text, encoding="utf-8")
        return Response(script, media_type="text/javascript")

    async def words(self, request: Request) -> Response:
        """Return the translations into the language asked for, else the site's or the browser's."""
        chosen = request.query_params.get("language", "")
        wanted = request.headers.get("accept-language", "")
        site = self._settings.language or spoken(wanted)
        language = cast("Language", chosen) if chosen in LANGUAGES else site
        return JSONResponse(
            {
                "language": language,
                "words": await run_in_threadpool(words, language),
                "reasons": await run_in_threadpool(wordings, language),
            }
        )

    async def state(self, request: Request) -> Response:
        return JSONResponse(await run_in_threadpool(self._shown_to, principal_of(request)))

    async def events(self, request: Request) -> Response:
        return self._streams.of(request, self._shown_to)

    async def found(self, request: Request) -> Response:
        """Return what somebody looks for. It comes in the body: names may stand in it."""
        values = await read_values(request)
        words = one_line(values.get("words", ""), LONGEST_SEARCH).split()[:MOST_WORDS]
        show, limit = values.get("show", ANY), values.get("limit", MOST_EXAMINATIONS)
        if show not in get_args(Show):
            raise HTTPException(422, f"show one of: {', '.join(get_args(Show))}")
        if not isinstance(limit, int) or not 0 < limit <= MOST_FOUND:
            raise HTTPException(422, f"a limit from 1 to {MOST_FOUND}")
        principal = principal_of(request)
        return JSONResponse(await run_in_threadpool(self._found, principal, words, show, limit))

    async def shown(self, request: Request) -> Response:
        await read_values(request)
        uid, revision = named_result(request)
        await run_in_threadpool(self._store.receipt, uid, revision, CHANNEL)
        return Response(status_code=204)

    def _shown_to(self, principal: Principal) -> dict[str, Any]:
        """Take a snapshot, and record which patients the principal is shown."""
        return self._recorded(principal, self._view().snapshot())

    def _found(
        self, principal: Principal, words: list[str], show: Show, limit: int
    ) -> dict[str, Any]:
        return self._recorded(principal, self._view().found(words, show, limit))

    def _view(self) -> View:
        queries, problems = self._store.queries, self._escalation.problems
        return View(queries, self._clock(), self._boot_id, self._settings, problems)

    def _recorded(self, principal: Principal, taken: dict[str, Any]) -> dict[str, Any]:
        """Record in the audit log which patients the principal is shown."""
        for series in (each for one in taken["examinations"] for each in one["series"]):
            result = series["series_uid"], series["revision"]
            self._audit.viewed(principal, series["study_uid"], result, "worklist")
        return taken


class _SecurityHeadersMiddleware:
    """Adds the security headers to every response, streams included."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await self._app(scope, receive, send_with_headers)
