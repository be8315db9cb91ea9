"""Requests to a receiver that is spoken to by HTTP."""

from __future__ import annotations

import email.utils
import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from typing import IO, Final

from agent.deliver.channel import tls_context, unreachable
from agent.deliver.settings import WebPeer
from agent.errors import ArchiveUnreachable

TOO_MANY: Final = 429
BUSY: Final = frozenset({TOO_MANY, 503})
"""Answers that may say after how long the next request is welcome."""

MOST_BYTES: Final = 4 << 20
"""An answer is read up to this size [bytes]. Ours: the answer to a search is some kilobytes."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered to a request, whatever it is."""

    status: int
    body: bytes
    headers: Mapping[str, str]

    @property
    def words(self) -> str:
        """How the answer begins, as words for a person."""
        text = " ".join(self.body[:400].decode(errors="replace").split())[:200]
        return f"HTTP {self.status} {text}".rstrip()

    def retry_after_s(self, now_s: float) -> float | None:
        """After how long the receiver asks to be tried again; ``now_s`` is in POSIX seconds.

        Source: RFC 9110, 10.2.3.
        """
        said = self.headers.get("Retry-After", "").strip()
        if said.isascii() and said.isdigit():
            return float(said)
        try:
            moment = email.utils.parsedate_to_datetime(said)
        except ValueError:
            return None
        return max(0.0, moment.timestamp() - now_s)


def ask(
    settings: WebPeer,
    url: str,
    *,
    method: str = "GET",
    body: bytes | None = None,
    headers: Mapping[str, str],
    most_bytes: int = MOST_BYTES,
) -> Answer:
    """Make a request and return its answer; ArchiveUnreachable where there is none.

    What goes beyond ``most_bytes`` is cut off.

    Nobody is redirected: the unit is opened to hosts that are named, and a token is for them alone.
    """
    every = {"User-Agent": "Bleedwatch", **_authorization(settings), **headers}
    request = urllib.request.Request(url, body, every, method=method)  # noqa: S310 - HttpUrl
    handlers: list[urllib.request.BaseHandler] = [_NoRedirect()]
    if url.startswith("https:"):
        handlers.append(urllib.request.HTTPSHandler(context=tls_context(settings)))
    try:
        opener = urllib.request.build_opener(*handlers)
        with opener.open(request, timeout=settings.timeout_s) as answer:
            return Answer(answer.status, answer.read(most_bytes), dict(answer.headers.items()))
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, error.read(MOST_BYTES), dict(error.headers.items()))
    except urllib.error.URLError as error:
        raise unreachable(settings, str(error.reason)) from error
    except (OSError, http.client.HTTPException) as error:
        raise unreachable(settings, type(error).__name__) from error


def check_up(settings: WebPeer, answer: Answer) -> None:
    """Raise ArchiveUnreachable where the receiver is down, or asks to be left alone for a while.

    Source: RFC 9110, 15.6, and RFC 6585, 4.
    """
    retry_after_s = answer.retry_after_s(time.time())
    if answer.status in BUSY and retry_after_s is not None:
        raise ArchiveUnreachable(
            "receiver_busy",
            channel=settings.name,
            why=answer.words,
            retry_after_s=round(retry_after_s),
        )
    if answer.status == TOO_MANY or answer.status >= 500:  # noqa: PLR2004
        raise unreachable(settings, answer.words)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: Message,
        newurl: str,
    ) -> None:
        """Follow none: the answer itself is returned."""


def _authorization(settings: WebPeer) -> dict[str, str]:
    path = settings.authorization_file
    if path is None:
        return {}
    try:
        return {"Authorization": path.read_text(encoding="utf-8").strip()}
    except OSError as error:
        raise unreachable(settings, f"authorization_file: {error.strerror}") from error
