"""``bleedwatch registry``: results leave the box, and whose they are does not."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta, timezone
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from fhir.resources.R4B.bundle import Bundle
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.handover.registry import age_years
from agent.handover.registry_export import export_registry
from agent.records import Acquisition, Identity, Instant
from agent.store.readings import Judgement
from tests.agent.cli.conftest import Call
from tests.agent.handover.planted import spellings
from tests.agent.reports import add_result, finding, not_analysed, not_suspected, receive, report
from tests.agent.stored import Store

NOON = datetime(2026, 10, 15, 12, tzinfo=timezone.utc)
OCTOBER = datetime(2026, 10, 1, tzinfo=timezone.utc), datetime(2026, 11, 1, tzinfo=timezone.utc)
BLED, CLEAR, REFUSED = "1.2.840.99.1", "1.2.840.99.2", "1.2.840.99.3"


def noon() -> Instant:
    return Instant(NOON, 0.0)


def fill(store: Store) -> None:
    """Let three examinations come in October, one after it, and one that nobody needs."""
    for uid, told in ((BLED, report), (CLEAR, not_suspected), (REFUSED, not_analysed)):
        receive(store, noon, uid, study=f"{uid}.9")
        add_result(store, told(uid))
    later = Instant(NOON + timedelta(days=40), 0.0)
    receive(store, lambda: later, "1.2.840.99.4", study="1.2.840.99.4.9")
    add_result(store, report("1.2.840.99.4"))
    receive(store, noon, "1.2.840.99.5", study="1.2.840.99.5.9")
    add_result(store, report("1.2.840.99.5", state="not_analysed", code="not_head", findings=()))
    store.console.acknowledge(BLED, 1, "Ann", "of her", "artefact")
    store.console.judge(CLEAR, 1, "Dr Bob", "a bleed was missed", agrees=False)
    store.console.read(
        BLED, 1, "Dr Bob", Judgement(judged="not_blood", finding=0, instead="calcification")
    )


def written(folder: Path) -> tuple[list[dict[str, str]], Bundle]:
    """Read an export by others: Python's csv, and fhir.resources."""
    with (folder / "registry.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return rows, Bundle.model_validate_json((folder / "registry.fhir.json").read_text())


def test_a_month_is_told_with_result_and_agreement(
    store: Store, call: Call, tmp_path: Path
) -> None:
    fill(store)

    said = call(
        "registry", "--since", "2026-10-01", "--until", "2026-11-01", "--to", tmp_path / "october",
        "--json",
    )  # fmt: skip

    assert json.loads(said.stdout)["n_examinations"] == 3
    rows, bundle = written(tmp_path / "october")
    by_result = {row["result"]: row for row in rows}
    assert by_result.keys() == {"suspected", "not_suspected", "not_analysed"}
    bled = by_result["suspected"]
    assert (bled["month"], bled["age_years"], bled["sex"]) == ("2026-10", "76", "F")
    assert (bled["subtypes"], bled["total_volume_ml"], bled["score"]) == (
        "subdural",
        "31.4",
        "0.97",
    )
    assert (bled["answered"], bled["dismissed_because"]) == ("dismissed", "artefact")
    assert (bled["n_not_blood"], bled["n_correct"], bled["report_signed"]) == ("1", "0", "False")
    assert by_result["not_suspected"]["verdict"] == "disagree"
    assert by_result["not_analysed"]["code"] == "slices_missing"
    kinds = [entry.resource.get_resource_type() for entry in bundle.entry]
    assert (kinds.count("Patient"), kinds.count("ImagingStudy")) == (3, 3)
    assert kinds.count("Observation") == 3 + 1 + 2
    names = {entry.fullUrl for entry in bundle.entry}
    assert len(names) == len(kinds)
    assert all(
        entry.resource.subject.reference in names
        for entry in bundle.entry
        if entry.resource.get_resource_type() != "Patient"
    )
    audit = (tmp_path / "audit.log").read_text()
    assert "registry-exported" in audit
    assert "3 examinations, 2026-10-01" in audit


def test_an_examination_has_one_name_on_a_box_and_another_on_the_next(tmp_path: Path) -> None:
    named = []
    for box in ("a", "a", "b"):
        (tmp_path / box).mkdir(exist_ok=True)
        to = tmp_path / f"{box}{len(named)}"
        with Store(tmp_path / f"{len(named)}.sqlite", noon) as store:
            fill(store)
            export_registry(store.queries, *OCTOBER, tmp_path / box / "registry.key", to)
        named.append([row["examination"] for row in written(to)[0]])

    first, again, elsewhere = named
    assert first == again == sorted(first)
    assert not set(first) & set(elsewhere)
    assert (tmp_path / "a" / "registry.key").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("birth_date", "years"),
    [
        ("19500101", 76),
        ("19501016", 75),
        ("19361015", 90),
        ("19361016", 89),
        ("19060101", 90),
        ("20261015", 0),
        ("20270101", None),
        ("JANE DOE", None),
        ("", None),
    ],
)
def test_ages_above_89_are_one(birth_date: str, years: int | None) -> None:
    assert age_years(birth_date, date(2026, 10, 15)) == years


def test_of_a_time_in_which_nothing_came_nothing_is_written(
    store: Store, call: Call, tmp_path: Path
) -> None:
    said = call("registry", "--since", "2026-10-01", "--to", tmp_path / "out")

    assert said.returncode == 1
    assert "no examination" in said.stderr
    assert not (tmp_path / "out").exists()


FRAMES = (
    "@", "@^JANE", "@=山田^太郎", "=cmd|'/C @'!A1", '"},{"name":"@', "<b>@</b>", "@\n@", "@,@;@",
    "a\x00@", "~@|^&\\", "@\u202e", "../@", "%s@", "${@}", "M\\@",
)  # fmt: skip
"""Ways in which a name, a number or a text may try to come through."""


@st.composite
def hostile(draw: st.DrawFn) -> list[dict[str, str]]:
    """Examinations of which every text, UID and date is one that an export can be searched for."""
    numbers = count(draw(st.integers(10**8, 9 * 10**8)))

    def text() -> str:
        return draw(st.sampled_from(FRAMES)).replace("@", f"Zq{next(numbers)}")

    dates = "19310207", "1931.02.07", "1931-02-07", "20240229"
    texts = "patient_id", "patient_name", "accession", "sex", "description", "who", "note", "box"
    return [
        {place: text() for place in texts}
        | {"birth_date": draw(st.sampled_from((*dates, text())))}
        | {"uid": f"1.2.826.0.{next(numbers)}.{next(numbers)}"}
        for _ in range(4)
    ]


@contextmanager
def exported(people: list[dict[str, str]]) -> Iterator[bytes]:
    """Export examinations of these people, of which somebody said something."""
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        with Store(folder / "bleedwatch.sqlite", noon) as store:
            for one in people:
                receive(
                    store, noon, one["uid"],
                    identity=Identity(
                        one["patient_id"], one["patient_name"], one["birth_date"], one["sex"],
                        f"{one['uid']}.1", one["accession"],
                    ),
                    description=one["description"],
                    acquisition=Acquisition(scanner=one["box"], thickness_mm=5.0),
                )  # fmt: skip
                told = report(one["uid"], study_uid=f"{one['uid']}.1", findings=(finding(),))
                add_result(store, told)
                store.console.acknowledge(one["uid"], 1, one["who"], one["note"], "other")
                store.console.judge(one["uid"], 1, one["who"], one["note"], agrees=True)
                missed = Judgement(judged="missed", voxel_kji=(1, 2, 3), note=one["note"])
                store.console.read(one["uid"], 1, one["who"], missed)
            export_registry(store.queries, *OCTOBER, folder / "registry.key", folder / "out")
        rows, _ = written(folder / "out")
        assert len(rows) == len(people)
        yield b"\n".join(path.read_bytes() for path in (folder / "out").iterdir())


@pytest.mark.slow
@settings(max_examples=5, deadline=None, database=None)
@given(hostile())
def test_no_identity_comes_through_whatever_it_holds(people: list[dict[str, str]]) -> None:
    with exported(people) as content:
        whole = content.lower()
    for one in people:
        for place, value in one.items():
            day = {value, re.sub(r"[.-]", "", value)} if "Zq" not in value else set[str]()
            for sought in day | set(re.findall(r"Zq\d+|\d{9}", value)):
                seen = [one for one in spellings(f"{sought}^{sought}") if one in whole]
                assert not seen, (place, sought)
