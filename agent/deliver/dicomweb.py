"""An archive that objects are sent to by STOW-RS; its answer is read, object by object."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
import uuid
from collections.abc import Sequence
from io import BytesIO
from typing import Any, Final

from pydicom.dataset import Dataset

from agent.deliver.channel import Reference, tls_context
from agent.deliver.settings import DicomWebChannel
from agent.errors import ArchiveRefused, ArchiveUnreachable

DICOM_JSON: Final = "application/dicom+json"

STORED_OR_NOT: Final = frozenset({200, 202, 409})
"""Answers whose body says which objects were stored. Source: PS3.18 table 10.5.3-1."""

REFERENCED, FAILED = "00081199", "00081198"
INSTANCE_UID, FAILURE_REASON = "00081155", "00081197"
"""Attributes of the answer. Source: PS3.18 table I.2.1-1."""


class DicomWebArchive:
    """One archive, with a request for each call."""

    def __init__(self, settings: DicomWebChannel) -> None:
        """Speak to the archive of the settings."""
        self._settings = settings
        self._url = str(settings.url).rstrip("/")

    def greet(self) -> None:
        """Search for a study that nobody has. See ``Channel``."""
        status, body = self._answer(f"{self._url}/studies?StudyInstanceUID=2.25.0&limit=1")
        if status not in (200, 204):
            raise self._unreachable(f"HTTP {status} {_first_line(body)}")

    def send(self, objects: Sequence[Dataset]) -> None:
        """Store all of them in one request. See ``Channel``."""
        boundary = uuid.uuid4().hex
        content = f'multipart/related; type="application/dicom"; boundary={boundary}'
        status, body = self._answer(
            f"{self._url}/studies", _multipart(objects, boundary), {"Content-Type": content}
        )
        if status >= 500:  # noqa: PLR2004 - the server's own trouble
            raise self._unreachable(f"HTTP {status} {_first_line(body)}")
        if status not in STORED_OR_NOT:
            self._refuse([f"HTTP {status} {_first_line(body)}"], len(objects), len(objects))
        stored, failed = _told(body)
        refusals = [
            f"{one.SOPClassUID.name}: {failed.get(uid, 'not in the answer')}"
            for one in objects
            if (uid := str(one.SOPInstanceUID)) not in stored
        ]
        if refusals:
            self._refuse(refusals, len(refusals), len(objects))

    def keeps(self, objects: Sequence[Reference]) -> bool:
        """Search for each object: what is found is kept. See ``Channel``."""
        missing = sum(not self._has(one.sop_instance_uid) for one in objects)
        if missing:
            raise ArchiveRefused(
                "archive_lost",
                channel=self._settings.name,
                n_lost=missing,
                n_objects=len(objects),
            )
        return True

    def _has(self, uid: str) -> bool:
        status, body = self._answer(f"{self._url}/instances?SOPInstanceUID={uid}")
        if status not in (200, 204):
            raise self._unreachable(f"HTTP {status} {_first_line(body)}")
        return status == 200 and uid in body.decode(errors="replace")  # noqa: PLR2004

    def _refuse(self, refusals: list[str], n_refused: int, n_objects: int) -> None:
        raise ArchiveRefused(
            "archive_refused",
            channel=self._settings.name,
            n_refused=n_refused,
            n_objects=n_objects,
            why="; ".join(refusals),
        )

    def _answer(
        self, url: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, bytes]:
        """Return the status and the body of an answer, whatever they are."""
        every = {"Accept": DICOM_JSON, "User-Agent": "Bleedwatch", **self._authorization()}
        request = urllib.request.Request(url, body, every | (headers or {}))  # noqa: S310 - HttpUrl
        context = tls_context(self._settings) if url.startswith("https:") else None
        try:
            with urllib.request.urlopen(  # noqa: S310
                request, timeout=self._settings.timeout_s, context=context
            ) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()
        except urllib.error.URLError as error:
            raise self._unreachable(str(error.reason)) from error
        except (OSError, ssl.SSLError) as error:
            raise self._unreachable(type(error).__name__) from error

    def _authorization(self) -> dict[str, str]:
        path = self._settings.authorization_file
        if path is None:
            return {}
        try:
            return {"Authorization": path.read_text(encoding="utf-8").strip()}
        except OSError as error:
            raise self._unreachable(f"authorization_file: {error.strerror}") from error

    def _unreachable(self, why: str) -> ArchiveUnreachable:
        return ArchiveUnreachable("archive_unreachable", channel=self._settings.name, why=why)


def _multipart(objects: Sequence[Dataset], boundary: str) -> bytes:
    """Write objects as the parts of a multipart/related body."""
    body = BytesIO()
    for one in objects:
        body.write(f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode())
        part = BytesIO()
        one.save_as(part, enforce_file_format=True)
        body.write(part.getvalue() + b"\r\n")
    body.write(f"--{boundary}--\r\n".encode())
    return body.getvalue()


def _told(body: bytes) -> tuple[set[str], dict[str, str]]:
    """Read an answer: SOP UIDs of what was stored, and why each other one was not."""
    try:
        answer = json.loads(body)
    except ValueError:
        return set(), {}
    response = answer[0] if isinstance(answer, list) and answer else answer
    if not isinstance(response, dict):
        return set(), {}
    stored = {_value(item, INSTANCE_UID) for item in _items(response, REFERENCED)}
    failed = {
        _value(item, INSTANCE_UID): f"failure reason {_value(item, FAILURE_REASON)}"
        for item in _items(response, FAILED)
    }
    return stored - failed.keys(), failed


def _items(told: dict[str, Any], tag: str) -> list[dict[str, Any]]:
    values = (told.get(tag) or {}).get("Value") or []
    return [item for item in values if isinstance(item, dict)]


def _value(item: dict[str, Any], tag: str) -> str:
    values = (item.get(tag) or {}).get("Value") or [""]
    return str(values[0])


def _first_line(body: bytes) -> str:
    """Return how an answer begins, as words for a person."""
    text = body[:400].decode(errors="replace")
    return " ".join(text.split())[:200]
