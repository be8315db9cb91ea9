"""The page's HTTP: one page, one snapshot, one stream of events, three actions."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
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

from agent.console.metrics import watching_routes
from agent.console.snapshot import snapshot
from agent.errors import StoreError, StoreUnwritable
from agent.records import Clock
from agent.store import Store

CHANNEL: Final = "console"

LOOK_S: Final = 0.03
"""How often the store is asked whether anything was committed [s]; it costs some 10 µs."""

KEEP_ALIVE_S: Final = 1.0
"""A snapshot at least this often [s]: three missed ones tell the page that it is cut off."""

HOSTS: Final = ("localhost", "127.0.0.1", "[::1]", "::1")
"""Names by which a loopback page is asked for; any other is a page elsewhere reaching in."""

LONGEST_NAME, LONGEST_NOTE = 100, 1000

MOST_BODY_BYTES: Final = 16_384

MOST_REVISIONS: Final = 2**31

HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}

STATIC: Final = Path(__file__).parent / "static"


def create_app(store: Store, clock: Clock, boot_id: str, hosts: Sequence[str] = HOSTS) -> Starlette:
    """Build the page's application over an open store, for who asks for it by one of ``hosts``."""
    desk = _Desk(store, clock, boot_id)
    result = "/api/series/{uid}/{revision:int}"
    return Starlette(
        routes=[
            Route("/", desk.page),
            Route("/api/state", desk.state),
            Route("/api/events", desk.events),
            Route(f"{result}/key-slice.png", desk.key_slice),
            Route(f"{result}/acknowledge", desk.acknowledge, methods=["POST"]),
            Route(f"{result}/shown", desk.shown, methods=["POST"]),
            *watching_routes(store, clock, boot_id),
            Mount("/static", StaticFiles(directory=STATIC)),
        ],
        middleware=[
            Middleware(_WithHeaders),
            Middleware(TrustedHostMiddleware, allowed_hosts=hosts, www_redirect=False),
        ],
        exception_handlers={StoreUnwritable: _unwritable, Exception: _fault},
    )


async def _unwritable(_request: Request, error: Exception) -> Response:
    return PlainTextResponse(f"{error}\n", 503, HEADERS)


async def _fault(_request: Request, _error: Exception) -> Response:
    """Answer for a fault of ours; the error goes on to the log."""
    return PlainTextResponse("a fault in Bleedwatch; its log has the details\n", 500, HEADERS)


class _Desk:
    """The endpoints. The store's calls block, so they run beside the event loop."""

    def __init__(self, store: Store, clock: Clock, boot_id: str) -> None:
        self._store = store
        self._clock = clock
        self._boot_id = boot_id

    async def page(self, _request: Request) -> Response:
        html = await run_in_threadpool((STATIC / "index.html").read_text, encoding="utf-8")
        return Response(html, media_type="text/html")

    async def state(self, _request: Request) -> Response:
        return JSONResponse(await self._snapshot())

    async def events(self, request: Request) -> Response:
        return StreamingResponse(self._stream(request), media_type="text/event-stream")

    async def key_slice(self, request: Request) -> Response:
        uid, revision = _result(request)
        png = await run_in_threadpool(self._store.key_slice, uid, revision)
        if png is None:
            raise HTTPException(404, "no key slice")
        return Response(png, media_type="image/png")

    async def acknowledge(self, request: Request) -> Response:
        values = await _values(request)
        who = _line(values.get("who", ""), LONGEST_NAME)
        if not who:
            raise HTTPException(422, "who acknowledges?")
        note = _line(values.get("note", ""), LONGEST_NOTE)
        uid, revision = _result(request)
        try:
            given = await run_in_threadpool(self._store.acknowledge, uid, revision, who, note)
        except StoreError as error:
            raise HTTPException(404, str(error)) from error
        return JSONResponse({"who": given.who, "at_utc": given.at.utc.isoformat()})

    async def shown(self, request: Request) -> Response:
        await _values(request)
        uid, revision = _result(request)
        await run_in_threadpool(self._store.receipt, uid, revision, CHANNEL)
        return Response(status_code=204)

    async def _snapshot(self) -> dict[str, Any]:
        return await run_in_threadpool(snapshot, self._store, self._clock(), self._boot_id)

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


async def _values(request: Request) -> dict[str, Any]:
    """Read a POST's JSON, from this page only: another site's page may not act here."""
    origin = request.headers.get("origin")
    same = origin in (None, f"{request.url.scheme}://{request.url.netloc}")
    if not same or request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
        raise HTTPException(403, "another site may not act here")
    if not request.headers.get("content-type", "").startswith("application/json"):
        raise HTTPException(415, "send JSON")
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MOST_BODY_BYTES:
            raise HTTPException(413, f"more than {MOST_BODY_BYTES} bytes")
    try:
        values = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, "not JSON") from error
    if not isinstance(values, dict):
        raise HTTPException(400, "not a JSON object")
    return values


def _result(request: Request) -> tuple[str, int]:
    """Read which result of which series a path names."""
    uid, revision = request.path_params["uid"], request.path_params["revision"]
    if revision > MOST_REVISIONS:
        raise HTTPException(404, "no such result")
    return uid, revision


def _line(value: object, longest: int) -> str:
    """Read one line of text, without what turns or hides other text."""
    if not isinstance(value, str):
        raise HTTPException(422, "send text")
    return "".join(c if c.isprintable() else " " for c in value).strip()[:longest]


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
