"""The images of a result over HTTP: its three views, and the HU of all its slices.

The page windows them by itself: another window, and the HU under the cursor, fetch nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from agent.console.answers import SlicesKept, SlicesNotKept
from agent.console.requests import named_result
from agent.packing import packed_anew
from agent.records import Clock
from agent.store.queries import Queries

STORED_WITHIN_S: Final = 60.0
"""Slices are stored within this time of their result [s]; where none are by then, none will be.
Ours: each thin series that waits in front takes some 10 s."""

MOST_SLICES: Final = 2**31
"""More overflows SQLite's integers. Ours."""


@dataclass(frozen=True, slots=True)
class Images:
    """The endpoints. The store's calls and the rendering block, so they run in the thread pool."""

    queries: Queries
    clock: Clock

    def routes(self, result: str) -> list[Route]:
        """Return the routes below ``result``, a path with ``uid`` and ``revision``."""
        return [
            Route(f"{result}/views/{{view}}.png", self.view),
            Route(f"{result}/slices", self.slices),
            Route(f"{result}/slices/{{k:int}}.hu", self.slice),
            Route(f"{result}/slices/{{k:int}}/outline.png", self.outline),
            Route(f"{result}/slices/{{k:int}}/findings", self.findings),
            Route(f"{result}/slices/{{k:int}}/probabilities", self.probabilities),
        ]

    async def view(self, request: Request) -> Response:
        """Answer with the key slice ("axial") or a reformat."""
        named = *named_result(request), request.path_params["view"]
        return _png(await run_in_threadpool(self.queries.picture, *named), "no such picture")

    async def slices(self, request: Request) -> Response:
        """Describe the stored slices, or say whether they are still being stored."""
        answer = await run_in_threadpool(self._slices, *named_result(request))
        return JSONResponse(answer.model_dump(mode="json"))

    def _slices(self, uid: str, revision: int) -> SlicesKept | SlicesNotKept:
        stack = self.queries.stack(uid, revision)
        if stack is not None:
            return SlicesKept(n=len(stack.heights_mm), **stack.model_dump())
        concluded = self.queries.concluded_at(uid, revision)
        if concluded is None:
            raise HTTPException(404, "no such result")
        age_s = (self.clock().utc - concluded.utc).total_seconds()
        return SlicesNotKept(kept="coming" if 0 <= age_s < STORED_WITHIN_S else "no")

    async def slice(self, request: Request) -> Response:
        """Answer with the HU of one slice (row, column), as ``packing`` packs them."""
        answer = await run_in_threadpool(self._slice, *named_result(request), _k(request))
        return Response(answer, media_type="application/octet-stream")

    def _slice(self, uid: str, revision: int, k: int) -> bytes:
        encoded = self.queries.encoded_slice(uid, revision, k)
        if encoded is None:
            raise HTTPException(404, "no such slice")
        return packed_anew(encoded.hu)

    async def outline(self, request: Request) -> Response:
        """Answer with the bleed's outline on one slice, on the same matrix."""
        named = *named_result(request), _k(request)
        encoded = await run_in_threadpool(self.queries.encoded_slice, *named)
        return _png(encoded.outline_png if encoded else None, "no outline")

    async def findings(self, request: Request) -> Response:
        """Answer with the number of each pixel's finding in a slice: uint8, in zlib's format."""
        named = *named_result(request), _k(request)
        encoded = await run_in_threadpool(self.queries.encoded_slice, *named)
        return _deflated(encoded.findings_z if encoded else None, "no finding")

    async def probabilities(self, request: Request) -> Response:
        """Answer with what both networks hold for probable: uint8, in zlib's format.

        (network, row, column) on a square matrix, the slice network's first.
        """
        named = *named_result(request), _k(request)
        encoded = await run_in_threadpool(self.queries.encoded_slice, *named)
        return _deflated(encoded.maps_z if encoded else None, "no probabilities")


def _k(request: Request) -> int:
    k: int = request.path_params["k"]
    if k > MOST_SLICES:
        raise HTTPException(404, "no such slice")
    return k


def _deflated(values_z: bytes | None, otherwise: str) -> Response:
    if values_z is None:
        raise HTTPException(404, otherwise)
    return Response(values_z, media_type="application/octet-stream")


def _png(png: bytes | None, otherwise: str) -> Response:
    if png is None:
        raise HTTPException(404, otherwise)
    return Response(png, media_type="image/png")
