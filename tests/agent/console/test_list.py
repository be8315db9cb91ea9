"""The list over HTTP: in which order, how much of it, and what is found by which words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from agent.console.app import create_app
from agent.records import Acquisition, Identity
from agent.wiring import system_clock
from tests.agent.console.made import context_of
from tests.agent.reports import (
    add_result,
    finding,
    live,
    not_analysed,
    not_suspected,
    receive,
    report,
)
from tests.agent.stored import Store
from tests.schema import check

ASIDE = ("localizers_only", {})


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "store.sqlite", system_clock) as opened:
        live(opened, system_clock)
        yield opened


def client_of(store: Store, **settings: object) -> TestClient:
    return TestClient(create_app(context_of(store, **settings)), base_url="http://localhost")


def come(store: Store, uid: str, said: object = None, **more: object) -> None:
    """Let an examination of its own come, with what is said of it."""
    receive(store, system_clock, uid, study=f"2.{uid}", **more)
    if said is not None:
        add_result(store, said(uid).model_copy(update={"study_uid": f"2.{uid}"}))  # type: ignore[operator]


def of_ml(volume_ml: float, **changes: object):
    def said(uid: str):
        findings = (finding(volume_ml=volume_ml, **changes),)
        return report(uid, findings=findings, total_volume_ml=volume_ml, midline_shift_mm=None)

    return said


def uids(state: dict) -> list[str]:
    return [one["examination_uid"] for one in state["examinations"]]


def looked_for(store: Store, **asked: object) -> dict:
    answer = client_of(store).post("/api/examinations", json=asked).json()
    check("POST /api/examinations", answer)
    return answer


def test_what_waits_is_in_order_of_urgency_not_of_arrival(store: Store) -> None:
    come(store, "1.1", of_ml(40.0, subtype="epidural"))
    come(store, "1.2", not_analysed)
    come(store, "1.3", of_ml(12.0))
    come(store, "1.4", of_ml(0.2))
    come(store, "1.5", of_ml(11.0, region="cerebellum"))
    come(store, "1.6", not_suspected)

    state = client_of(store).get("/api/state").json()

    check("GET /api/state", state)
    assert uids(state) == ["1.1", "1.5", "1.3", "1.2", "1.4", "1.6"]
    assert [one["urgency"] for one in state["examinations"]] == [
        "immediate",
        "immediate",
        "prompt",
        "not_analysed",
        "small",
        None,
    ]


def test_a_head_that_was_not_analysed_stands_in_front_until_somebody_answers(store: Store) -> None:
    come(store, "1.2", not_analysed)
    come(store, "1.6", not_suspected)
    client = client_of(store)
    assert uids(client.get("/api/state").json()) == ["1.2", "1.6"]

    assert client.post("/api/series/1.2/1/acknowledge", json={"who": "Ann"}).status_code == 200

    state = client.get("/api/state").json()
    assert uids(state) == ["1.6", "1.2"]
    assert [one["urgency"] for one in state["examinations"]] == [None, None]


def test_one_answer_is_for_all_series_of_a_scan_that_were_not_analysed(store: Store) -> None:
    scan = Acquisition(frames_of_reference=frozenset({"1.9"}))
    for uid in ("1.5", "1.6"):
        receive(store, system_clock, uid, study="1.7", acquisition=scan)
        add_result(store, not_analysed(uid).model_copy(update={"study_uid": "1.7"}))

    store.console.acknowledge("1.6", 1, "Ann", "")

    (one,) = store.queries.listed(5, system_clock().utc)
    assert one.examination.unanalysed == ()


@pytest.mark.slow
def test_beyond_fifty_there_are_more_and_all_of_them_can_be_had(store: Store) -> None:
    for n in range(60):
        come(store, f"1.{n}", not_suspected)
        store.console.receipt(f"1.{n}", 1, "console")

    state = client_of(store).get("/api/state").json()
    assert (len(state["examinations"]), state["n_more"]) == (50, 10)
    assert uids(state)[0] == "1.59"

    found = looked_for(store, limit=55)
    assert (len(found["examinations"]), found["n_more"]) == (55, 5)
    assert looked_for(store, limit=60)["n_more"] == 0


def test_what_no_page_has_shown_is_listed_however_much_came_after_it(store: Store) -> None:
    for n in range(53):
        come(store, f"1.{n}", not_suspected)
        if n:
            store.console.receipt(f"1.{n}", 1, "console")

    assert uids(client_of(store).get("/api/state").json())[-1] == "1.0"
    store.console.receipt("1.0", 1, "console")
    assert "1.0" not in uids(client_of(store).get("/api/state").json())


MUELLER = Identity("P77", "M\u00dcLLER^KARL", "19610203", "M", "2.1.3", "ACC9")


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("m\u00fcller", ["1.3"]),
        ("karl m\u00fc", ["1.3"]),
        ("p77", ["1.3"]),
        ("acc9", ["1.3"]),
        ("1961-02-03", ["1.3"]),
        ("3.2.1961", ["1.3"]),
        ("doe", ["1.4", "1.1"]),
        ("doe karl", []),
        ("%", []),
        ("' OR 1 --", []),
        ("", ["1.4", "1.3", "1.1"]),
    ],
)
def test_an_examination_is_found_by_name_id_accession_and_dates(
    store: Store, words: str, found: list[str]
) -> None:
    for uid in ("1.1", "1.3", "1.4"):
        come(store, uid, not_suspected)
    store.sql(
        "UPDATE series SET patient_id = ?, patient_name = ?, birth_date = ?, accession = ?"
        " WHERE uid = '1.3'",
        MUELLER.patient_id,
        MUELLER.patient_name,
        MUELLER.birth_date,
        MUELLER.accession,
    )

    assert uids(looked_for(store, words=words)) == found


def test_an_examination_is_found_by_the_day_of_its_last_slice(store: Store) -> None:
    come(store, "1.1", not_suspected)
    today = f"{system_clock().utc.astimezone():%Y-%m-%d}"

    assert uids(looked_for(store, words=today)) == ["1.1"]
    assert uids(looked_for(store, words="2001-01-01")) == []


@pytest.mark.parametrize("patient", ["initials", "nothing"])
def test_nobody_is_found_by_what_the_page_does_not_show(store: Store, patient: str) -> None:
    come(store, "1.1", not_suspected)
    client = client_of(store, patient=patient)

    for words in ("doe", "P1", "1950-01-01"):
        assert client.post("/api/examinations", json={"words": words}).json()["examinations"] == []


@pytest.mark.parametrize(
    ("show", "found"),
    [
        ("any", ["1.5", "1.4", "1.3", "1.2", "1.1"]),
        ("suspected", ["1.4", "1.3", "1.1"]),
        ("not_analysed", ["1.2"]),
        ("unanswered", ["1.2", "1.1"]),
        ("disagreed", ["1.5", "1.4"]),
    ],
)
def test_what_came_of_it_is_filtered(store: Store, show: str, found: list[str]) -> None:
    for uid, said in (("1.1", report), ("1.2", not_analysed), ("1.3", report), ("1.4", report)):
        come(store, uid, said)
    come(store, "1.5", not_suspected)
    store.console.acknowledge("1.3", 1, "Ann", "")
    store.console.acknowledge("1.4", 1, "Ann", "", "artefact")
    store.console.judge("1.5", 1, "Dr Bob", "missed", agrees=False)

    assert uids(looked_for(store, show=show)) == found


@pytest.mark.parametrize("asked", [{"show": "all"}, {"limit": 0}, {"limit": 1001}, {"words": 7}])
def test_what_cannot_be_looked_for_is_refused(store: Store, asked: dict) -> None:
    assert client_of(store).post("/api/examinations", json=asked).status_code == 422


def test_ten_thousand_examinations_cost_no_more_queries_and_rows_than_fifty(store: Store) -> None:
    """Counted, not timed: what SQLite reads for a snapshot does not grow with the list."""
    for n in range(55):
        come(store, f"1.{n}", not_suspected)
        store.console.receipt(f"1.{n}", 1, "console")
    few = steps_of(store)
    with store.database.writing() as db:
        copy_of = "SELECT 1 AS n UNION ALL SELECT n + 1 FROM more WHERE n < 10000"
        columns = [row["name"] for row in db.execute("PRAGMA table_info(series)")]
        own = {
            "uid": "'7.' || more.n",
            "study_uid": "'8.' || more.n",
            "last_utc": "'2020-01-01T00:00:00+00:00'",
        }
        chosen = ", ".join(own.get(name, name) for name in columns)
        db.execute(
            f"WITH RECURSIVE more (n) AS ({copy_of}) INSERT INTO series"
            f" SELECT {chosen} FROM series, more WHERE uid = '1.0'"
        )

    many = steps_of(store)

    assert many["n_more"] == few["n_more"] + 10_000
    assert many["statements"] == few["statements"]
    assert many["steps"] < few["steps"] + 10_000  # counting them alone looks at each


def steps_of(store: Store) -> dict[str, int]:
    """Count what SQLite does for one snapshot: statements, and thousands of its VM's steps."""
    client, counted = client_of(store), {"statements": 0, "steps": 0}
    client.get("/api/state")
    db = store.database._db

    def step() -> int:
        counted["steps"] += 1
        return 0

    def statement(_: str) -> None:
        counted["statements"] += 1

    db.set_trace_callback(statement)
    db.set_progress_handler(step, 100)
    state = client.get("/api/state").json()
    db.set_trace_callback(None)
    db.set_progress_handler(None, 0)
    return counted | {"n_more": state["n_more"]}
