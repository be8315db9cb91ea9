"""The images of a result over HTTP: its three views, and all its slices in the usual windows."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from typing import Final

import jpeg_ls
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from agent.console.answers import SlicesKept, SlicesNotKept
from agent.console.requests import named_result
from agent.records import STORED_ABOVE_HU, Clock, EncodedSlice
from agent.store.queries import Queries

WINDOWS_HU: Final = {
    "brain": (40.0, 80.0),
    "subdural": (80.0, 200.0),
    "bone": (500.0, 2000.0),
}
"""Level and width by name [HU]. Brain as on the key slice; subdural within the levels 50 to 100 and
widths 130 to 300 of Radiopaedia, "Windowing (CT)"; bone as usual in teaching."""

GREYS: Final = bytes(grey for grey in range(256) for _ in range(3))
"""A palette of all greys: without one Pillow filters the rows before it compresses them, which on
CT noise costs time and bytes (512²: 2 ms and 69 kB with a palette, 5 ms and 87 kB without)."""

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
            Route(f"{result}/slices/{{k:int}}.png", self.slice),
            Route(f"{result}/slices/{{k:int}}/outline.png", self.outline),
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
        """Answer with one slice in one window."""
        window = request.query_params.get("window", "brain")
        if window not in WINDOWS_HU:
            raise HTTPException(422, f"no such window; there are {', '.join(WINDOWS_HU)}")
        return await run_in_threadpool(self._slice, *named_result(request), _k(request), window)

    def _slice(self, uid: str, revision: int, k: int, window: str) -> Response:
        encoded = self.queries.encoded_slice(uid, revision, k)
        return _png(render_slice(encoded, window) if encoded else None, "no such slice")

    async def outline(self, request: Request) -> Response:
        """Answer with the bleed's outline on one slice, on the same matrix."""
        named = *named_result(request), _k(request)
        encoded = await run_in_threadpool(self.queries.encoded_slice, *named)
        return _png(encoded.outline_png if encoded else None, "no outline")


def render_slice(encoded: EncodedSlice, window: str) -> bytes:
    """Render a slice as PNG, one pixel a voxel, in one of ``WINDOWS_HU``."""
    pixels, header = jpeg_ls.decode_buffer(encoded.jls)
    stored = np.frombuffer(pixels, "<u2").reshape(header["height"], header["width"])
    picture = Image.fromarray(_grey_by_stored_value(window).take(stored))
    picture.putpalette(GREYS)
    png = BytesIO()
    picture.save(png, "PNG", compress_level=1, compress_type=zlib.Z_RLE)
    return png.getvalue()


@cache
def _grey_by_stored_value(window: str) -> NDArray[np.uint8]:
    """Return the grey of each value that a stored slice may hold."""
    level_hu, width_hu = WINDOWS_HU[window]
    hu = np.arange(2**16) + STORED_ABOVE_HU
    grey = (hu - (level_hu - width_hu / 2)) / width_hu * 255
    values: NDArray[np.uint8] = np.clip(np.rint(grey), 0, 255).astype(np.uint8)
    return values


def _k(request: Request) -> int:
    k: int = request.path_params["k"]
    if k > MOST_SLICES:
        raise HTTPException(404, "no such slice")
    return k


def _png(png: bytes | None, otherwise: str) -> Response:
    if png is None:
        raise HTTPException(404, otherwise)
    return Response(png, media_type="image/png")
