"""agent.console.reader: the radiologist's API, as HTTP clients of each role meet it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from agent.console.app import create_app
from agent.console.settings import LANGUAGES
from agent.console.spoken import Speaker
from agent.console.words import words
from agent.handover.facts import series_facts
from agent.reasons import Reason
from agent.reasons.reading import READING
from agent.store.drawings import DrawnSegment
from agent.store.view import SeriesView
from agent.wiring import system_clock
from tests.agent.console.made import context_of
from tests.agent.console.signed_in import Page, Ward
from tests.agent.console.stacks import keep_stack
from tests.agent.reports import add_result, finding, not_analysed, not_suspected, receive, report
from tests.agent.stored import Store
from tests.schema import check

UID = "1.2.3.4"
RESULT = f"/api/series/{UID}/1"
FINDINGS = (
    finding(),
    finding(subtype="epidural", side="right", region="temporal", volume_ml=2.5),
)
RIGHT = {"judged": "correct", "finding": 0}
DRAWN = {"slices": [{"k": 4, "runs": [70, 10, 134, 5]}, {"k": 5, "runs": [70, 5]}]}
VOXEL_ML = 5.0 * 1.8 * 1.8 / 1000
NOT_BLOOD = {"judged": "not_blood", "finding": 1, "instead": "calcification"}


@pytest.fixture
def ward(tmp_path: Path) -> Iterator[Ward]:
    with Store(tmp_path / "store.sqlite", system_clock) as store:
        opened = Ward(store, tmp_path / "audit.log")
        opened.add("rae", "radiologist")
        receive(store, system_clock, UID)
        add_result(store, report(UID, findings=FINDINGS))
        yield opened


@pytest.fixture
def rae(ward: Ward) -> Page:
    return ward.page().enter(ward, "rae")


def examination(page: Page | TestClient, uid: str = UID, query: str = "") -> dict:
    http = page.http if isinstance(page, Page) else page
    answer = http.get(f"/api/exam/{uid}{query}")
    assert answer.status_code == 200, answer.text
    check("GET /api/exam/{uid}", answer.json())
    return answer.json()


def sentences(told: dict, section: str) -> list[str]:
    (one,) = [one for one in told["draft"]["sections"] if one["section"] == section]
    return [sentence["text"] for sentence in one["sentences"]]


def as_text(told: dict) -> dict[str, str]:
    return {
        one["section"]: "\n".join(sentence["text"] for sentence in one["sentences"])
        for one in told["draft"]["sections"]
    }


class TestWhoMay:
    """Radiologists read and sign; others look."""

    @pytest.mark.parametrize("path", ["/exam/1.2.3.4", "/reading", "/exam?accession=A1"])
    def test_a_link_leads_through_the_sign_in_and_back(self, ward: Ward, path: str) -> None:
        answer = ward.page().http.get(path, follow_redirects=False)

        assert answer.status_code == 303
        to = answer.headers["location"]
        assert to.startswith("/sign-in?to=%2F")
        assert ward.page().http.get(f"/api{path}").status_code == 401

    @pytest.mark.parametrize("name", ["ann", "sam"])
    def test_others_look_and_may_not_read_or_sign(self, ward: Ward, name: str) -> None:
        other = ward.page().enter(ward, name)

        told = examination(other)

        assert told["may_not_read"]["code"] == told["may_not_sign"]["code"]
        assert told["may_not_read"]["code"] == "readings_for_radiologists"
        for action, values in (("reading", RIGHT), ("report", {}), ("reading-taken-back", {})):
            refused = other.post(f"{RESULT}/{action}", values)
            assert refused.status_code == 403
            assert refused.json()["code"] == "readings_for_radiologists"
        assert ward.store.queries.readings(UID) == []

    def test_without_sign_in_findings_are_read_by_name_and_nothing_is_signed(
        self, tmp_path: Path
    ) -> None:
        with Store(tmp_path / "store.sqlite", system_clock) as store:
            receive(store, system_clock, UID)
            add_result(store, report(UID, findings=FINDINGS))
            http = TestClient(create_app(context_of(store)), "http://localhost")

            assert examination(http)["may_not_read"] is None
            assert http.post(f"{RESULT}/reading", json=RIGHT).status_code == 422
            made = http.post(f"{RESULT}/reading", json=RIGHT | {"who": "Dr Rae"})
            signed = http.post(f"{RESULT}/report", json={"who": "Dr Rae"})

        assert made.json()["who"] == "Dr Rae"
        assert signed.status_code == 403
        assert signed.json()["code"] == "report_not_signed_in"

    def test_a_radiologist_is_closed_out_of_what_is_for_service(self, rae: Page) -> None:
        assert rae.http.get("/metrics").status_code == 403


class TestLinks:
    """From the PACS, by accession number."""

    def test_one_examination_is_opened_and_several_are_listed(self, ward: Ward, rae: Page) -> None:
        assert (
            rae.http.get("/exam?accession=A1", follow_redirects=False).headers["location"]
            == f"/exam/{UID}"
        )

        receive(ward.store, system_clock, "1.5", "ROE^RICHARD")  # of the same accession number
        answer = rae.http.get("/exam?accession=A1", follow_redirects=False)
        assert answer.headers["location"] == "/reading?accession=A1"
        listed = rae.http.get("/api/reading?accession=A1").json()["examinations"]
        assert {one["examination_uid"] for one in listed} == {UID, "1.5"}

        unknown = rae.http.get("/exam?accession=A%25_", follow_redirects=False)
        assert unknown.headers["location"] == "/reading?accession=A%25_"
        assert rae.http.get("/api/reading?accession=A%25_").json()["examinations"] == []

    @pytest.mark.parametrize(
        "query",
        ["", "?accession=", "?accession=%20", f"?accession={'1' * 65}", "?accession=1%0d%0aSet"],
    )
    def test_what_is_no_accession_number_is_refused(self, rae: Page, query: str) -> None:
        assert rae.http.get(f"/exam{query}", follow_redirects=False).status_code == 422

    @pytest.mark.parametrize("uid", ["9.9", "%27%20OR%201=1", "..%2f..%2fetc", "<script>"])
    def test_what_is_no_examination_is_not_found(self, rae: Page, uid: str) -> None:
        assert rae.http.get(f"/api/exam/{uid}").status_code == 404
        assert "<script>" not in rae.http.get(f"/exam/{uid}").text.partition("<script>")[2]


def test_the_reading_list_puts_bleeds_first_and_what_is_signed_last(ward: Ward, rae: Page) -> None:
    for n, (name, result) in enumerate(
        {
            "LARGE^": report("1.5", total_volume_ml=60.0, study_uid="1.5"),
            "CLEAR^": not_suspected("1.6"),
            "REFUSED^": not_analysed("1.7"),
        }.items()
    ):
        receive(ward.store, system_clock, result.series_uid, name)
        ward.store.sql("UPDATE series SET study_uid = ? WHERE uid = ?", f"1.2.{n}", f"1.{5 + n}")
        add_result(ward.store, result)

    def listed() -> list[str]:
        answer = rae.http.get("/api/reading").json()
        check("GET /api/reading", answer)
        return [one["patient"]["patient_name"] for one in answer["examinations"]]

    assert listed() == ["LARGE^", "DOE^JANE", "REFUSED^", "CLEAR^"]
    told = examination(rae)
    text = as_text(told)
    assert rae.post(f"{RESULT}/report", {"language": "en", "sections": text}).status_code == 200
    assert listed() == ["LARGE^", "REFUSED^", "CLEAR^", "DOE^JANE"]
    assert "images" not in ward.audit_path.read_text()
    assert "examination" in ward.audit_path.read_text()


class TestReadings:
    """Judgements on findings."""

    def test_each_is_stored_beside_the_result_and_changes_the_draft(
        self, ward: Ward, rae: Page
    ) -> None:
        assert sentences(examination(rae), "impression") == [
            (
                "Suspected intracranial hemorrhage: subdural, left frontal, 31.4 mL; "
                "epidural, right temporal, 2.5 mL."
            )
        ]
        keep_stack(ward.store)
        changed = {"judged": "changed", "finding": 0, "subtype": "epidural", "side": "right"}
        missed = {"judged": "missed", "voxel_kji": [3, 20, 30], "subtype": "subarachnoid"}
        for judgement in (changed, NOT_BLOOD, missed):
            answer = rae.post(f"{RESULT}/reading", judgement)
            check("POST /api/series/{uid}/{revision}/reading", answer.json())
            assert answer.json()["who"] == "rae"

        told = examination(rae)

        assert sentences(told, "findings") == [
            (
                "Hemorrhage, epidural, right frontal: 31.4 mL (90 % interval 24.0 to 39.0), "
                "80 by 12 by 60 mm, slice 15."
            ),
            (
                "Right temporal, slice 15: read as calcification, and not as blood, of which it "
                "was suspected."
            ),
            "Hemorrhage, subarachnoid, slice 4, marked in reading: not measured.",
            "Midline shift 6.0 mm.",
        ]
        assert sentences(told, "impression") == [
            (
                "Intracranial hemorrhage: epidural, right frontal, 31.4 mL; subarachnoid, slice 4, "
                "not measured."
            )
        ]
        shown = told["examination"]["series"][0]["report"]["findings"]
        assert [one["subtype"] for one in shown] == ["subdural", "epidural"]
        assert ward.audit_path.read_text().count('"reading"') == 3

    def test_one_is_taken_back(self, ward: Ward, rae: Page) -> None:
        made = rae.post(f"{RESULT}/reading", NOT_BLOOD).json()

        answer = rae.post(f"{RESULT}/reading-taken-back", {"reading_id": made["reading_id"]})

        check("POST /api/series/{uid}/{revision}/reading-taken-back", answer.json())
        assert answer.json()["taken_back_by"] == "rae"
        assert examination(rae)["standing"] == []
        assert "reading-taken-back" in ward.audit_path.read_text()

    @pytest.mark.parametrize(
        ("action", "values", "status"),
        [
            ("reading", {"judged": "correct", "finding": 2}, 422),
            ("reading", {"judged": "changed", "finding": 0, "side": "left"}, 422),
            ("reading", {"judged": "missed", "voxel_kji": [0, 64, 0]}, 422),
            ("reading", {"judged": "missed", "voxel_kji": [12, 0, 0]}, 422),
            ("reading", {"judged": "missed", "voxel_kji": "aaa"}, 422),
            ("reading", {"judged": {"a": 1}}, 422),
            ("reading", RIGHT | {"note": 1}, 422),
            ("reading", RIGHT | {"who": "Dr Bob"}, 403),
            ("reading-taken-back", {"reading_id": 99}, 404),
            ("reading-taken-back", {"reading_id": "1 OR 1"}, 422),
            ("reading-taken-back", {"reading_id": 2**64}, 422),
            ("report", {"language": "tlh", "sections": {}}, 422),
            ("report", {"language": "en", "sections": []}, 422),
            ("report", {"language": "en", "sections": {"impression": "x"}}, 422),
        ],
        ids=str,
    )
    def test_what_concerns_nothing_is_refused(
        self, ward: Ward, rae: Page, action: str, values: dict, status: int
    ) -> None:
        keep_stack(ward.store)

        assert rae.post(f"{RESULT}/{action}", values).status_code == status
        assert ward.store.queries.readings(UID) == []

    def test_another_site_cannot_read_in_somebodys_name(self, rae: Page) -> None:
        assert rae.post(f"{RESULT}/reading", RIGHT, csrf="").status_code == 403


class TestReports:
    """Drafted, edited, signed."""

    def test_what_is_signed_is_kept_sentence_by_sentence_with_its_source(
        self, ward: Ward, rae: Page
    ) -> None:
        text = as_text(examination(rae))
        text["clinical"] = "Fall from a ladder.\nAnticoagulated.\x07"

        answer = rae.post(f"{RESULT}/report", {"language": "en", "sections": text})

        check("POST /api/series/{uid}/{revision}/report", answer.json())
        (signed,) = ward.store.queries.signed_reports([UID])
        assert (signed.version, signed.who) == (1, "rae")
        by_section = {one.section: one for one in signed.sections}
        assert [(one.text, one.reason) for one in by_section["clinical"].sentences] == [
            ("Fall from a ladder.", None),
            ("Anticoagulated.", None),
        ]
        (found, *_) = by_section["findings"].sentences
        assert found.reason
        assert found.reason.code == "finding_suspected"
        assert found.reason.values["measured"].values["volume_ml"] == 31.4
        assert "report" in ward.audit_path.read_text()

        text["impression"] = "Subdural hematoma."
        rae.post(f"{RESULT}/report", {"language": "en", "sections": text})
        versions = examination(rae)["signed"]
        assert [one["version"] for one in versions] == [1, 2]
        assert versions[0]["sections"] == answer.json()["sections"]

    def test_none_is_signed_without_an_impression_or_on_a_result_that_was_superseded(
        self, ward: Ward, rae: Page
    ) -> None:
        text = as_text(examination(rae))
        blank = {"language": "en", "sections": text | {"impression": " \n "}}
        assert rae.post(f"{RESULT}/report", blank).status_code == 422

        add_result(ward.store, report(UID, revision=2))
        late = rae.post(f"{RESULT}/report", {"language": "en", "sections": text})
        assert late.status_code == 409
        assert late.json()["code"] == "result_superseded"
        assert ward.store.queries.signed_reports([UID]) == []

    @pytest.mark.parametrize("language", LANGUAGES)
    @pytest.mark.parametrize("result", [not_suspected, not_analysed], ids=lambda one: one.__name__)
    def test_in_no_language_is_it_said_that_there_is_none(
        self, ward: Ward, rae: Page, language: str, result
    ) -> None:
        receive(ward.store, system_clock, "1.6", "CLEAR^")
        add_result(ward.store, result("1.6"))
        ward.store.sql("UPDATE series SET study_uid = '1.6' WHERE uid = '1.6'")

        told = examination(rae, "1.6", f"?language={language}")

        said = " ".join(as_text(told).values())
        for never in (
            "o hemorrhage",
            "eine Blutung",
            "as d'hémorragie",
            "o hay hemorragia",
            "无出血",
        ):
            assert never not in said
        code = {"not_suspected": "impression_none", "not_analysed": "impression_open"}
        (impression,) = told["draft"]["sections"][-1]["sentences"]
        assert impression["reason"]["code"] == code[result.__name__]
        assert impression["text"] == Speaker(language).say(Reason(impression["reason"]["code"]))

    def test_numbers_kinds_and_places_are_said_in_the_language(self, rae: Page) -> None:
        told = examination(rae, query="?language=de")

        (found, *_) = sentences(told, "findings")
        assert "31,4 mL" in found
        assert "frontal links" in found
        assert told["draft"]["language"] == "de"
        assert rae.http.get("/api/exam/1.2.3.4?language=xx").status_code == 422


def test_no_sentence_of_a_report_denies_a_bleed() -> None:
    denials = ("no hemorrhage", "no bleeding", "no intracranial", "without hemorrhage")
    for one in READING.values():
        assert not any(denial in one.text.lower() for denial in denials), one.text


@pytest.mark.parametrize("language", [one for one in LANGUAGES if one != "en"])
def test_every_sentence_is_translated(language: str) -> None:
    texts = {one.text for one in READING.values() if one.text not in ("{side} {region}", "{place}")}
    assert texts <= words(language).keys()


@pytest.mark.parametrize("signed_to", [(), ("pacs", "web")])
def test_a_signed_report_waits_for_each_channel_that_is_to_have_it(
    tmp_path: Path, signed_to: tuple[str, ...]
) -> None:
    with Store(tmp_path / "store.sqlite", system_clock) as store:
        ward = Ward(store, tmp_path / "audit.log", settings={"signed_to": signed_to})
        ward.add("rae", "radiologist")
        receive(store, system_clock, UID)
        add_result(store, report(UID, findings=FINDINGS))
        rae = ward.page().enter(ward, "rae")
        for _ in range(2):
            text = as_text(examination(rae))
            signed = {"language": "en", "sections": text}
            assert rae.post(f"{RESULT}/report", signed).status_code == 200

        waiting = [one for one in store.queries.undelivered() if one.signed]
        told = [
            (each["channel"], one["version"], each["sent_utc"])
            for one in examination(rae)["signed"]
            for each in one["sent"]
        ]

    assert told == [(channel, version, None) for version in (1, 2) for channel in signed_to]
    assert [(one.channel, one.signed) for one in waiting] == [
        (channel, version) for version in (1, 2) for channel in signed_to
    ]


def test_a_report_on_a_self_test_leaves_the_box_for_nobody(tmp_path: Path) -> None:
    with Store(tmp_path / "store.sqlite", system_clock) as store:
        ward = Ward(store, tmp_path / "audit.log", settings={"signed_to": ("pacs",)})
        ward.add("rae", "radiologist")
        uid = f"TEST.{UID}"
        receive(store, system_clock, uid)
        add_result(store, report(uid, findings=FINDINGS))
        rae = ward.page().enter(ward, "rae")
        signed = {"language": "en", "sections": as_text(examination(rae, uid))}

        assert rae.post(f"/api/series/{uid}/1/report", signed).status_code == 200
        assert not any(one.signed for one in store.queries.undelivered())


class TestExtents:
    """What is drawn of a bleed."""

    def test_one_is_kept_beside_the_result_with_its_volume_and_leaves_with_the_reading(
        self, ward: Ward, rae: Page
    ) -> None:
        keep_stack(ward.store)
        before = ward.store.queries.history(UID)
        missed = {"judged": "missed", "voxel_kji": [4, 1, 6], "extent": DRAWN}
        for judgement in ({"judged": "changed", "finding": 0, "extent": DRAWN}, missed):
            answer = rae.post(f"{RESULT}/reading", judgement)
            check("POST /api/series/{uid}/{revision}/reading", answer.json())
            assert answer.json()["volume_ml"] == pytest.approx(20 * VOXEL_ML, rel=1e-4)
            assert answer.json()["judgement"]["redrawn"]

        kept = rae.http.get(f"{RESULT}/readings/{answer.json()['reading_id']}/extent")
        check("GET /api/series/{uid}/{revision}/readings/{id}/extent", kept.json())
        assert kept.json() == DRAWN
        told = examination(rae)
        assert sentences(told, "findings")[:3] == [
            "Hemorrhage, subdural, left frontal: 0.3 mL as drawn in reading, slice 15.",
            (
                "Suspected hemorrhage, epidural, right temporal: 2.5 mL (90 % interval 24.0 to "
                "39.0), 80 by 12 by 60 mm, slice 15."
            ),
            "Hemorrhage, kind not told, slice 5, marked in reading: 0.3 mL as drawn.",
        ]
        assert all(one["extent"] is None for one in told["standing"])
        row = ward.store.queries.series(UID)
        assert row
        leaving = series_facts(SeriesView.of(row).with_history(ward.store.queries))["readings"]
        assert [one["extent"] for one in leaving] == [DRAWN, DRAWN]
        assert ward.store.queries.history(UID) == before
        assert ward.audit_path.read_text().count('"reading"') == 2

    @pytest.mark.parametrize(
        "extent",
        [
            {},
            [],
            {"slices": []},
            {"slices": [{"k": 4, "runs": []}]},
            {"slices": [{"k": 4, "runs": [70]}]},
            {"slices": [{"k": 4, "runs": [70, 0]}]},
            {"slices": [{"k": 4, "runs": [-1, 5]}]},
            {"slices": [{"k": 4, "runs": [70, 10, 75, 5]}]},
            {"slices": [{"k": 4, "runs": ["70", 10]}]},
            {"slices": [{"k": 4, "runs": [1.5, 10]}]},
            {"slices": [{"k": 4, "runs": [4090, 7]}]},
            {"slices": [{"k": 12, "runs": [70, 1]}]},
            {"slices": [{"k": 5, "runs": [70, 1]}, {"k": 4, "runs": [70, 1]}]},
            {"slices": [{"k": 4, "runs": [n for k in range(70_000) for n in (2 * k, 1)]}]},
            {"slices": [{"k": 4, "runs": [2**70, 1]}]},
            {"slices": [{"k": 4, "runs": [70, 1], "more": 1}]},
        ],
        ids=lambda one: str(one)[:50],
    )
    def test_what_is_no_extent_of_these_slices_is_refused(
        self, ward: Ward, rae: Page, extent: object
    ) -> None:
        keep_stack(ward.store)

        changed = {"judged": "changed", "finding": 0, "extent": extent}
        assert rae.post(f"{RESULT}/reading", changed).status_code == 422
        assert ward.store.queries.readings(UID) == []

    def test_one_belongs_to_its_own_result_its_kind_of_reading_and_a_radiologist(
        self, ward: Ward, rae: Page
    ) -> None:
        changed = {"judged": "changed", "finding": 0, "extent": DRAWN}
        assert rae.post(f"{RESULT}/reading", changed).status_code == 422  # no slices are kept
        keep_stack(ward.store)
        receive(ward.store, system_clock, "1.5", study="1.5")
        add_result(ward.store, report("1.5", study_uid="1.5"))

        elsewhere = rae.post("/api/series/1.5/1/reading", changed)
        for wrong in (RIGHT, NOT_BLOOD, {"judged": "missed", "voxel_kji": [0, 0, 0]}):
            refused = rae.post(f"{RESULT}/reading", wrong | {"extent": DRAWN})
            assert refused.status_code == 422
        too_long = rae.post(f"{RESULT}/reading", changed | {"note": "x" * 2**20})
        by_ann = ward.page().enter(ward, "ann").post(f"{RESULT}/reading", changed)
        assert rae.post(f"{RESULT}/reading", changed).status_code == 200

        assert (elsewhere.status_code, too_long.status_code, by_ann.status_code) == (422, 413, 403)
        (made,) = ward.store.queries.readings(UID)
        for path in (f"{RESULT}/readings/99", f"/api/series/1.5/1/readings/{made.reading_id}"):
            assert rae.http.get(f"{path}/extent").status_code == 404
        assert rae.http.get(f"{RESULT}/readings/{2**64}/extent").status_code == 404


def test_what_somebody_outlined_elsewhere_stands_beside_the_findings(ward: Ward, rae: Page) -> None:
    segments = [DrawnSegment(label="bleed", volume_ml=27.5)]
    ward.store.console.draw((UID, 1), "1.2.9", "Grey^Meredith", segments)

    told = examination(rae)

    (drawn,) = told["drawings"]
    assert (drawn["who"], drawn["segments"]) == (
        "Grey^Meredith", [{"label": "bleed", "volume_ml": 27.5}],
    )  # fmt: skip
    assert len(told["examination"]["series"][0]["report"]["findings"]) == 2
    assert sentences(told, "findings")[-1] == (
        "Outlined by Grey Meredith in another program: 27.5 mL in all (bleed 27.5 mL)."
    )
    (shown,) = rae.http.get("/api/state").json()["examinations"]
    assert (shown["drawn"]["who"], shown["drawn"]["revision"]) == ("Grey^Meredith", 1)

    add_result(ward.store, report(UID, revision=2))
    assert "Outlined" not in as_text(examination(rae))["findings"]
