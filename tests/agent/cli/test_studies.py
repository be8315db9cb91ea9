"""``bleedwatch studies`` and ``show``, as a service engineer calls them."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from agent.reasons import Reason
from agent.records import Acquisition, Instant
from agent.store.delivery_store import DeliveryStore
from agent.store.effects import NoteFile
from agent.store.readings import Judgement, Section, Sentence
from agent.store.rows import FileNote
from agent.wiring import system_clock
from tests.agent.cli.conftest import Call
from tests.agent.reports import add_result, not_analysed, not_suspected, receive, report
from tests.agent.stored import Store

PNG = b"\x89PNG of the second revision"
BLED, CLEAR, GAPPED, OLD = "1.2.3.1", "1.2.3.2", "1.2.3.3", "1.2.3.4"


@pytest.fixture(autouse=True)
def day(store: Store) -> None:
    """One series of each answer, and one of ten days ago."""
    now = system_clock()
    receive(store, lambda: Instant(now.utc - timedelta(days=10), now.monotonic_s), OLD)
    for uid in (BLED, CLEAR, GAPPED):
        receive(store, system_clock, uid)
    timings_s = {"slice_stage": 0.41, "total": 1.38}
    add_result(store, not_suspected(OLD))
    add_result(store, not_suspected(CLEAR))
    add_result(store, not_analysed(GAPPED))
    add_result(store, report(BLED, timings_s=timings_s), {"axial": b"\x89PNG"})
    add_result(store, report(BLED, revision=2, timings_s=timings_s), {"axial": PNG})
    store.console.receipt(BLED, 1, "console")
    store.console.acknowledge(BLED, 1, "MTRA Schmidt", "seen")


@pytest.mark.parametrize(
    ("words", "uids"),
    [
        ((), [BLED, GAPPED, CLEAR, OLD]),
        (("--limit", 1), [BLED]),
        (("--limit", 2), [BLED, GAPPED]),
        (("doe", "p1"), [BLED, GAPPED, CLEAR, OLD]),
        (("doe", "--state", "not_analysed"), [GAPPED]),
        (("doe", "--since", "7d", "--limit", 1), [GAPPED]),
        (("nobody",), []),
        (("--state", "not_suspected"), [CLEAR, OLD]),
        (("--state", "not_suspected", "--since", "7d"), [CLEAR]),
        (("--state", "suspected", "--state", "not_analysed"), [GAPPED, BLED]),
        (("--since", "90min", "--limit", 1), [GAPPED]),
        (("--since", "2020-01-31"), [GAPPED, CLEAR, BLED, OLD]),
    ],
    ids=lambda value: " ".join(map(str, value)) or "all",
)
def test_studies_are_chosen_by_state_time_and_number(
    call: Call, words: tuple[object, ...], uids: list[str]
) -> None:
    listed = json.loads(call("studies", "--json", *words).stdout)

    assert sorted(row["examination_uid"] for row in listed) == sorted(uids)


@pytest.mark.parametrize("words", ["yesterday", "99999999999d", "2026-02-30"])
def test_what_is_no_moment_is_refused_with_examples(call: Call, words: str) -> None:
    refused = call("studies", "--since", words)

    assert refused.returncode == 2
    assert "such as 90min, 2h, 7d or 2026-11-23" in refused.stderr


def test_show_tells_where_a_result_comes_from_and_who_has_seen_it(call: Call) -> None:
    text = call("show", BLED).stdout
    (shown,) = json.loads(call("show", BLED, "--json").stdout)

    for words in (
        "subdural, left frontal: 31.4 mL (24.0 to 39.0), slice 15",
        "networks   default 0.1.0, ONNX Runtime 1.20.1, CPU",
        "profile    generic-head",
        "point      balanced, score 0.5 and above",
        "complete   by geometry",
        "slice_stage  0.41 s",
        "MTRA Schmidt",
        "console: not yet",
    ):
        assert words in text
    first, second = shown["series"][0]["results"]
    assert [one["report"]["revision"] for one in (first, second)] == [1, 2]
    assert [one["deliveries"][0]["delivered_utc"] is None for one in (first, second)] == [
        False,
        True,
    ]
    assert first["acknowledged"]["note"] == "seen"
    assert "DOE" not in text + json.dumps(shown)


def test_show_tells_what_was_read_and_who_signed(call: Call, store: Store) -> None:
    wrong = Judgement(judged="not_blood", finding=0, instead="calcification")
    store.console.read(BLED, 2, "Dr Bob", wrong)
    sentences = (Sentence(text="No bleed suspected.", reason=None),)
    section = Section(section="impression", title="Impression", sentences=sentences)
    store.console.sign((BLED, 2), "Dr Bob", "en", (section,))

    text = call("show", BLED).stdout
    (shown,) = json.loads(call("show", BLED, "--json").stdout)

    assert "read       finding 1: not blood, calcification; Dr Bob, " in text
    assert "report     version 1 on revision 2; Dr Bob, " in text
    (series,) = shown["series"]
    assert series["readings"][0]["judgement"]["instead"] == "calcification"
    signed = series["signed_reports"][0]
    assert signed["sections"][0]["sentences"][0]["text"] == "No bleed suspected."


def test_show_names_the_files_that_could_not_be_read(call: Call, store: Store) -> None:
    read = FileNote("/in/I001", 1, 1, GAPPED, "1.2.3.3.1", None, settled=True)
    cut = replace(read, path="/in/I002", sop_uid="1.2.3.3.2", refusal=Reason("pixels_not_written"))
    store.agent.commit([NoteFile(read), NoteFile(cut)])

    text = call("show", GAPPED).stdout
    (shown,) = json.loads(call("show", GAPPED, "--json").stdout)

    assert "not read   /in/I002" in text
    assert "I001" not in text
    assert [one["unread_files"] for one in shown["series"]] == [["/in/I002"]]


def test_show_writes_the_latest_key_slice_and_overwrites_nothing(
    call: Call, tmp_path: Path
) -> None:
    path = tmp_path / "key.png"

    assert call("show", BLED, "--image", path).returncode == 0
    assert path.read_bytes() == PNG

    path.write_bytes(b"another's")
    again = call("show", BLED, "--image", path)
    assert again.returncode == 1
    assert "File exists" in again.stderr
    assert path.read_bytes() == b"another's"


def test_show_says_that_there_is_no_key_slice(call: Call, tmp_path: Path) -> None:
    refused = call("show", CLEAR, "--image", tmp_path / "key.png")

    assert refused.returncode == 1
    assert "there is no key slice" in refused.stderr
    assert not (tmp_path / "key.png").exists()


def test_studies_lists_an_examination_once_and_its_series_where_asked(
    call: Call, store: Store
) -> None:
    frame = frozenset({"1.2.9"})
    for uid, thickness_mm, place in (("1.7.5", 5.0, 2), ("1.7.1", 0.6, 0)):
        scan = Acquisition(frozenset({2}), frame, thickness_mm=thickness_mm, preference=place)
        receive(store, system_clock, uid, name="ROE^R", acquisition=scan)
        add_result(store, report(uid))

    once = call("studies", "--state", "suspected").stdout
    each = call("studies", "--state", "suspected", "--series").stdout
    text = call("show", "1.7.1").stdout

    assert once.count("▲ SUSPECTED") == 2  # with that of the day's other patient
    assert "the thin slices (0.6 mm) confirm" in " ".join(once.split())
    assert all(uid in each for uid in ("1.7.5", "1.7.1", "0.6 mm"))
    assert "2 series" in text
    assert "1.7.5" in text


def test_studies_fits_a_terminal_of_eighty_columns_and_says_that_there_are_more(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    setenv = monkeypatch.setenv
    monkeypatch.setattr(monkeypatch, "setenv", lambda name, _: setenv(name, "80"))

    listed = call("studies", "--series", "--limit", 3).stdout

    assert max(map(len, listed.splitlines())) <= 80
    assert "… and more: --limit 6" in listed
    assert "subdural left frontal 31.4 mL" in listed


@pytest.mark.parametrize("words", [("studies",), ("show", BLED), ("status",)], ids=" ".join)
def test_a_moment_is_printed_with_t_and_z(call: Call, words: tuple[str, ...]) -> None:
    said = call(*words).stdout

    assert re.search(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", said)
    assert not re.search(r"(?<!T)\b\d\d:\d\d:\d\d", said)


def test_what_came_of_an_order_is_told_with_its_delivery(store: Store, call: Call) -> None:
    receive(store, system_clock, "1.2.3.7")
    add_result(store, report("1.2.3.7"), channels=("console", "ehr"))
    sending = DeliveryStore(store.database, system_clock)
    (delivery,) = sending.waiting("ehr")
    sending.sent(delivery, Reason("order_raised", channel="ehr", priority="stat"))
    sending.delivered(delivery)

    assert "ehr: the order was raised to stat" in call("show", "1.2.3.7").stdout
    assert json.loads(call("deliver", "list", "--json").stdout)["waiting"] == []
