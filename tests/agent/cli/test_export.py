"""``bleedwatch export`` and ``prune``, as a service engineer calls them."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from agent.records import Instant
from agent.wiring import system_clock
from tests.agent.cli.conftest import Call
from tests.agent.reports import add_result, not_analysed, not_suspected, receive, report
from tests.agent.stored import Store

PNG = b"\x89PNG"
BLED, GAPPED = "1.2.3.1", "1.2.3.2"
PLANTED = "DOE^JANE", "P1", "19500101", "A1", "HEAD 5.0", "Schmidt", "a word of hers", "quoted"


@pytest.fixture
def study(store: Store) -> None:
    """A suspicion that someone acknowledged, and a series that was not analysed."""
    for uid in (BLED, GAPPED):
        receive(store, system_clock, uid)
    add_result(store, report(BLED), {"axial": PNG})
    reason = {"text": "a file's name, quoted"}
    add_result(store, not_analysed(GAPPED).model_copy(update=reason))
    store.console.acknowledge(BLED, 1, "MTRA Schmidt", "a word of hers")


def test_an_export_holds_results_and_key_slices_and_says_nothing_of_whose_they_are(
    study: None, call: Call, tmp_path: Path
) -> None:
    to = tmp_path / "out"

    told = call("export", "1.2.3", "--to", to)

    assert told.returncode == 0
    names = ["series-1-revision-1.png", "series-1.json", "series-2.json"]
    examinations = ["examination-1.json", "examination-2.json"]
    assert sorted(path.name for path in to.iterdir()) == examinations + names
    told_together = [json.loads((to / name).read_text()) for name in examinations]
    assert {one["state"] for one in told_together} == {"suspected", "not_analysed"}
    assert (to / "series-1-revision-1.png").read_bytes() == PNG
    exported = json.loads((to / "series-1.json").read_text())
    assert exported["series_uid"] == BLED
    (result,) = exported["results"]
    assert result["report"]["findings"][0]["volume_ml"] == 31.4
    assert result["acknowledged"]["at_utc"]
    for path in to.iterdir():
        assert [word for word in PLANTED if word.encode() in path.read_bytes()] == []
    assert to.stat().st_mode & 0o777 == 0o700
    audited = (tmp_path / "audit.log").read_text().splitlines()
    assert len(audited) == 2
    assert 'csd-code="110106"' in audited[0]
    assert 'csd-code="result-written"' in audited[0]
    assert f"series {BLED}, result 1" in audited[0]
    assert [word for word in ("DOE", "P1<", "19500101") if word in "".join(audited)] == []


def test_with_identity_it_says_whose_it_is_and_that_it_does(
    study: None, call: Call, tmp_path: Path
) -> None:
    told = call("export", "1.2.3", "--to", tmp_path / "out", "--with-identity")

    exported = "".join(path.read_text() for path in (tmp_path / "out").glob("*.json"))
    assert [word for word in PLANTED if word not in exported] == []
    assert "the patient's identity is in it" in told.stdout
    assert (tmp_path / "audit.log").read_text().count("result-written-with-identity") == 2


def test_nothing_is_overwritten(study: None, call: Call, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()

    refused = call("export", "1.2.3", "--to", tmp_path / "out")

    assert refused.returncode == 1
    assert "is there already" in refused.stderr
    assert list((tmp_path / "out").iterdir()) == []


def test_an_export_that_cannot_be_written_leaves_nothing_behind(
    study: None, call: Call, tmp_path: Path
) -> None:
    refused = call("export", "1.2.3", "--to", tmp_path / "none" / "out")

    assert refused.returncode == 1
    assert "No such file or directory" in refused.stderr


def test_prune_forgets_what_its_dry_run_told_of(store: Store, call: Call) -> None:
    long_ago = Instant(system_clock().utc - timedelta(days=500), 0.0)
    for number in range(3):
        receive(store, lambda: long_ago, f"1.2.{number}")
        add_result(store, not_suspected(f"1.2.{number}"), channels=())
    receive(store, lambda: long_ago, "1.2.3")
    add_result(store, report("1.2.3"), {"axial": PNG}, channels=())  # nobody has acknowledged it
    receive(store, system_clock, "1.2.4")

    dry = json.loads(call("prune", "--dry-run", "--json").stdout)
    text = call("prune", "--dry-run").stdout

    assert (dry["n_series"], dry["n_forgettable"], dry["forgotten"]) == (5, 3, 0)
    assert "would be forgotten: 3 series, about" in text
    assert len(store.queries.worklist(9)) == 5

    assert "forgotten: 3 series" in call("prune").stdout
    assert {row.uid for row in store.queries.worklist(9)} == {"1.2.3", "1.2.4"}
    assert json.loads(call("prune", "--json").stdout)["forgotten"] == 0
