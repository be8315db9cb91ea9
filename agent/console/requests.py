"""Validation of what the page sends."""

from __future__ import annotations

import json
from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.requests import Request

MOST_BODY_BYTES: Final = 16_384
"""A note of the most characters takes some 4000 bytes. Ours."""

MOST_REVISIONS: Final = 2**31
"""More overflows SQLite's integers. Ours."""


async def read_values(request: Request, most_bytes: int = MOST_BODY_BYTES) -> dict[str, Any]:
    """Read the JSON object in a request's body; HTTPException where it is none, or too large."""
    if not request.headers.get("content-type", "").startswith("application/json"):
        raise HTTPException(415, "send JSON")
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > most_bytes:
            raise HTTPException(413, f"more than {most_bytes} bytes")
    try:
        values = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, "not JSON") from error
    if not isinstance(values, dict):
        raise HTTPException(400, "not a JSON object")
    return values


def named_result(request: Request) -> tuple[str, int]:
    """Return the series UID and the revision that a path names."""
    uid, revision = request.path_params["uid"], request.path_params["revision"]
    if revision > MOST_REVISIONS:
        raise HTTPException(404, "no such result")
    return uid, revision


def one_line(value: object, longest: int) -> str:
    """Return a text as one line of at most ``longest`` characters, unprintable ones blanked."""
    if not isinstance(value, str):
        raise HTTPException(422, "send text")
    return "".join(c if c.isprintable() else " " for c in value).strip()[:longest]
