"""agent.deliver.webhook: what is posted is signed, and identifies nobody unless that is set."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.deliver.settings import WebhookChannel
from agent.deliver.webhook import Webhook
from agent.errors import ArchiveRefused, ArchiveUnreachable
from tests.agent.deliver.results import AT, stored_result
from tests.agent.deliver.web import Web

SECRET = b"0123456789abcdef0123456789abcdef"


@pytest.fixture
def secret_file(tmp_path: Path) -> Path:
    file = tmp_path / "secret"
    file.write_text(f"whsec_{base64.b64encode(SECRET).decode()}\n")
    return file


def settings(url: str, secret_file: Path, **changes: Any) -> WebhookChannel:
    values = {"name": "hook", "url": url, "secret_file": secret_file, "timeout_s": 5.0}
    return WebhookChannel.model_validate(values | changes)


def post(web: Web, secret_file: Path, **changes: Any) -> None:
    with web.listening() as url:
        channel = Webhook(settings(f"{url}/hook", secret_file, **changes))
        letter = channel.letter(stored_result())
        channel.send(letter)
        assert channel.keeps(letter)


def test_a_result_is_posted_once_signed_over_id_time_and_body(secret_file: Path) -> None:
    web = Web(204)
    post(web, secret_file)
    post(web, secret_file)

    first, again = web.asked
    headers, others = (
        {name.lower(): value for name, value in one.headers.items()} for one in web.asked
    )
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + first.body
    wanted = base64.b64encode(hmac.new(SECRET, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{wanted}"
    assert again.body == first.body
    assert others["webhook-id"] == headers["webhook-id"]
    assert json.loads(first.body)["report"]["state"] == "suspected"


def test_nobody_is_identified_unless_the_site_wants_it(secret_file: Path) -> None:
    result = stored_result()
    named = replace(result, identity=replace(result.identity, patient_name="Müller^Jörg"))
    plain = Webhook(settings("http://h", secret_file)).letter(named).body.decode()
    whole = Webhook(settings("https://h", secret_file, identified=True)).letter(named).body.decode()

    identity = named.identity
    told = (identity.patient_name, identity.birth_date, identity.accession)
    assert not any(f'"{one}"' in plain for one in told)
    assert json.loads(plain)["patient"] is None
    assert all(f'"{one}"' in whole for one in told)
    with pytest.raises(ValueError, match="https"):
        settings("http://h", secret_file, identified=True)


@pytest.mark.parametrize(
    ("status", "error"), [(400, ArchiveRefused), (410, ArchiveRefused), (302, ArchiveRefused),
                          (500, ArchiveUnreachable), (429, ArchiveUnreachable)],
)  # fmt: skip
def test_what_is_not_taken_is_told(secret_file: Path, status: int, error: type[Exception]) -> None:
    with pytest.raises(error, match=f"HTTP {status} no"):
        post(Web(status, b"no"), secret_file)


@pytest.mark.parametrize(
    ("line", "why"), [("!!", "not base64"), ("whsec_YWJj", "less than 24"), (None, "No such file")]
)
def test_without_a_secret_nothing_is_posted(tmp_path: Path, line: str | None, why: str) -> None:
    file, web = tmp_path / "secret", Web()
    if line:
        file.write_text(line)

    with pytest.raises(ArchiveUnreachable, match=why):
        post(web, file)
    assert web.asked == []


def test_the_trial_says_to_be_one(secret_file: Path) -> None:
    web = Web(405)
    with web.listening() as url:
        channel = Webhook(settings(url, secret_file))
        channel.greet()
        web.status = 200
        channel.send(channel.trial("2.25.1", AT))

    assert [one.method for one in web.asked] == ["OPTIONS", "POST"]
    assert json.loads(web.asked[1].body)["type"] == "test"
