"""Images that an archive sends because it was asked to, by C-MOVE; no others are taken."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

from agent.deliver.priors import Take
from agent.errors import DeliveryError

SUCCESS, NO_ROOM, NOT_WANTED = 0x0000, 0xA700, 0x0124
"""Answers to an image that comes. Source: PS3.7 annex C."""


class MovedImages:
    """Where the images of the C-MOVE that is under way go; no others are taken."""

    def __init__(self) -> None:
        """Begin with none under way."""
        self._lock = Lock()
        self._wanted: tuple[str, Take] | None = None
        self._refusal: DeliveryError | None = None

    @contextmanager
    def wanted(self, series_uid: str, take: Take) -> Iterator[None]:
        """Have the images of a series taken; raises at the end why one was not."""
        with self._lock:
            self._wanted, self._refusal = (series_uid, take), None
        try:
            yield
        finally:
            with self._lock:
                self._wanted, refusal = None, self._refusal
        if refusal:
            raise refusal

    def stored(self, event: Any) -> int:  # noqa: ANN401 - pynetdicom's, which is an extra
        """Answer a C-STORE."""
        with self._lock:
            if self._wanted is None or self._refusal:
                return NOT_WANTED
            series_uid, take = self._wanted
            if str(event.dataset.get("SeriesInstanceUID", "")) != series_uid:
                return NOT_WANTED
            try:
                take(event.encoded_dataset())
            except DeliveryError as error:
                self._refusal = error
                return NO_ROOM
        return SUCCESS
