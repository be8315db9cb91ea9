"""What people say of a result, over HTTP and as the store keeps it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from agent.console.app import create_app
from agent.console.feedback import REASONS
from agent.records import Acquisition
from agent.wiring import system_clock
from tests.agent.console.made import context_of
from tests.agent.reports import (
    add_result,
    live,
    not_analysed,
    not_suspected,
    receive,
    report,
    series_shown,
)
from tests.agent.stored import Store
from tests.schema import check

RESULT = "/api/series/1.2.3.4/1"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "store.sqlite", system_clock) as opened:
        receive(opened, system_clock)
        add_result(opened, report())
        live(opened, system_clock)
        yield opened


def client_of(store: Store, **settings: object) -> TestClient:
    made = context_of(store, **settings)
    return TestClient(create_app(made), base_url="http://localhost")


@pytest.fixture
def client(store: Store) -> TestClient:
    return client_of(store)


def shown(client: TestClient) -> dict:
    (series,) = series_shown(client.get("/api/state").json())
    return series


def test_a_dismissed_alert_is_over_and_says_why(client: TestClient) -> None:
    values = {"who": "Ann", "note": "seen in March", "dismissed_because": "known bleed"}

    assert client.post(f"{RESULT}/acknowledge", json=values).status_code == 200

    series = shown(client)
    assert series["alert"] is None
    assert series["acknowledged"]["dismissed_because"] == "known bleed"
    assert series["acknowledged"]["note"] == "seen in March"


def test_the_first_of_two_who_answer_stands(client: TestClient) -> None:
    client.post(f"{RESULT}/acknowledge", json={"who": "Ann"})

    second = client.post(
        f"{RESULT}/acknowledge", json={"who": "Bob", "dismissed_because": "artefact"}
    )

    check("POST /api/series/{uid}/{revision}/acknowledge", second.json())
    assert second.json()["who"] == "Ann"
    assert second.json()["dismissed_because"] is None


def test_an_answer_is_taken_back_and_the_alert_waits_again(client: TestClient) -> None:
    client.post(f"{RESULT}/acknowledge", json={"who": "Ann", "dismissed_because": "artefact"})

    assert client.post(f"{RESULT}/take-back", json={"who": "Bob"}).status_code == 204

    series = shown(client)
    assert series["acknowledged"] is None
    assert series["alert"]["revision"] == 1
    back = series["taken_back"]
    assert (back["who"], back["dismissed_because"], back["by_whom"]) == ("Ann", "artefact", "Bob")
    assert client.get("/api/state").json()["today"]["dismissed"] == 0
    assert client.post(f"{RESULT}/take-back", json={"who": "Bob"}).status_code == 404
    client.post(f"{RESULT}/acknowledge", json={"who": "Cy"})
    assert shown(client)["acknowledged"]["who"] == "Cy"


def test_an_answer_is_taken_back_for_all_that_it_was_given_for(
    client: TestClient, store: Store
) -> None:
    frame = Acquisition(frames_of_reference=frozenset({"1.9"}))
    for uid in ("1.5", "1.6"):
        receive(store, system_clock, uid, acquisition=frame, study="1.77")
        add_result(store, report(uid, study_uid="1.77"))
    store.console.acknowledge("1.6", 1, "Ann", "")
    assert len(store.queries.answered_through("1.6", 1)) == 1

    assert client.post("/api/series/1.5/1/take-back", json={"who": "Bob"}).status_code == 204

    (one,) = [row for row in store.queries.listed(9, system_clock().utc) if len(row.series) == 2]
    assert len(one.examination.waiting) == 2
    assert store.queries.taken_back_with("1.5", 1) == [("1.6", 1)]


@pytest.mark.parametrize(
    ("path", "values"),
    [
        ("acknowledge", {"who": "Ann", "dismissed_because": "boredom"}),
        ("acknowledge", {"who": "Ann", "dismissed_because": "other"}),
        ("acknowledge", {"who": "Ann", "dismissed_because": ["artefact"]}),
        ("take-back", {"who": ""}),
        ("verdict", {"who": "Ann"}),
        ("verdict", {"who": "", "agrees": True}),
        ("verdict", {"who": "Ann", "agrees": "yes"}),
    ],
    ids=[
        "no-reason-of-ours",
        "other-than-what",
        "list",
        "back-by-nobody",
        "no-verdict",
        "nobody",
        "text",
    ],
)
def test_what_says_nothing_is_refused(client: TestClient, path: str, values: dict) -> None:
    assert client.post(f"{RESULT}/{path}", json=values).status_code == 422

    series = shown(client)
    assert (series["acknowledged"], series["verdict"]) == (None, None)


def test_the_page_offers_the_reasons_that_are_taken(client: TestClient) -> None:
    (choice,) = re.findall(r'<select name="reason".+?</select>', client.get("/").text, re.DOTALL)

    assert re.findall(r'<option value="(.+?)"', choice) == list(REASONS)


def test_a_verdict_on_nothing_is_refused(client: TestClient) -> None:
    values = {"who": "Ann", "agrees": True}

    assert client.post("/api/series/1.2.3.4/7/verdict", json=values).status_code == 404


def test_who_changes_their_mind_is_heard_and_the_latest_verdict_counts(
    client: TestClient, store: Store
) -> None:
    for who, agrees in (("Ann", True), ("Bob", True), ("Ann", False)):
        client.post(f"{RESULT}/verdict", json={"who": who, "agrees": agrees, "note": "read"})

    assert shown(client)["verdict"]["agrees"] is False
    assert client.get("/api/state").json()["today"]["dismissed"] == 1


def test_the_day_in_numbers(client: TestClient, store: Store) -> None:
    for n, said in enumerate(
        [report, report, report, report, not_suspected, not_analysed, not_analysed]
    ):
        receive(store, system_clock, f"1.{n}")
        add_result(store, said(f"1.{n}"))
    store.console.judge("1.0", 1, "Ann", "", agrees=True)
    store.console.judge("1.1", 1, "Ann", "", agrees=False)
    store.console.acknowledge("1.2", 1, "Ann", "", "artefact")
    store.console.acknowledge("1.3", 1, "Ann", "", "artefact")
    store.console.judge("1.3", 1, "Dr Bob", "", agrees=True)  # dismissed in haste
    store.console.judge("1.4", 1, "Dr Bob", "a bleed was missed", agrees=False)

    counts = client.get("/api/state").json()["today"]

    assert counts == {
        "examinations": 8,
        "suspected": 5,
        "confirmed": 2,
        "dismissed": 2,
        "not_analysed": 2,
    }


def test_what_was_said_is_there_to_be_exported(store: Store) -> None:
    receive(store, system_clock, "1.9")
    add_result(store, not_suspected("1.9"))
    receive(store, system_clock, "1.10")
    store.console.acknowledge("1.2.3.4", 1, "Ann", "", "artefact")
    store.console.judge("1.9", 1, "Dr Bob", "missed", agrees=False)

    found = store.queries.feedback_since(datetime(2000, 1, 1, tzinfo=timezone.utc))

    assert {row.uid for row in found} == {"1.2.3.4", "1.9"}


@pytest.mark.parametrize(
    ("patient", "name", "patient_id"),
    [("full", "DOE^JANE", "P1"), ("initials", "D.^J.", ""), ("nothing", "", "")],
)
def test_a_site_says_how_much_of_the_patient_is_shown(
    store: Store, tmp_path: Path, patient: str, name: str, patient_id: str
) -> None:
    who = shown(client_of(store, patient=patient))["patient"]

    assert (who["patient_name"], who["patient_id"]) == (name, patient_id)
    assert (who["birth_date"] == "19500101") is (patient == "full")


def test_a_small_disk_is_told_before_it_is_full(
    store: Store, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    live(store, system_clock)
    roomy = client.get("/api/state").json()
    monkeypatch.setattr("agent.console.snapshot.LOW_BYTES", 10**18)  # any disk is low then

    low = client.get("/api/state").json()

    assert roomy["low_disk_bytes"] is None
    assert 0 < low["low_disk_bytes"] < 10**18
    assert low["problem"] is None
