"""agent.deliver.site_text: what a site words itself is sent so, and is tried before it is used."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.parser import parse_message
from typer.testing import CliRunner

from agent.cli import build_app
from agent.deliver.channel import Channel
from agent.deliver.commitments import Commitments
from agent.deliver.result import NOT_FOR_DIAGNOSIS, StoredResult
from agent.deliver.settings import (
    EmailChannel,
    FhirChannel,
    Hl7Channel,
    SendingChannel,
    WebhookChannel,
)
from agent.dispatch import channel_of
from agent.errors import ArchiveRefused, ConfigError
from agent.reasons import english
from tests.agent.deliver.results import stored_result
from tests.agent.reports import finding, identity

CHANNELS: dict[str, tuple[type, dict[str, Any]]] = {
    "hl7": (Hl7Channel, {"host": "127.0.0.1"}),
    "fhir": (FhirChannel, {"url": "http://127.0.0.1:1/fhir"}),
    "email": (
        EmailChannel,
        {"host": "127.0.0.1", "sender": "a@site.example", "recipients": ["b@site.example"]},
    ),
    "webhook": (WebhookChannel, {"url": "https://127.0.0.1:1/", "secret_file": "/dev/null"}),
}

WORDS = """\
{{ headline|upper }}
{% for one in report.findings %}
{{ loop.index }}. {{ one.subtype }}, {{ one.where }}: {{ "%.0f"|format(one.volume_ml) }} mL
{% endfor %}
{{ note }}
Ring 4711.
"""

BODY = (
    """{"text": {{ (headline ~ " " ~ note)|tojson }}, "report": {{ report.model_dump_json() }}}"""
)

Made = Callable[..., Channel[Any]]


@pytest.fixture
def made(tmp_path: Path) -> Made:
    """``made("hl7", template)`` is a channel whose site words results so."""

    def make(kind: str, template: str, **changes: Any) -> Channel[Any]:
        path = tmp_path / f"{kind}.txt"
        path.write_text(template, "utf-8")
        return channel_of(settings(kind, template=path, **changes), Commitments())

    return make


def settings(kind: str, **changes: Any) -> SendingChannel:
    of_kind, values = CHANNELS[kind]
    channel: SendingChannel = of_kind.model_validate({"name": "it", **values, **changes})
    return channel


def of_patient(name: str, **changes: Any) -> StoredResult:
    return replace(stored_result(**changes), identity=identity(name))


def texts_in(message: str) -> list[str]:
    read = parse_message(message, validation_level=VALIDATION_LEVEL.STRICT)
    return [
        obx.obx_5.value
        for obx in read.ORU_R01_PATIENT_RESULT.ORU_R01_ORDER_OBSERVATION.children.get(
            "ORU_R01_OBSERVATION"
        )
        for obx in [obx.obx]
        if obx.obx_2.value == "TX"
    ]


EXPECTED = [
    "INTRACRANIAL HEMORRHAGE SUSPECTED",
    "1. subdural, left frontal: 31 mL",
    "2. intraventricular, right ventricles: 4 mL",
    "AI result, not for diagnosis. Made by default 0.1.0, read by no physician.",
    "Ring 4711.",
]


def test_a_message_has_the_sites_lines(made: Made) -> None:
    message = made("hl7", WORDS).letter(stored_result()).text

    assert texts_in(message) == EXPECTED


def test_a_fhir_report_has_the_sites_conclusion(made: Made) -> None:
    bundle = json.loads(made("fhir", WORDS).letter(stored_result()).transaction)

    (report,) = (
        one["resource"]
        for one in bundle["entry"]
        if one["resource"]["resourceType"] == "DiagnosticReport"
    )
    assert report["conclusion"].split("\n") == EXPECTED


def test_a_mail_has_the_sites_first_line_as_its_subject(made: Made) -> None:
    mail: EmailMessage = made("email", WORDS).letter(stored_result())

    assert mail["Subject"] == EXPECTED[0]
    assert mail.get_content().split("\n") == [*EXPECTED[1:], ""]


def test_a_webhook_is_posted_the_sites_json(made: Made) -> None:
    result = stored_result()

    post = made("webhook", BODY).letter(result)

    body = json.loads(post.body)
    assert body["text"].startswith("Intracranial hemorrhage suspected AI result")
    assert body["report"]["series_uid"] == result.report.series_uid
    assert post.id == channel_of(settings("webhook"), Commitments()).letter(result).id


@pytest.mark.parametrize("kind", CHANNELS)
def test_without_a_template_nothing_changes_and_with_one_the_patient_is_told_where_allowed(
    kind: str, made: Made
) -> None:
    names = '{"x": "{{ patient.patient_name }} {{ note }}"}'
    result = of_patient("DOE^JANE")
    if kind in ("email", "webhook"):
        with pytest.raises(ConfigError, match="line 1: 'patient' is undefined"):
            made(kind, names)

    told = made(kind, names, **({"identified": True} if kind in ("email", "webhook") else {}))

    assert "JANE" in str(vars(told.letter(result)) if kind == "email" else told.letter(result))


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("{{ note }}\n{{ reprt.score }}", "line 2: 'reprt' is undefined"),
        ("{{ note }}\n\n{% for %}", "line 3: "),
        ("{{ note }} {{ report.midline_shift_mm * 2 }}", "line 1: unsupported operand"),
        ("All is well.", "without {{ note }}"),
        ("{% if answer == 'suspected' %}{{ note }}{% endif %}", "without {{ note }}"),
        ("{{ note }}{{ ''.__class__.__mro__ }}", "line 1: access to attribute '__class__'"),
        ("{{ note }}{{ 'x' * 10000 }}", "more than 8000 characters"),
        ("{{ note }}{% include '/etc/passwd' %}", "line 1: no loader"),
    ],
    ids=[
        "name",
        "syntax",
        "missing",
        "no note",
        "note at times",
        "sandbox",
        "endless",
        "other file",
    ],
)
def test_a_template_that_cannot_be_used_is_refused_at_once(
    template: str, why: str, made: Made
) -> None:
    with pytest.raises(ConfigError) as error:
        made("hl7", template)

    assert str(error.value).startswith("it: its template cannot be used: ")
    assert why in str(error.value)


def test_a_template_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"No such file or directory: {tmp_path}"):
        channel_of(settings("hl7", template=tmp_path / "words.txt"), Commitments())


def test_a_webhooks_template_must_give_json(made: Made) -> None:
    with pytest.raises(ConfigError, match="Expecting"):
        made("webhook", '{"text": {{ note }}}')


def test_a_template_that_fails_with_one_result_alone_names_its_line_and_no_patient(
    made: Made,
) -> None:
    channel = made("hl7", "{{ note }}\n{{ 1 // (report.findings|length - 3) }}")

    with pytest.raises(ArchiveRefused) as error:
        channel.letter(of_patient("DOE^JANE", findings=(finding(),) * 3))

    assert english(error.value.reason).endswith("line 2: ZeroDivisionError")


def test_values_of_strangers_stay_values(made: Made) -> None:
    template = "{{ patient.patient_name }}|{{ note }}"
    result = of_patient("A|B\rOBX|9\nBcc: x@y.example\x1b")

    (line,) = [
        one for one in made("hl7", template).letter(result).text.split("\r") if "|TX|" in one
    ][:1]
    mail = made("email", template, identified=True).letter(result)

    assert r"A\F\B" in line
    assert mail["Subject"] == "A|B"
    assert mail["Bcc"] is None


def test_a_template_with_an_error_is_told_by_the_commands(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("{{ note }}{{ nothing }}", "utf-8")
    config = tmp_path / "agent.toml"
    config.write_text(
        f'export_folder = "{tmp_path}"\nstate_folder = "{tmp_path / "state"}"\n'
        '[[deliver.hl7]]\nname = "ris"\nhost = "127.0.0.1"\n'
        f'template = "{tmp_path / "words.txt"}"\n'
    )

    tried = CliRunner().invoke(
        build_app("deliver"), ["deliver", "test", "ris", "--config", str(config)]
    )

    assert isinstance(tried.exception, ConfigError)
    assert "ris: its template cannot be used: line 1: 'nothing' is undefined" in str(
        tried.exception
    )


def test_every_result_says_what_it_is_not_for(made: Made) -> None:
    for state in ("suspected", "not_suspected", "not_analysed"):
        result = stored_result(
            state=state, findings=(finding(),) if state == "suspected" else (), score=0.1
        )
        assert NOT_FOR_DIAGNOSIS in made("hl7", WORDS).letter(result).text
