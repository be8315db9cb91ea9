"""An archive that earlier examinations are fetched from, by QIDO-RS and WADO-RS."""

from __future__ import annotations

import json
from datetime import date
from email.message import Message
from typing import Any, Final
from urllib.parse import quote, urlencode

from agent.deliver.http import Answer, ask, check_up
from agent.deliver.priors import (
    EMPTY,
    MOST_IMAGES,
    MOST_SERIES,
    MOST_STUDIES,
    FoundSeries,
    FoundStudy,
    Take,
    checked_uid,
    moment_of,
    number_of,
    refused,
)
from agent.deliver.settings import PriorWebArchive

DICOM_JSON: Final = "application/dicom+json"

AS_IT_IS: Final = 'multipart/related; type="application/dicom"; transfer-syntax=*'
"""An image in whatever transfer syntax the archive has it. Source: PS3.18 8.7.3.5.2."""

OK, NOTHING = 200, 204

IMAGE_BYTES: Final = 512 << 20
"""The file of one image is read up to this size [bytes]. Ours: the default of ``read.file_mb``."""

STUDY_UID, SERIES_UID, SOP_UID = "0020000D", "0020000E", "00080018"
DAY, TIME, MODALITY, N_IMAGES = "00080020", "00080030", "00080060", "00201209"
PATIENT_ID, PATIENT_NAME, BIRTH_DATE, ISSUER = "00100020", "00100010", "00100030", "00100021"
"""Attributes of answers. Source: PS3.6."""


class WebPriors:
    """One archive, with a request for each question and each image."""

    def __init__(self, settings: PriorWebArchive) -> None:
        """Speak to the archive of the settings."""
        self._settings = settings
        self._url = str(settings.url).rstrip("/")

    def greet(self) -> None:
        """Search for a study that nobody has. See ``PriorArchive``."""
        self._found("studies", {"StudyInstanceUID": "2.25.0"}, 1)

    def studies(self, patient_id: str, days: tuple[date, date]) -> list[FoundStudy]:
        """Search for a patient's CT studies. See ``PriorArchive``."""
        first, last = days
        asked = {
            "PatientID": patient_id,
            "ModalitiesInStudy": "CT",
            "StudyDate": f"{first:%Y%m%d}-{last:%Y%m%d}",
            "includefield": ISSUER,
        }
        return [
            FoundStudy(
                uid=checked_uid(_text(one, STUDY_UID), self._settings.name),
                patient_id=_text(one, PATIENT_ID),
                patient_name=_name(one),
                birth_date=_text(one, BIRTH_DATE),
                issuer=_text(one, ISSUER),
                at=moment_of(_text(one, DAY), _text(one, TIME)),
            )
            for one in self._found("studies", asked, MOST_STUDIES)
        ]

    def series(self, study_uid: str) -> list[FoundSeries]:
        """Search for a study's series. See ``PriorArchive``."""
        found = self._found(f"studies/{study_uid}/series", {}, MOST_SERIES)
        return [
            FoundSeries(
                uid=checked_uid(_text(one, SERIES_UID), self._settings.name),
                modality=_text(one, MODALITY),
                n_images=number_of(_text(one, N_IMAGES)),
            )
            for one in found
        ]

    def images(self, study_uid: str, series_uid: str) -> list[str]:
        """Search for a series' images. See ``PriorArchive``."""
        path = f"studies/{study_uid}/series/{series_uid}/instances"
        return [
            checked_uid(_text(one, SOP_UID), self._settings.name)
            for one in self._found(path, {}, MOST_IMAGES)
        ]

    def fetch(self, study_uid: str, series_uid: str, sop_uids: list[str], take: Take) -> None:
        """Retrieve one image after another. See ``PriorArchive``."""
        for sop_uid in sop_uids:
            path = f"studies/{study_uid}/series/{series_uid}/instances/{sop_uid}"
            take(self._part(self._answer(path, AS_IT_IS)))

    def _found(self, path: str, asked: dict[str, str], most: int) -> list[dict[str, Any]]:
        """Return what a search finds; refused where that is more than ``most``."""
        query = urlencode(asked | {"limit": str(most + 1)}, quote_via=quote)
        answer = self._answer(f"{path}?{query}", DICOM_JSON)
        if answer.status == NOTHING:
            return []
        try:
            found = json.loads(answer.body)
        except ValueError as error:
            raise refused(self._settings.name, "its answer is no JSON") from error
        if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
            raise refused(self._settings.name, "its answer is no list of data sets")
        if len(found) > most:
            raise refused(self._settings.name, f"its answer holds more than {most}")
        return found

    def _answer(self, path: str, accepted: str) -> Answer:
        answer = ask(
            self._settings,
            f"{self._url}/{path}",
            headers={"Accept": accepted},
            most_bytes=IMAGE_BYTES,
        )
        check_up(self._settings, answer)
        if answer.status not in (OK, NOTHING):
            raise refused(self._settings.name, answer.words)
        return answer

    def _part(self, answer: Answer) -> bytes:
        """Return the one part of a multipart answer."""
        header = Message()
        header["Content-Type"] = next(
            (value for name, value in answer.headers.items() if name.lower() == "content-type"), ""
        )
        mark = f"--{header.get_param('boundary', '')}".encode()
        begins = answer.body.find(b"\r\n\r\n", answer.body.find(mark))
        ends = answer.body.rfind(b"\r\n" + mark + b"--")
        if len(mark) <= len(b"--") or not 0 <= begins < ends:
            raise refused(self._settings.name, "its answer is no image")
        return answer.body[begins + len(b"\r\n\r\n") : ends]


def _value(one: dict[str, Any], tag: str) -> Any:  # noqa: ANN401 - of JSON
    element = one.get(tag)
    values = element.get("Value") if isinstance(element, dict) else None
    return values[0] if isinstance(values, list) and values else ""


def _text(one: dict[str, Any], tag: str) -> str:
    value = _value(one, tag)
    return str(value).strip() if isinstance(value, str | int | float) else ""


def _name(one: dict[str, Any]) -> str:
    """Return a name as DICOM writes it: up to three groups."""
    value = _value(one, PATIENT_NAME)
    if not isinstance(value, dict):
        return ""
    groups = (value.get(group, "") for group in ("Alphabetic", "Ideographic", "Phonetic"))
    return "=".join(map(str, groups)).rstrip(EMPTY)
