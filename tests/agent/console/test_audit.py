"""The audit log: each view and action once, as RFC 5424 and DICOM have it, and no patient in it."""

from __future__ import annotations

import base64
import os
import re
import stat
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from agent.console.app import create_app
from agent.console.audit import AuditLog
from agent.console.audit_message import (
    ACCESSED,
    READ,
    REPORT,
    STUDY,
    SUCCESS,
    AuditedObject,
    Event,
    audit_line,
    our_code,
)
from agent.console.authorization import Principal
from agent.reasons import Reason, english
from agent.records import Acquisition, Identity, Instant
from agent.store.effects import ShowProgress
from agent.store.rows import SeriesProgress
from tests.agent.box import MIDNIGHT, SetClock
from tests.agent.console.made import context_of
from tests.agent.console.signed_in import AT_THE_SCANNER, Page, Ward
from tests.agent.reports import add_result, receive, report, series_shown
from tests.agent.stored import Store

UID = "1.2.3.4"
RESULT = f"/api/series/{UID}/1"
PLANTED = Identity(
    patient_id="PLANTED-ID",
    patient_name="PLANTED^NAME",
    birth_date="19331231",
    sex="PLANTED-SEX",
    study_uid="1.2.3",
    accession="PLANTED-ACCESSION",
)

RFC_5424 = re.compile(
    r"<(?P<pri>\d{1,3})>1 "
    r"(?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)) "
    r"(?P<host>[!-~]{1,255}) (?P<app>[!-~]{1,48}) (?P<pid>[!-~]{1,128}) (?P<id>[!-~]{1,32}) "
    r"- (?P<message>[ -~]+)\n"
)
"""RFC 5424, 6, without structured data; the message in ASCII."""


class Line:
    """One line, read back."""

    def __init__(self, text: str) -> None:
        frame = RFC_5424.fullmatch(text)
        assert frame, text
        assert (frame["pri"], frame["app"], frame["id"]) == ("85", "bleedwatch", "DICOM+RFC3881")
        self.root = ET.fromstring(frame["message"])
        self.event = self.root[0]
        self.moment = datetime.fromisoformat(self.event.attrib["EventDateTime"])
        assert datetime.fromisoformat(frame["time"].replace("Z", "+00:00")) == self.moment
        assert [node.tag for node in self.root] == [
            "EventIdentification",
            "ActiveParticipant",
            "AuditSourceIdentification",
            *["ParticipantObjectIdentification"] * (len(self.root) - 3),
        ]

    def code(self, path: str) -> str:
        node = self.root.find(path)
        assert node is not None
        assert node.attrib["codeSystemName"]
        assert node.attrib["originalText"]
        return node.attrib["csd-code"]

    @property
    def told(self) -> tuple[str, ...]:
        """Family, type, action and outcome."""
        family, kind = (self.code(f"EventIdentification/{n}") for n in ("EventID", "EventTypeCode"))
        names = ("EventActionCode", "EventOutcomeIndicator")
        return (family, kind, *(self.event.attrib[name] for name in names))

    @property
    def who(self) -> tuple[str | None, ...]:
        participant = self.root[1]
        assert participant.attrib["UserIsRequestor"] == "true"
        return participant.attrib["UserID"], participant.get("NetworkAccessPointID")

    @property
    def thing(self) -> tuple[str, str, str | None]:
        """By what an object is named, that name, and what it is called."""
        (node,) = self.root[3:]
        by = self.code("ParticipantObjectIdentification/ParticipantObjectIDTypeCode")
        return by, node.attrib["ParticipantObjectID"], node.findtext("ParticipantObjectName")


VIEW = ("110103", "worklist", "R", "0")
PICTURES = ("110103", "images", "R", "0")


@pytest.fixture
def ward(tmp_path: Path) -> Iterator[Ward]:
    clock = SetClock()
    with Store(tmp_path / "store.sqlite", clock) as store:
        receive(store, clock)
        add_result(store, report(), {"axial": b"\x89PNG"})
        yield Ward(store, tmp_path / "audit.log", clock)


def lines(ward: Ward) -> list[Line]:
    if not ward.audit_path.exists():
        return []
    return [Line(text) for text in ward.audit_path.read_text().splitlines(keepends=True)]


def enter(ward: Ward, name: str = "ann") -> Page:
    return ward.page().enter(ward, name)


class TestViews:
    @pytest.mark.slow
    def test_a_series_on_the_worklist_is_one_line_for_each_session(self, ward: Ward) -> None:
        ann = enter(ward)
        for _ in range(3):
            ann.http.get("/api/state")
        sam = enter(ward, "sam")
        sam.http.get("/api/state")

        by_ann, by_sam = lines(ward)

        assert by_ann.told == by_sam.told == VIEW
        assert by_ann.who == ("ann", AT_THE_SCANNER)
        assert by_sam.who == ("sam", AT_THE_SCANNER)
        assert by_ann.thing == ("110180", "1.2.3", f"series {UID}, result 1")
        assert by_ann.moment == ward.clock().utc
        assert by_ann.code("ActiveParticipant/RoleIDCode") == "technologist"

    def test_a_revision_and_another_series_are_views_of_their_own(self, ward: Ward) -> None:
        ann = enter(ward)
        ann.http.get("/api/state")
        receive(ward.store, ward.clock, "1.9")
        add_result(ward.store, report(revision=2))

        ann.http.get("/api/state")

        names = [line.thing[2] for line in lines(ward)]
        assert names[0] == f"series {UID}, result 1"
        assert set(names[1:]) == {f"series {UID}, result 2", "series 1.9, result 0"}

    def test_pictures_are_one_line_and_not_one_for_each(self, ward: Ward) -> None:
        ann = enter(ward)

        for _ in range(3):
            assert ann.http.get(f"{RESULT}/views/axial.png").status_code == 200

        (line,) = lines(ward)
        assert line.told == PICTURES
        assert line.thing == ("110180", "1.2.3", f"series {UID}, result 1")

    def test_what_was_not_shown_is_no_view(self, ward: Ward) -> None:
        enter(ward).http.get(f"/api/series/{UID}/9/views/axial.png")
        ward.page().http.get(f"{RESULT}/views/axial.png")
        ward.page().http.get("/api/state")

        assert lines(ward) == []

    def test_on_this_computer_it_is_the_kiosk_that_views(self, ward: Ward) -> None:
        app = create_app(context_of(ward.store, ward.audit_path, clock=ward.clock, boot=ward.boot))
        for _ in range(2):
            TestClient(app, "http://localhost", client=("127.0.0.1", 9)).get("/api/state")

        (line,) = lines(ward)

        assert line.who == ("kiosk", "127.0.0.1")

    def test_the_latest_views_are_remembered_and_no_more(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("agent.console.audit.MOST_REMEMBERED", 20)
        audit = AuditLog(tmp_path / "audit.log", SetClock(), lambda *_: None)
        ann = Principal("ann", "technologist", AT_THE_SCANNER, page="session")

        def n_recorded(*uids: str) -> int:
            for uid in uids:
                audit.viewed(ann, "1.2.3", (uid, 1), "worklist")
            return len((tmp_path / "audit.log").read_text().splitlines())

        assert n_recorded(*(f"1.{n}" for n in range(25))) == 25
        assert n_recorded("1.24", "1.10") == 25
        assert n_recorded("1.0") == 26


class TestActions:
    def test_an_answer_to_two_reconstructions_is_recorded_for_each(self, ward: Ward) -> None:
        frame = frozenset({"1.2.9"})
        for n in (1, 5):
            scan = Acquisition(frozenset({2}), frame, thickness_mm=n, preference=n)
            receive(ward.store, ward.clock, f"1.9.{n}", acquisition=scan)
            add_result(ward.store, report(f"1.9.{n}"))
        enter(ward).post("/api/series/1.9.5/1/acknowledge")

        recorded = [line.thing[2] for line in lines(ward) if line.told[1] == "acknowledge"]
        assert recorded == ["series 1.9.5, result 1", "series 1.9.1, result 1"]

    def test_an_acknowledgement_is_one_line(self, ward: Ward) -> None:
        ann = enter(ward)

        ann.post(f"{RESULT}/acknowledge", {"note": "PLANTED in a note"})

        (line,) = lines(ward)
        assert line.told == ("110111", "acknowledge", "U", "0")
        assert line.who == ("ann", AT_THE_SCANNER)
        assert line.thing == ("110180", "1.2.3", f"series {UID}, result 1")

    def test_one_that_was_refused_says_so(self, ward: Ward) -> None:
        enter(ward).post(f"{RESULT}/acknowledge", {"who": "sam"})

        (line,) = lines(ward)
        assert line.told == ("110111", "acknowledge", "U", "4")

    def test_what_the_page_sends_by_itself_is_none(self, ward: Ward) -> None:
        assert enter(ward).post(f"{RESULT}/shown").status_code == 204

        assert lines(ward) == []

    def test_an_endpoint_that_someone_adds_is_in_the_log_without_a_word_there(
        self, ward: Ward
    ) -> None:
        route = Route(f"{RESULT}/dismiss", lambda _: PlainTextResponse("done"), methods=["POST"])
        ward.app.router.routes.append(route)

        enter(ward).post(f"{RESULT}/dismiss")

        assert [line.told for line in lines(ward)] == [("110111", "dismiss", "U", "0")]


class TestSigningIn:
    def test_in_and_out(self, ward: Ward) -> None:
        ann = ward.page()
        ann.sign_in()
        ann.post("/api/sign-out")

        came, went = lines(ward)

        assert came.told == ("110114", "110122", "E", "0")
        assert went.told == ("110114", "110123", "E", "0")
        assert came.who == went.who == ("ann", AT_THE_SCANNER)

    @pytest.mark.slow
    def test_wrong_passwords_and_the_lock_that_comes_of_them(self, ward: Ward) -> None:
        for _ in range(6):
            ward.page().sign_in("ann", "not the password")

        *refused, locked = lines(ward)

        assert [line.told for line in refused] == [("110114", "110122", "E", "4")] * 5
        assert locked.told == ("110113", "110137", "E", "8")
        assert locked.who == ("ann", AT_THE_SCANNER)
        assert locked.thing[:2] == ("110182", AT_THE_SCANNER)
        detail = locked.root.find("ParticipantObjectIdentification/ParticipantObjectDetail")
        assert detail is not None
        assert detail.attrib["type"] == "Alert Description"
        assert base64.b64decode(detail.attrib["value"]).endswith(b"signing in waits 30 s")

    def test_what_was_typed_and_is_no_user_is_left_out(self, ward: Ward) -> None:
        ward.page().sign_in("a password in the wrong field", "ann")

        (line,) = lines(ward)

        assert line.who == ("(no user)", AT_THE_SCANNER)
        assert "wrong field" not in ward.audit_path.read_text()

    def test_starting_and_stopping(self, ward: Ward) -> None:
        with ward.page().http:
            pass

        start, stop = lines(ward)

        assert start.told == ("110100", "110120", "E", "0")
        assert stop.told == ("110100", "110121", "E", "0")
        assert start.code("ActiveParticipant/RoleIDCode") == "110150"


@pytest.mark.slow
def test_nothing_of_a_patient_is_in_it(ward: Ward) -> None:
    now = ward.clock()
    planted = SeriesProgress("1.9", PLANTED, "PLANTED-DESCRIPTION", "generic-head", 9, 0, now, now)
    ward.store.agent.commit([ShowProgress(planted)])
    add_result(ward.store, report("1.9", study_uid="1.2.3"), {"axial": b"\x89PNG"})
    ann = ward.page()
    ann.sign_in("ann", "wrong")
    ann.sign_in("PLANTED^NAME", "PLANTED")
    ann.sign_in()
    assert "PLANTED^NAME" in ann.http.get("/api/state").text
    ann.http.get("/api/series/1.9/1/views/axial.png")
    ann.post("/api/series/1.9/1/acknowledge", {"note": "PLANTED"})
    ann.post("/api/series/1.9/1/PLANTED-PATH")
    ann.post("/api/series/PLANTED^NAME/1/acknowledge")
    ann.post("/api/series/1.9/1/views/axial.png")
    ann.post("/api/sign-out")

    text = ward.audit_path.read_text()

    assert len(lines(ward)) == 8  # refused twice, in, two series listed, images, done, out
    assert "1.9" in text
    for value in ("PLANTED", "19331231", "PNG"):
        assert value not in text


class TestTheFile:
    @pytest.fixture
    def noticed(self) -> list[tuple[str, Reason]]:
        return []

    @pytest.fixture
    def audit(self, tmp_path: Path, noticed: list) -> AuditLog:
        return AuditLog(tmp_path / "audit.log", SetClock(), lambda *words: noticed.append(words))

    def test_is_open_to_nobody_else(self, audit: AuditLog, tmp_path: Path) -> None:
        former = os.umask(0)
        try:
            audit.started()
        finally:
            os.umask(former)

        assert stat.S_IMODE((tmp_path / "audit.log").stat().st_mode) == 0o640

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
    def test_that_root_begins_is_its_folders(self, audit: AuditLog, tmp_path: Path) -> None:
        os.chown(tmp_path, 65534, 65534)

        audit.user_changed("root", "ann", "user added")

        assert (tmp_path / "audit.log").stat().st_uid == 65534

    def test_may_be_moved_away_at_any_time(self, audit: AuditLog, tmp_path: Path) -> None:
        audit.started()
        (tmp_path / "audit.log").rename(tmp_path / "audit.log.1")
        audit.stopped()

        for name, kind in (("audit.log.1", "110120"), ("audit.log", "110121")):
            (text,) = (tmp_path / name).read_text().splitlines(keepends=True)
            assert Line(text).told[1] == kind

    def test_that_cannot_be_written_is_told_once_until_it_can(
        self, audit: AuditLog, tmp_path: Path, noticed: list
    ) -> None:
        path = tmp_path / "audit.log"
        path.mkdir()
        audit.started()
        audit.started()
        assert len(noticed) == 1
        kind, reason = noticed[0]
        assert kind == "audit"
        assert "the audit log audit.log cannot be written: Is a directory" in english(reason)

        path.rmdir()
        audit.started()
        path.unlink()
        path.mkdir()
        audit.started()

        assert len(noticed) == 2

    def test_that_is_a_link_is_not_followed(
        self, audit: AuditLog, tmp_path: Path, noticed: list
    ) -> None:
        (tmp_path / "audit.log").symlink_to(tmp_path / "elsewhere")

        audit.started()

        assert not (tmp_path / "elsewhere").exists()
        assert len(noticed) == 1

    def test_a_full_disk_is_told_too(self, noticed: list) -> None:
        audit = AuditLog(Path("/dev/full"), SetClock(), lambda *words: noticed.append(words))

        audit.started()

        assert "No space left on device" in english(noticed[0][1])

    def test_a_technologist_sees_the_alert_and_why_it_is_not_recorded(self, ward: Ward) -> None:
        ward.audit_path.mkdir()
        ann = enter(ward)

        state = ann.http.get("/api/state").json()
        assert series_shown(state)[0]["alert"]["state"] == "suspected"
        assert ann.post(f"{RESULT}/acknowledge").status_code == 200

        (notice,) = ann.http.get("/api/state").json()["notices"]
        assert "audit.log cannot be written" in notice["reason"]["text"]


@pytest.mark.slow
@given(name=st.text(), host=st.sampled_from(["ct1", "-"]), uid=st.text())
def test_whatever_names_hold_a_line_is_one_line_and_reads_back(
    name: str, host: str, uid: str
) -> None:
    thing = AuditedObject(STUDY, uid, f"series {uid}", REPORT)
    event = Event(ACCESSED, our_code("worklist"), READ, SUCCESS, thing)
    principal = Principal(name, "technologist", "10.0.0.5")
    at = Instant(MIDNIGHT, 0.0).utc

    line = Line(audit_line(event, principal, at, host, 7))

    shown = "".join(c if c.isprintable() else "?" for c in name or "kiosk")
    assert line.who == (shown, "10.0.0.5")
