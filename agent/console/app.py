"""The page's HTTP: one page, one snapshot, one stream of events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.typing import FilteringBoundLogger

from agent.console.escalation import Escalation
from agent.console.feedback import Feedback
from agent.console.requests import named_result, values_of
from agent.console.settings import PageSettings
from agent.console.snapshot import snapshot
from agent.console.words import spoken, words
from agent.errors import StoreUnwritable
from agent.records import Clock
from agent.store import Store

CHANNEL: Final = "console"

LOOK_S: Final = 0.03
"""How often the store is asked whether anything was committed [s]; it costs some 10 µs."""

KEEP_ALIVE_S: Final = 1.0
"""A snapshot at least this often [s]: three missed ones tell the page that it is cut off."""

HOSTS: Final = ("localhost", "127.0.0.1", "[::1]", "::1")
"""Names by which a loopback page is asked for; any other is a page elsewhere reaching in."""

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
    """What the page is served from and with: ``hosts`` are the names it may be asked for by."""

    store: Store
    clock: Clock
    boot_id: str
    log: FilteringBoundLogger
    settings: PageSettings = field(default_factory=PageSettings)
    hosts: Sequence[str] = HOSTS


def create_app(around: Surroundings) -> Starlette:
    """Build the page's application over an open store."""
    escalation = Escalation(around.store, around.clock, around.boot_id, around.settings, around.log)
    desk = _Desk(around, escalation)
    result = "/api/series/{uid}/{revision:int}"
    return Starlette(
        routes=[
            Route("/", desk.page),
            Route("/healthz", desk.health),
            Route("/api/words", desk.words),
            Route("/api/state", desk.state),
            Route("/api/events", desk.events),
            Route(f"{result}/key-slice.png", desk.key_slice),
            Route(f"{result}/shown", desk.shown, methods=["POST"]),
            *Feedback(around.store).routes(result),
            Mount("/static", StaticFiles(directory=STATIC)),
        ],
        middleware=[
            Middleware(_WithHeaders),
            Middleware(TrustedHostMiddleware, allowed_hosts=around.hosts, www_redirect=False),
        ],
        exception_handlers={StoreUnwritable: _unwritable, Exception: _fault},
        lifespan=lambda _app: escalation.running(),
    )


async def _unwritable(_request: Request, error: Exception) -> Response:
    return PlainTextResponse(f"{error}\n", 503, HEADERS)


async def _fault(_request: Request, _error: Exception) -> Response:
    """Answer for a fault of ours; the error goes on to the log."""
    return PlainTextResponse("a fault in Bleedwatch; its log has the details\n", 500, HEADERS)


class _Desk:
    """The endpoints. The store's calls block, so they run beside the event loop."""

    def __init__(self, around: Surroundings, escalation: Escalation) -> None:
        self._store = around.store
        self._clock = around.clock
        self._boot_id = around.boot_id
        self._settings = around.settings
        self._escalation = escalation

    async def page(self, _request: Request) -> Response:
        html = await run_in_threadpool((STATIC / "index.html").read_text, encoding="utf-8")
        return Response(html, media_type="text/html")

    async def health(self, _request: Request) -> Response:
        """Say that the page is served and the store answers; of the agent, see /api/state."""
        await run_in_threadpool(self._store.change_mark)
        return PlainTextResponse("ok\n")

    async def words(self, request: Request) -> Response:
        """Give the words of the language that the site has set, or that the browser asks for."""
        wanted = request.headers.get("accept-language", "")
        language = self._settings.language or spoken(wanted)
        return JSONResponse(
            {"language": language, "words": await run_in_threadpool(words, language)}
        )

    async def state(self, _request: Request) -> Response:
        return JSONResponse(await self._snapshot())

    async def events(self, request: Request) -> Response:
        return StreamingResponse(self._stream(request), media_type="text/event-stream")

    async def key_slice(self, request: Request) -> Response:
        uid, revision = named_result(request)
        png = await run_in_threadpool(self._store.key_slice, uid, revision)
        if png is None:
            raise HTTPException(404, "no key slice")
        return Response(png, media_type="image/png")

    async def shown(self, request: Request) -> Response:
        await values_of(request)
        uid, revision = named_result(request)
        await run_in_threadpool(self._store.receipt, uid, revision, CHANNEL)
        return Response(status_code=204)

    async def _snapshot(self) -> dict[str, Any]:
        return await run_in_threadpool(
            snapshot,
            self._store,
            self._clock(),
            self._boot_id,
            self._settings,
            self._escalation.problems,
        )

    async def _stream(self, request: Request) -> AsyncIterator[str]:
        """Send a snapshot whenever something was committed, and every second in any case."""
        seen, sent_s = None, 0.0
        yield "retry: 1000\n\n"
        while not await request.is_disconnected():
            mark = await run_in_threadpool(self._store.change_mark)
            now_s = self._clock().monotonic_s
            if mark != seen or now_s - sent_s >= KEEP_ALIVE_S:
                seen, sent_s = mark, now_s
                yield f"data: {json.dumps(await self._snapshot())}\n\n"
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
