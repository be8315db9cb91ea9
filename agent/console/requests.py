"""What a request says, read with suspicion."""

from __future__ import annotations

import json
from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.requests import Request

MOST_BODY_BYTES: Final = 16_384

MOST_REVISIONS: Final = 2**31


async def values_of(request: Request) -> dict[str, Any]:
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


def named_result(request: Request) -> tuple[str, int]:
    """Read which result of which series a path names."""
    uid, revision = request.path_params["uid"], request.path_params["revision"]
    if revision > MOST_REVISIONS:
        raise HTTPException(404, "no such result")
    return uid, revision


def line_of(value: object, longest: int) -> str:
    """Read one line of text, without what turns or hides other text."""
    if not isinstance(value, str):
        raise HTTPException(422, "send text")
    return "".join(c if c.isprintable() else " " for c in value).strip()[:longest]
