"""agent.deliver.fhir: one report whatever happens on the way, of resources that others can read."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from fhir.resources.R4B.bundle import Bundle

from agent.deliver.fhir import FhirServer
from agent.deliver.fhir_bundle import SYSTEMS, transaction
from agent.deliver.http import Answer
from agent.deliver.result import StoredResult
from agent.deliver.settings import FhirChannel
from agent.dispatch import wait_s
from agent.errors import ArchiveRefused, ArchiveUnreachable
from agent.reasons import english
from tests.agent.deliver.results import AT, stored_result
from tests.agent.deliver.test_codes import all_codes
from tests.agent.deliver.web import Asked, Web
from tests.agent.doctor.scratch import free_port


def settings(url: str = "http://127.0.0.1:1/fhir", **changes: Any) -> FhirChannel:
    values = {"name": "ehr", "url": url, "timeout_s": 5.0}
    return FhirChannel.model_validate(values | changes)


@dataclass
class Server(Web):
    """A FHIR server as far as a transaction of conditional updates goes; it keeps each resource."""

    kept: dict[str, dict[str, Any]] = field(default_factory=dict)
    lost_answers: int = 0

    def answer(self, asked: Asked) -> tuple[int, bytes]:
        self.asked.append(asked)
        if asked.method == "GET":
            return 200, b'{"resourceType": "CapabilityStatement"}'
        entries = json.loads(asked.body)["entry"]
        stati = [self._put(entry) for entry in entries]
        if self.lost_answers:
            self.lost_answers -= 1
            return 504, b""
        responses = [{"response": {"status": status}} for status in stati]
        return 200, json.dumps({"type": "transaction-response", "entry": responses}).encode()

    def _put(self, entry: dict[str, Any]) -> str:
        request = entry["request"]
        assert request["method"] == "PUT"
        (sought,) = parse_qs(urlsplit(request["url"]).query)["identifier"]
        known = sought in self.kept
        self.kept[sought] = entry["resource"]
        return "200 OK" if known else "201 Created"

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [one for one in self.kept.values() if one["resourceType"] == kind]


def send(web: Web, *results: StoredResult, **changes: Any) -> None:
    with web.listening() as url:
        channel = FhirServer(settings(f"{url}/fhir", **changes))
        for result in results:
            letter = channel.letter(result)
            channel.send(letter)
            assert channel.keeps(letter)


def resources(result: StoredResult, **changes: Any) -> list[dict[str, Any]]:
    """The resources of a result, once another library has read them."""
    bundle = transaction(result, settings(**changes))
    Bundle.model_validate(bundle)
    return [entry["resource"] for entry in bundle["entry"]]


def codes_in(resource: Any) -> list[dict[str, Any]]:
    if isinstance(resource, list):
        return [code for one in resource for code in codes_in(one)]
    if not isinstance(resource, dict):
        return []
    own = resource.get("coding", [])
    return [*own, *(code for one in resource.values() for code in codes_in(one))]


def test_a_suspicion_is_a_preliminary_report_of_its_study_with_measured_findings() -> None:
    server = Server()
    send(server, stored_result())

    (report,) = server.of("DiagnosticReport")
    assert report["status"] == "preliminary"
    assert report["subject"]["identifier"] == {"value": "P1"}
    assert report["basedOn"][0]["identifier"]["value"] == "A1"
    study = report["imagingStudy"][0]["identifier"]
    assert study == {
        "system": "urn:dicom:uid",
        "value": f"urn:oid:{stored_result().report.study_uid}",
    }
    assert "AI result, not for diagnosis" in report["conclusion"]
    answer, subdural, ventricular = server.of("Observation")
    assert answer["valueCodeableConcept"]["coding"][0]["code"] == "suspected"
    assert subdural["valueCodeableConcept"]["coding"][0]["code"] == "35486000"
    assert ventricular["bodySite"]["coding"][0]["code"] == "35764002"
    (volume,) = (
        one["valueQuantity"] for one in subdural["component"]
        if one["code"]["coding"][0]["code"] == "118565006"
    )  # fmt: skip
    assert (volume["value"], volume["code"]) == (31.4, "mL")


@pytest.mark.parametrize(
    "result",
    [
        stored_result(),
        replace(stored_result(predecessor="former"), n_former_findings=4),
        stored_result(state="not_suspected", findings=(), total_volume_ml=0.0),
        stored_result(
            state="not_analysed", findings=(), text="slices are missing", score=None,
            midline_shift_mm=None, engine=None,
        ),
    ],
    ids=["suspected", "amended", "not suspected", "not analysed"],
)  # fmt: skip
def test_another_library_reads_each_answer_and_every_code_is_pinned(result: StoredResult) -> None:
    known = {(SYSTEMS[one.scheme_designator], one.value, one.meaning) for one in all_codes()}
    read = resources(result, priority="stat", patient_system="urn:hospital")

    shown = [one for one in codes_in(read) if "display" in one]
    assert {(one["system"], one["code"], one["display"]) for one in shown} <= known
    assert "no hemorrhage" not in json.dumps(read).lower()


def test_sent_twice_or_with_its_answer_lost_a_result_is_there_once() -> None:
    server = Server(lost_answers=1)
    with pytest.raises(ArchiveUnreachable, match="HTTP 504"):
        send(server, stored_result())
    n_kept = len(server.kept)

    send(server, stored_result(), stored_result())

    assert len(server.kept) == n_kept == 4
    assert server.asked[0].body == server.asked[-1].body


def test_a_later_result_takes_the_place_of_the_earlier_and_withdraws_its_findings() -> None:
    server = Server()
    former = stored_result(result_id="first")
    later = stored_result(
        result_id="second", revision=2, predecessor="first", state="not_suspected", findings=()
    )
    send(server, former, replace(later, n_former_findings=2), priority="stat")

    (report,) = server.of("DiagnosticReport")
    assert report["status"] == "amended"
    assert len(report["result"]) == 1
    assert [one["status"] for one in server.of("Observation")] == [
        "amended", "entered-in-error", "entered-in-error",
    ]  # fmt: skip
    assert [one["status"] for one in server.of("Task")] == ["cancelled"]


def test_a_suspicion_asks_to_be_read_sooner_where_the_site_wants_it() -> None:
    (task,) = (one for one in resources(stored_result(), priority="stat") if "focus" in one)
    assert (task["resourceType"], task["priority"], task["status"]) == ("Task", "stat", "requested")

    calm = stored_result(state="not_suspected", findings=())
    assert not any("focus" in one for one in resources(calm, priority="stat"))
    assert not any("focus" in one for one in resources(stored_result()))


def test_a_site_may_ask_that_the_server_knows_the_patient() -> None:
    for one in resources(stored_result(), patient_system="urn:oid:1.2|x"):
        assert one["subject"]["reference"] == "Patient?identifier=urn%3Aoid%3A1.2%7Cx%7CP1"

    result = stored_result()
    nobody = replace(result, identity=replace(result.identity, patient_id="", accession=""))
    assert resources(nobody)[0]["subject"] == {"type": "Patient", "display": "unknown"}


def outcome(diagnostics: str) -> bytes:
    issue = {"severity": "error", "code": "processing", "diagnostics": diagnostics}
    return json.dumps({"resourceType": "OperationOutcome", "issue": [issue]}).encode()


@pytest.mark.slow
@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 412, 422])
def test_a_refusal_is_told_in_the_servers_own_words(status: int) -> None:
    with pytest.raises(ArchiveRefused) as refused:
        send(Web(status, outcome("Unbekannter Patient")), stored_result())

    assert english(refused.value.reason) == (
        f"ehr refused the message: HTTP {status} Unbekannter Patient"
    )


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("said", ["120", "in a while", ""])
def test_who_is_busy_is_left_alone_for_as_long_as_it_asks(status: int, said: str) -> None:
    headers = {"Retry-After": said} if said else {}
    with pytest.raises(ArchiveUnreachable) as busy:
        send(Web(status, b"slow down", headers), stored_result())

    problem = busy.value.reason
    assert wait_s(1, problem) == (120.0 if said == "120" else 15.0)
    assert "slow down" in english(problem)


def test_a_moment_to_be_tried_again_may_be_a_date() -> None:
    now_s = AT.timestamp()
    later = format_datetime(AT + timedelta(seconds=90), usegmt=True)

    assert Answer(503, b"", {"Retry-After": later}).retry_after_s(now_s) == 90.0
    assert Answer(503, b"", {"Retry-After": "²"}).retry_after_s(now_s) is None


def test_no_answer_in_time_and_nobody_there_are_told() -> None:
    with pytest.raises(ArchiveUnreachable, match=r"timed out|TimeoutError"):
        send(Web(delay_s=0.5), stored_result(), timeout_s=0.1)
    with pytest.raises(ArchiveUnreachable, match="Connection refused"):
        FhirServer(settings(f"http://127.0.0.1:{free_port()}")).greet()


@pytest.mark.parametrize(
    "body",
    [
        b"", b"<html>", b"[]", b'{"type": "transaction-response"}',
        b'{"type": "transaction-response", "entry": [{"response": {"status": "201"}}]}',
        b'{"type": "transaction-response", "entry": [1, {"response": 2}, {}, {}]}',
        b'{"type": "batch-response", "entry": []}', b"\xff",
    ],
)  # fmt: skip
def test_a_200_that_does_not_speak_of_every_resource_is_no_receipt(body: bytes) -> None:
    with pytest.raises(ArchiveRefused, match="of 4 resources"):
        send(Web(200, body), stored_result())


def test_a_token_is_for_the_server_alone_and_nobody_is_redirected(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("Bearer abc\n")
    other = Web()
    with other.listening() as elsewhere:
        web = Web(307, b"", {"Location": elsewhere})
        with pytest.raises(ArchiveRefused, match="HTTP 307"):
            send(web, stored_result(), authorization_file=token)

    assert web.asked[0].headers["Authorization"] == "Bearer abc"
    assert other.asked == []


def test_the_trial_is_tagged_as_a_test_of_nobody() -> None:
    server = Server()
    with server.listening() as url:
        channel = FhirServer(settings(url, patient_system="urn:hospital", priority="stat"))
        channel.greet()
        channel.send(channel.trial("2.25.1", AT))

    assert {one["meta"]["tag"][0]["code"] for one in server.kept.values()} == {"HTEST"}
    (report,) = server.of("DiagnosticReport")
    assert report["subject"]["identifier"]["value"] == "BLEEDWATCH-TEST"
    assert server.of("Task") == []
