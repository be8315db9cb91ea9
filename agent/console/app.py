"""The page's HTTP: one page, one snapshot, one stream of events, and what concerns one result."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.typing import FilteringBoundLogger

from agent.console.access import LOOPBACK, Admission, Door, Guard, Person, person_of
from agent.console.audit import AuditLog
from agent.console.escalation import Escalation
from agent.console.feedback import Feedback
from agent.console.images import Pictures
from agent.console.lockout import Lockout
from agent.console.metrics import watching_routes
from agent.console.requests import named_result, read_values
from agent.console.sessions import Sessions
from agent.console.settings import PageSettings
from agent.console.sign_in import SignIn, session
from agent.console.snapshot import snapshot
from agent.console.witness import Witness
from agent.console.words import spoken, words
from agent.errors import StoreUnwritable
from agent.records import Clock
from agent.store.console_store import ConsoleStore

CHANNEL: Final = "console"

LOOK_S: Final = 0.03
"""How often the store is asked whether anything was committed [s]; it costs some 10 µs."""

KEEP_ALIVE_S: Final = 1.0
"""A snapshot at least this often [s]: three missed ones tell the page that it is cut off."""

HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}

STATIC: Final = Path(__file__).parent / "static"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the page is served from and with, and by which ``door`` one comes in."""

    store: ConsoleStore
    clock: Clock
    boot_id: str
    audit: AuditLog
    log: FilteringBoundLogger
    settings: PageSettings = field(default_factory=PageSettings)
    door: Door = LOOPBACK


def create_app(around: Surroundings) -> Starlette:
    """Build the page's application over an open store, for who may come in."""
    store, door, audit = around.store, around.door, around.audit
    sessions = Sessions(store.access, around.clock, around.boot_id)
    admission = Admission(door, sessions)
    escalation = Escalation(store, around.clock, around.boot_id, around.settings, around.log)
    desk = _Desk(around, admission, escalation)
    result = "/api/series/{uid}/{revision:int}"
    routes = [
        Route("/", desk.page),
        Route("/api/words", desk.words),
        Route("/api/session", session),
        Route("/api/state", desk.state),
        Route("/api/events", desk.events),
        *Pictures(store.queries, around.clock).routes(result),
        Route(f"{result}/shown", desk.shown, methods=["POST"]),
        *Feedback(store).routes(result),
        *watching_routes(store.queries, around.clock, around.boot_id),
        Mount("/static", StaticFiles(directory=STATIC)),
    ]
    if door.sign_in:
        lockout = Lockout(store.access, around.clock, around.boot_id)
        routes += SignIn(store.access, sessions, lockout, audit, door).routes
    return Starlette(
        routes=routes,
        middleware=[
            Middleware(_WithHeaders),
            Middleware(TrustedHostMiddleware, allowed_hosts=door.names, www_redirect=False),
            Middleware(Guard, admission=admission),
            Middleware(Witness, audit=audit, queries=store.queries),
        ],
        exception_handlers={StoreUnwritable: _unwritable, Exception: _fault},
        lifespan=lambda _app: _served(audit, escalation),
    )


@asynccontextmanager
async def _served(audit: AuditLog, escalation: Escalation) -> AsyncIterator[None]:
    """Note in the audit log that the page is served, and that it no longer is."""
    audit.started()
    async with escalation.running():
        yield
    audit.stopped()


async def _unwritable(_request: Request, error: Exception) -> Response:
    return PlainTextResponse(f"{error}\n", 503, HEADERS)


async def _fault(_request: Request, _error: Exception) -> Response:
    """Answer for a fault of ours; the error goes on to the log."""
    return PlainTextResponse("a fault in Bleedwatch; its log has the details\n", 500, HEADERS)


class _Desk:
    """The endpoints. The store's calls block, so they run beside the event loop."""

    def __init__(self, around: Surroundings, admission: Admission, escalation: Escalation) -> None:
        self._store = around.store
        self._clock = around.clock
        self._boot_id = around.boot_id
        self._settings = around.settings
        self._audit = around.audit
        self._admission = admission
        self._escalation = escalation

    async def page(self, _request: Request) -> Response:
        html = await run_in_threadpool((STATIC / "index.html").read_text, encoding="utf-8")
        html = html.replace("{version}", version("bleedwatch"))
        return Response(html, media_type="text/html")

    async def words(self, request: Request) -> Response:
        """Give the words of the language that the site has set, or that the browser asks for."""
        wanted = request.headers.get("accept-language", "")
        language = self._settings.language or spoken(wanted)
        return JSONResponse(
            {"language": language, "words": await run_in_threadpool(words, language)}
        )

    async def state(self, request: Request) -> Response:
        return JSONResponse(await self._snapshot(person_of(request)))

    async def events(self, request: Request) -> Response:
        return StreamingResponse(self._stream(request), media_type="text/event-stream")

    async def shown(self, request: Request) -> Response:
        await read_values(request)
        uid, revision = named_result(request)
        await run_in_threadpool(self._store.receipt, uid, revision, CHANNEL)
        return Response(status_code=204)

    async def _snapshot(self, person: Person) -> dict[str, Any]:
        return await run_in_threadpool(self._shown_to, person)

    def _shown_to(self, person: Person) -> dict[str, Any]:
        """Take a snapshot, and note which patients it shows to whom."""
        now, untold = self._clock(), self._escalation.problems
        shown = snapshot(self._store.queries, now, self._boot_id, self._settings, untold)
        for series in shown["series"]:
            result = series["series_uid"], series["revision"]
            self._audit.viewed(person, series["study_uid"], result, "worklist")
        return shown

    async def _stream(self, request: Request) -> AsyncIterator[str]:
        """Send a snapshot whenever something was committed, and every second in any case.

        It ends with the session: the page asks again, and is told to sign in.
        """
        seen, sent_s = None, 0.0
        yield "retry: 1000\n\n"
        while not await request.is_disconnected():
            mark = await run_in_threadpool(self._store.queries.change_mark)
            now_s = self._clock().monotonic_s
            if mark != seen or now_s - sent_s >= KEEP_ALIVE_S:
                person = await run_in_threadpool(self._admission.person, request)
                if person is None:
                    return
                seen, sent_s = mark, now_s
                yield f"data: {json.dumps(await self._snapshot(person))}\n\n"
            await asyncio.sleep(LOOK_S)


class _WithHeaders:
    """Puts the security headers on every answer, streams included."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await self._app(scope, receive, send_with_headers)
