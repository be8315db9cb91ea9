"""agent.console over HTTP: what it tells, what it takes, whom it refuses."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from agent.console.address import Address, is_loopback
from agent.console.app import create_app
from agent.console.server import serve
from agent.errors import ConfigError
from agent.records import TEST_MARK, Instant
from agent.report import utc_text
from agent.store.rows import Selftest
from agent.wiring import system_clock
from tests.agent.console.made import context_of
from tests.agent.reports import (
    add_result,
    live,
    not_analysed,
    receive,
    recorded,
    report,
    series_shown,
)
from tests.agent.stored import Store

UID = "1.2.3.4"
RESULT = f"/api/series/{UID}/1"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "store.sqlite", system_clock) as opened:
        receive(opened, system_clock)
        add_result(opened, report(), {"axial": b"\x89PNG"})
        live(opened, system_clock)
        yield opened


@pytest.fixture
def app(store: Store, tmp_path: Path) -> Starlette:
    return create_app(context_of(store))


@pytest.fixture
def client(app: Starlette) -> TestClient:
    return TestClient(app, base_url="http://localhost")


def test_the_state_is_the_worklist_and_the_agent(client: TestClient) -> None:
    state = client.get("/api/state").json()

    assert state["problem"] is None
    (series,) = series_shown(state)
    assert series["patient"]["patient_name"] == "DOE^JANE"
    assert series["report"] == report().model_dump(mode="json")
    assert series["last_slice_age_s"] >= 0


def test_acknowledging_records_who_once(client: TestClient, store: Store) -> None:
    first = client.post(f"{RESULT}/acknowledge", json={"who": " Ann ", "note": "called"})
    second = client.post(f"{RESULT}/acknowledge", json={"who": "Bob"})

    assert first.json() == second.json()
    row = store.queries.series(UID)
    assert row is not None
    assert row.acknowledged is not None
    assert (row.acknowledged.who, row.acknowledged.note) == ("Ann", "called")


def test_a_result_that_was_shown_is_delivered(client: TestClient, store: Store) -> None:
    assert client.post(f"{RESULT}/shown", json={}).status_code == 204
    assert store.queries.undelivered() == []


def test_how_far_a_result_is_on_its_way_to_an_archive_is_told(
    client: TestClient, store: Store
) -> None:
    store.sql(
        "INSERT INTO outbox (series_uid, revision, channel, since_utc, since_monotonic_s, sent_utc,"
        " sent_monotonic_s) VALUES (?, 1, 'pacs', '2026-01-01T00:00:00+00:00', 1.0,"
        " '2026-01-01T00:00:02+00:00', 3.0)",
        UID,
    )

    shown = client.get("/api/state").json()["examinations"][0]["series"][0]["sent"]

    (pacs,) = shown
    assert (pacs["channel"], pacs["sent_utc"]) == ("pacs", "2026-01-01T00:00:02Z")
    assert (pacs["delivered_utc"], pacs["problem"]) == (None, None)


@pytest.mark.parametrize(
    ("path", "values", "headers", "status"),
    [
        (f"{RESULT}/acknowledge", {"who": ""}, {}, 422),
        ("/api/series/9.9/1/acknowledge", {"who": "Ann"}, {}, 404),
        (f"{RESULT}/acknowledge", {"who": "Ann"}, {"Origin": "http://elsewhere"}, 403),
        (f"{RESULT}/acknowledge", {"who": "Ann"}, {"Sec-Fetch-Site": "cross-site"}, 403),
        (f"{RESULT}/acknowledge", {"who": "Ann"}, {"Host": "rebound.example"}, 400),
        (f"{RESULT}/acknowledge", {"who": "Ann"}, {"Content-Type": "text/plain"}, 415),
        (f"{RESULT}/acknowledge", ["Ann"], {}, 400),
        (f"{RESULT}/acknowledge", {"who": None}, {}, 422),
        (f"{RESULT}/acknowledge", {"who": "\u202e\u200b"}, {}, 422),
        (f"{RESULT}/acknowledge", {"who": "Ann", "note": 7}, {}, 422),
        (f"{RESULT}/acknowledge", {"who": "x" * 20_000}, {}, 413),
        (f"/api/series/{UID}/{10**20}/acknowledge", {"who": "Ann"}, {}, 404),
        (f"{RESULT}/shown", {}, {"Origin": "http://elsewhere"}, 403),
    ],
    ids=[
        "nobody",
        "unknown",
        "origin",
        "cross-site",
        "host",
        "form",
        "no-object",
        "null",
        "unseen-marks",
        "note-is-a-number",
        "too-long",
        "huge-revision",
        "receipt-from-elsewhere",
    ],
)
def test_what_is_refused(
    client: TestClient, store: Store, path: str, values: object, headers: dict, status: int
) -> None:
    assert client.post(path, json=values, headers=headers).status_code == status

    row = store.queries.series(UID)
    assert row is not None
    assert row.acknowledged is None
    assert len(store.queries.undelivered()) == 1


@pytest.mark.parametrize(
    "body", [b"who=Ann", b"\xff\xfe", b"[" * 10_000], ids=["form", "no-text", "deep"]
)
def test_what_is_not_json_is_refused(client: TestClient, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}

    assert client.post(f"{RESULT}/acknowledge", content=body, headers=headers).status_code == 400


def test_this_pages_own_origin_may_act(client: TestClient) -> None:
    headers = {"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}

    answer = client.post(f"{RESULT}/acknowledge", json={"who": "Ann"}, headers=headers)

    assert answer.status_code == 200


def test_a_name_is_one_line_of_a_hundred_characters(client: TestClient) -> None:
    answer = client.post(f"{RESULT}/acknowledge", json={"who": "Ann\nLee" + "x" * 200})

    assert answer.json()["who"] == "Ann Lee" + "x" * 93


def test_what_cannot_be_stored_now_is_unavailable_and_not_a_fault(
    store: Store, client: TestClient
) -> None:
    store.pragma("query_only", "ON")  # as a disk that was mounted read-only again

    answer = client.post(f"{RESULT}/acknowledge", json={"who": "Ann"})

    assert answer.status_code == 503
    assert "readonly" in answer.text


def test_a_fault_carries_the_security_headers_too(app: Starlette, store: Store) -> None:
    client = TestClient(app, base_url="http://localhost", raise_server_exceptions=False)
    store.sql("DROP TABLE agent")

    answer = client.get("/api/state")

    assert answer.status_code == 500
    assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_an_alert_outlives_a_later_result(client: TestClient, store: Store) -> None:
    later = not_analysed(UID).model_copy(update={"revision": 2, "result_id": "later"})
    add_result(store, later)

    (series,) = series_shown(client.get("/api/state").json())

    assert series["report"]["state"] == "not_analysed"
    assert series["alert"] == report().model_dump(mode="json")


@pytest.mark.parametrize("path", ["/", "/api/state", "/static/console.js", "/nothing"])
def test_every_answer_carries_the_security_headers(client: TestClient, path: str) -> None:
    headers = client.get(path).headers

    assert "default-src 'none'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"


def test_the_key_slice_is_served_and_only_where_there_is_one(client: TestClient) -> None:
    assert client.get(f"{RESULT}/views/axial.png").content == b"\x89PNG"
    assert client.get("/api/series/9.9/1/views/axial.png").status_code == 404


@pytest.mark.parametrize(
    ("host", "own"),
    [("127.0.0.1", True), ("localhost", True), ("::1", True), ("0.0.0.0", False), ("ct1", False)],
)
def test_loopback(host: str, own: bool) -> None:
    assert is_loopback(host) == own


def test_a_port_in_use_is_refused_with_what_to_do(store: Store, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ConfigError, match="in use") as refusal:
            serve(context_of(store), Address(*taken.getsockname()))

    assert "console.port" in refusal.value.what_to_do


def test_a_slice_of_an_earlier_boot_has_no_age(client: TestClient, store: Store) -> None:
    now = system_clock()
    days_ago = Instant(now.utc - timedelta(days=2), now.monotonic_s - 300)
    receive(store, lambda: days_ago, "1.9")

    ages = {
        s["series_uid"]: s["last_slice_age_s"]
        for s in series_shown(client.get("/api/state").json())
    }

    assert ages["1.9"] is None
    assert ages[UID] is not None


def test_a_self_tests_series_says_so_and_is_not_counted(client: TestClient, store: Store) -> None:
    receive(store, system_clock, f"{TEST_MARK}1.9")

    state = client.get("/api/state").json()

    assert {s["series_uid"]: s["test"] for s in series_shown(state)} == {
        UID: False,
        f"{TEST_MARK}1.9": True,
    }
    assert state["today"]["examinations"] == 1


def test_a_failed_self_test_is_told_beside_the_alerts(client: TestClient, store: Store) -> None:
    assert client.get("/api/state").json()["selftest"] == {"at_utc": None, "problem": None}
    now = system_clock()

    store.console.note_selftest(Selftest(now, recorded("not suspected: score 0.31")))

    state = client.get("/api/state").json()
    assert state["selftest"]["at_utc"] == utc_text(now.utc)
    problem = state["selftest"]["problem"]
    assert problem["text"] == "SELF-TEST FAILED: not suspected: score 0.31"
    assert state["problem"] is None
    assert series_shown(state)[0]["alert"] is not None


def test_a_daily_self_test_that_never_came_is_told(client: TestClient, store: Store) -> None:
    live(store, system_clock, selftest_daily=True)

    told = client.get("/api/state").json()["selftest"]["problem"]

    assert told["code"] == "selftest_missing"


def test_the_page_says_at_its_foot_which_version_serves_it(client: TestClient) -> None:
    assert f"<span>Bleedwatch {version('bleedwatch')}</span>" in client.get("/").text
