"""An archive that objects are sent to by STOW-RS; its answer is read, object by object."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from datetime import datetime
from io import BytesIO
from typing import Any, Final

from pydicom.dataset import Dataset

from agent.deliver.channel import unreachable
from agent.deliver.dicom.objects import letter_of
from agent.deliver.dicom.trial import trial_object
from agent.deliver.http import Answer, ask, check_up
from agent.deliver.result import StoredResult
from agent.deliver.settings import DicomWebChannel
from agent.errors import ArchiveRefused

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
        answer = self._answer("studies?StudyInstanceUID=2.25.0&limit=1")
        if answer.status not in (200, 204):
            raise unreachable(self._settings, answer.words)

    def letter(self, result: StoredResult) -> list[Dataset]:
        """Make the objects of a result. See ``Channel``."""
        return letter_of(result, self._settings)

    def trial(self, study_uid: str, at: datetime) -> list[Dataset]:
        """Make a picture of nobody. See ``Channel``."""
        return [trial_object(study_uid, at)]

    def send(self, objects: Sequence[Dataset]) -> None:
        """Store all of them in one request. See ``Channel``."""
        boundary = uuid.uuid4().hex
        content = f'multipart/related; type="application/dicom"; boundary={boundary}'
        answer = self._answer("studies", _multipart(objects, boundary), {"Content-Type": content})
        check_up(self._settings, answer)
        if answer.status not in STORED_OR_NOT:
            self._refuse([answer.words], len(objects), len(objects))
        stored, failed = _told(answer.body)
        refusals = [
            f"{one.SOPClassUID.name}: {failed.get(uid, 'not in the answer')}"
            for one in objects
            if (uid := str(one.SOPInstanceUID)) not in stored
        ]
        if refusals:
            self._refuse(refusals, len(refusals), len(objects))

    def keeps(self, objects: Sequence[Dataset]) -> bool:
        """Search for each object: what is found is kept. See ``Channel``."""
        missing = sum(not self._has(str(one.SOPInstanceUID)) for one in objects)
        if missing:
            raise ArchiveRefused(
                "archive_lost",
                channel=self._settings.name,
                n_lost=missing,
                n_objects=len(objects),
            )
        return True

    def _has(self, uid: str) -> bool:
        answer = self._answer(f"instances?SOPInstanceUID={uid}")
        if answer.status not in (200, 204):
            raise unreachable(self._settings, answer.words)
        return answer.status == 200 and uid in answer.body.decode(errors="replace")  # noqa: PLR2004

    def _refuse(self, refusals: list[str], n_refused: int, n_objects: int) -> None:
        raise ArchiveRefused(
            "archive_refused",
            channel=self._settings.name,
            n_refused=n_refused,
            n_objects=n_objects,
            why="; ".join(refusals),
        )

    def _answer(
        self, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Answer:
        return ask(
            self._settings,
            f"{self._url}/{path}",
            method="GET" if body is None else "POST",
            body=body,
            headers={"Accept": DICOM_JSON} | (headers or {}),
        )


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
