"""The previous examination's slices over HTTP as they lie in those of a result: registered.

They are answered as any result's are, so that the page shows them with what it shows those with.
Which examination is the previous one follows from the store: nobody can name another patient's.
"""

from __future__ import annotations

import threading
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from agent.console.answers import LaidOverAnswer, SlicesKept
from agent.console.audit import AuditLog
from agent.console.authorization import Principal, principal_of
from agent.console.before import before
from agent.console.requests import named_result
from agent.packing import outline_png, packed, unpacked
from agent.reasons import Reason
from agent.registration import (
    OUTSIDE_HU,
    Floats,
    Motion,
    Planes,
    laid_over,
    numbers_over,
    places,
    reduced,
    registered,
    slices_at,
)
from agent.report import SliceStack, reason_report
from agent.store.queries import Queries

Result = tuple[str, int]


@dataclass(frozen=True, slots=True, eq=False)
class _Pair:
    """A result's slices and the previous examination's, and how these lie to those."""

    stack: SliceStack
    former: Result
    former_stack: SliceStack
    motion: Motion


@dataclass(slots=True)
class LaidOver:
    """The endpoints; how the latest pair lies is held, and found by one request at a time."""

    queries: Queries
    audit: AuditLog
    latest: tuple[tuple[Result, Result], _Pair | Reason] | None = None
    busy: threading.Lock = field(default_factory=threading.Lock)

    def routes(self, result: str) -> list[Route]:
        """Return the routes below ``result``, a path with ``uid`` and ``revision``."""
        return [
            Route(f"{result}/before", self.described),
            Route(f"{result}/before/slices", self.slices),
            Route(f"{result}/before/slices/{{k:int}}.hu", self.slice),
            Route(f"{result}/before/slices/{{k:int}}/outline.png", self.outline),
        ]

    async def described(self, request: Request) -> Response:
        """Say whether the previous examination was registered, and how far it is turned."""
        who = principal_of(request)
        answer = await run_in_threadpool(self._described, who, named_result(request))
        return JSONResponse(answer.model_dump(mode="json"))

    def _described(self, who: Principal, result: Result) -> LaidOverAnswer:
        former, pair = self._pair(result)
        study_uid = self.queries.study_uid(former[0])
        if study_uid is not None:
            self.audit.viewed(who, study_uid, former, "images")
        if isinstance(pair, Reason):
            return LaidOverAnswer(registered=False, said=reason_report(pair))
        said = Reason("registered", turned_deg=pair.motion.turned_deg)
        return LaidOverAnswer(registered=True, said=reason_report(said))

    async def slices(self, request: Request) -> Response:
        """Describe them: they lie on the result's own slices."""
        answer = await run_in_threadpool(self._slices, named_result(request))
        return JSONResponse(answer.model_dump(mode="json"))

    def _slices(self, result: Result) -> SlicesKept:
        pair = self._registered(result)
        kept = pair.stack.model_dump(include={"rows", "columns", "spacing_mm", "heights_mm"})
        return SlicesKept(n=len(pair.stack.heights_mm), outlined=self._outlined(pair), **kept)

    def _outlined(self, pair: _Pair) -> tuple[int, ...]:
        """Return the slices of the result that the earlier findings may reach."""
        former, at_mm = _planes(pair.former_stack), []
        for k in pair.former_stack.outlined:
            row, column = np.nonzero(self._numbers(pair, k))
            points_mm = np.empty((row.size, 3))
            points_mm[:, 0] = former.heights_mm[k]
            points_mm[:, 1] = row * former.spacing_mm[0]
            points_mm[:, 2] = column * former.spacing_mm[1]
            at_mm.append(pair.motion.back(points_mm)[:, 0])
        found_mm = np.concatenate(at_mm or [np.empty(0)])
        if not found_mm.size:
            return ()
        heights_mm = np.array(pair.stack.heights_mm)
        apart_mm = max(np.diff(one).max() for one in (heights_mm, former.heights_mm))
        above, below = (
            heights_mm > found_mm.min() - apart_mm,
            heights_mm < found_mm.max() + apart_mm,
        )
        return tuple(np.flatnonzero(above & below).tolist())

    async def slice(self, request: Request) -> Response:
        """Answer with the earlier HU in one slice (row, column), as ``packing`` packs them."""
        named = named_result(request), request.path_params["k"]
        answer = await run_in_threadpool(self._packed, *named)
        return Response(answer, media_type="application/octet-stream")

    def _packed(self, result: Result, k: int) -> bytes:
        pair, at = self._places(result, k)
        return packed(self._hu_at(pair, at))

    async def outline(self, request: Request) -> Response:
        """Answer with the outline of what was found earlier, in one slice."""
        named = named_result(request), request.path_params["k"]
        answer = await run_in_threadpool(self._outline_png, *named)
        return Response(answer, media_type="image/png")

    def _outline_png(self, result: Result, k: int) -> bytes:
        pair, at = self._places(result, k)
        return outline_png(self._numbers_at(pair, at) > 0, self._hu_at(pair, at))

    def _places(self, result: Result, k: int) -> tuple[_Pair, Floats]:
        """Return where the pixels of one of the result's slices lie in the earlier stack."""
        pair = self._registered(result)
        if k >= len(pair.stack.heights_mm):
            raise HTTPException(404, "no such slice")
        return pair, places(_planes(pair.stack), k, _planes(pair.former_stack), pair.motion)

    def _hu_at(self, pair: _Pair, at: Floats) -> NDArray[np.int16]:
        near = slices_at(at, _planes(pair.former_stack))
        if not near:
            return np.full(at.shape[1:], OUTSIDE_HU, np.int16)
        hu = np.stack(list(self._hu(pair.former, pair.former_stack, near)))
        return laid_over(at, hu, near.start)

    def _numbers_at(self, pair: _Pair, at: Floats) -> NDArray[np.uint8]:
        near = slices_at(at, _planes(pair.former_stack))
        if not near:
            return np.zeros(at.shape[1:], np.uint8)
        numbers = np.stack([self._numbers(pair, one) for one in near])
        return numbers_over(at, numbers, near.start)

    def _registered(self, result: Result) -> _Pair:
        _, pair = self._pair(result)
        if isinstance(pair, Reason):
            raise HTTPException(404, "not registered")
        return pair

    def _pair(self, result: Result) -> tuple[Result, _Pair | Reason]:
        """Return the previous result, and how it lies to this one; else why that is not known."""
        known = self.queries.series(result[0])
        rows = self.queries.examinations_with([known]) if known else []
        compared = before(rows[0], self.queries) if rows else None
        if compared is None:
            raise HTTPException(404, "no previous examination")
        former = compared[1].series[0].uid, compared[1].series[0].revision
        stack, former_stack = self.queries.stack(*result), self.queries.stack(*former)
        if stack is None or former_stack is None:  # they may still be coming
            return former, Reason("not_registered_not_kept")
        with self.busy:
            if self.latest is None or self.latest[0] != (result, former):
                self.latest = (result, former), self._found(result, former, stack, former_stack)
            return former, self.latest[1]

    def _found(
        self, result: Result, former: Result, stack: SliceStack, former_stack: SliceStack
    ) -> _Pair | Reason:
        heads = [
            reduced(_planes(of), self._hu(one, of, range(len(of.heights_mm))))
            for one, of in ((result, stack), (former, former_stack))
        ]
        try:
            motion = registered(*heads)
        except ImportError:
            return Reason("not_registered_without_simpleitk")
        if motion is None:
            return Reason("not_registered_unlike")
        return _Pair(stack, former, former_stack, motion)

    def _hu(self, result: Result, of: SliceStack, slices: range) -> Iterator[NDArray[np.int16]]:
        for k in slices:
            encoded = self.queries.encoded_slice(*result, k)
            if encoded is None:  # deleted meanwhile
                raise HTTPException(404, "no such slice")
            yield unpacked(encoded.hu, (of.rows, of.columns))

    def _numbers(self, pair: _Pair, k: int) -> NDArray[np.uint8]:
        """Return the number of each pixel's finding in an earlier slice."""
        shape = pair.former_stack.rows, pair.former_stack.columns
        encoded = self.queries.encoded_slice(*pair.former, k)
        if encoded is None or encoded.findings_z is None:
            return np.zeros(shape, np.uint8)
        return np.frombuffer(zlib.decompress(encoded.findings_z), np.uint8).reshape(shape)


def _planes(stack: SliceStack) -> Planes:
    return Planes(stack.rows, stack.columns, stack.spacing_mm, np.array(stack.heights_mm))
