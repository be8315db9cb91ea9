"""Event streams: what a page shows, sent anew as it changes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import StreamingResponse

from agent.console.authorization import Authenticator, Principal
from agent.records import Clock
from agent.store.queries import Queries

LOOK_S: Final = 0.03
"""Between two checks of whether anything was committed to the store [s]; one costs some 10 µs."""

KEEP_ALIVE_S: Final = 1.0
"""Everything is sent at least this often [s]; a page takes 2.7 s of silence for a lost
connection."""

Take = Callable[[Principal], dict[str, Any]]
"""Takes what a principal is shown, from the store; 404 where there is no such thing any more."""


@dataclass(frozen=True, slots=True)
class Streams:
    """The streams over one store. Each message holds everything, so that none may be missed."""

    queries: Queries
    clock: Clock
    authenticator: Authenticator

    def of(self, request: Request, take: Take) -> StreamingResponse:
        """Answer with what ``take`` returns, whenever something was committed and each second.

        The stream ends with the session; the page then connects again and is sent to sign in.
        """
        return StreamingResponse(self._messages(request, take), media_type="text/event-stream")

    async def _messages(self, request: Request, take: Take) -> AsyncIterator[str]:
        sent_mark, sent_s = None, 0.0
        yield "retry: 1000\n\n"
        while not await request.is_disconnected():
            mark = await run_in_threadpool(self.queries.change_mark)
            now_s = self.clock().monotonic_s
            if mark != sent_mark or now_s - sent_s >= KEEP_ALIVE_S:
                principal = await run_in_threadpool(self.authenticator.principal, request)
                if principal is None:
                    return
                sent_mark, sent_s = mark, now_s
                try:
                    taken = await run_in_threadpool(take, principal)
                except HTTPException:
                    return
                yield f"data: {json.dumps(taken)}\n\n"
            await asyncio.sleep(LOOK_S)
