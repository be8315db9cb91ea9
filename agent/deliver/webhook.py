"""A web service of the site's that is POSTed results as JSON, signed after Standard Webhooks."""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict

from agent.deliver.channel import refused, unreachable
from agent.deliver.http import ask, check_up
from agent.deliver.result import NOT_FOR_DIAGNOSIS, StoredResult, derived_uuid
from agent.deliver.settings import WebhookChannel
from agent.deliver.site_text import SiteText
from agent.deliver.trial import is_trial, trial_result
from agent.report import SeriesReport, utc_text

SECRET: Final = "whsec_"  # noqa: S105 - how a secret in base64 begins
"""Source: Standard Webhooks, signature scheme."""


SHORTEST_BYTES: Final = 24
"""Source: Standard Webhooks, signature scheme: between 24 and 64 bytes."""


class Patient(BaseModel):
    """Who a result is of, as DICOM writes it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    patient_id: str
    patient_name: str
    birth_date: str
    sex: str
    accession: str


class WebhookBody(BaseModel):
    """What is POSTed of one result; ``patient`` is None unless the site wants it told."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Literal["result", "test"]
    note: str = NOT_FOR_DIAGNOSIS
    timestamp: str
    """When the result was there, UTC."""
    supersedes: str | None
    """``result_id`` of the result whose place this one takes."""
    report: SeriesReport
    patient: Patient | None


@dataclass(frozen=True, slots=True)
class Post:
    """A body, and its ID: the same each time it is sent."""

    id: str
    body: bytes


class Webhook:
    """One web service, with a request for each result."""

    def __init__(self, settings: WebhookChannel) -> None:
        """Post to the URL of the settings; ConfigError where its template is wrong."""
        self._settings = settings
        self._own_text = (
            SiteText(settings, identified=settings.identified, check=json.loads)
            if settings.template
            else None
        )

    def greet(self) -> None:
        """Make sure that somebody answers, whatever it is: nothing is told. See ``Channel``."""
        self._secret()
        check_up(
            self._settings,
            ask(self._settings, str(self._settings.url), method="OPTIONS", headers={}),
        )

    def letter(self, result: StoredResult) -> Post:
        """Write what is posted of a result. See ``Channel``."""
        parts = ("webhook", self._settings.name, result.report.result_id)
        named = f"msg_{derived_uuid(*parts, str(result.report.revision)).hex}"
        own_text = self._own_text.of(result) if self._own_text else None
        return Post(named, (own_text or self._body(result).model_dump_json()).encode())

    def _body(self, result: StoredResult) -> WebhookBody:
        identity = result.identity
        patient = Patient(
            patient_id=identity.patient_id,
            patient_name=identity.patient_name,
            birth_date=identity.birth_date,
            sex=identity.sex,
            accession=identity.accession,
        )
        return WebhookBody(
            type="test" if is_trial(result) else "result",
            timestamp=utc_text(result.at),
            supersedes=result.predecessor,
            report=result.report,
            patient=patient if self._settings.identified else None,
        )

    def trial(self, study_uid: str, at: datetime) -> Post:
        """Write a test of nobody. See ``Channel``."""
        return self.letter(trial_result(study_uid, at))

    def send(self, letter: Post) -> None:
        """Post a letter; any 2xx takes it. See ``Channel``."""
        answer = ask(
            self._settings,
            str(self._settings.url),
            method="POST",
            body=letter.body,
            headers={
                "Content-Type": "application/json",
                **signed(letter, self._secret(), int(time.time())),
            },
        )
        check_up(self._settings, answer)
        if not 200 <= answer.status < 300:  # noqa: PLR2004
            raise refused(self._settings, answer.words)

    def keeps(self, letter: Post) -> bool:
        """Hold what was taken to be kept: there is nobody else to ask. See ``Channel``."""
        return bool(letter.id)

    def _secret(self) -> bytes:
        try:
            line = self._settings.secret_file.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise unreachable(self._settings, f"secret_file: {error.strerror}") from error
        try:
            secret = base64.b64decode(line.removeprefix(SECRET), validate=True)
        except (binascii.Error, ValueError) as error:
            raise unreachable(self._settings, "secret_file: it is not base64") from error
        if len(secret) < SHORTEST_BYTES:
            raise unreachable(self._settings, f"secret_file: of less than {SHORTEST_BYTES} bytes")
        return secret


def signed(letter: Post, secret: bytes, now_s: int) -> dict[str, str]:
    """Return the headers that sign a body: HMAC-SHA256 over ID, POSIX time and body.

    Source: Standard Webhooks, signature scheme.
    """
    content = f"{letter.id}.{now_s}.".encode() + letter.body
    signature = base64.b64encode(hmac.digest(secret, content, "sha256")).decode("ascii")
    return {
        "webhook-id": letter.id,
        "webhook-timestamp": str(now_s),
        "webhook-signature": f"v1,{signature}",
    }
