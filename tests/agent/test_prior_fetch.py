"""agent.prior_fetch: an earlier head CT comes from the archive, is compared, and alerts nobody."""

from __future__ import annotations

import json
import os
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import structlog
from pydicom import dcmread
from pydicom.uid import CTImageStorage
from pynetdicom import AE

from agent.config import Config
from agent.console.before import before
from agent.console.settings import PageSettings
from agent.console.snapshot import View
from agent.deliver.commitments import Commitments
from agent.deliver.dimse import listening
from agent.deliver.moved import MovedImages
from agent.deliver.priors import FoundSeries, FoundStudy, PriorArchive, Take, moment_of
from agent.deliver.settings import PriorSettings
from agent.errors import ArchiveRefused, ArchiveUnreachable
from agent.prior_fetch import PriorFetch, prior_archive
from agent.reasons import Reason
from agent.records import PRIOR_MARK, Acquisition, Clock, Identity
from agent.store.delivery_store import DeliveryStore
from agent.store.examinations import ExaminationRow
from agent.wiring import system_clock
from tests.agent.box import PROFILES, Box
from tests.agent.deliver.archives import Orthanc, needs_orthanc, unclosed
from tests.agent.deliver.web import Web
from tests.agent.reports import add_result, receive, report
from tests.agent.stored import Store
from tests.heads import SEEING_BUNDLE, SeeingBackend
from tests.phantoms import uid, write_series
from tests.program import Program, until

pytestmark = unclosed

LOG = structlog.wrap_logger(structlog.ReturnLogger(), processors=[lambda *_: ""])
N = 24
NOW = datetime(2026, 11, 30, 12)  # noqa: DTZ001 - the scanner's clock, which has no zone
NEW = uid("series", 0)
WHOSE = Identity("P0", "Müller^Jörg", "19500101", "M", uid("study", 0), "A0")
WEB = PriorSettings.model_validate({"dicomweb": {"url": "http://127.0.0.1"}})


def write_prior(folder: Path, seed: int = 1, day: str = "20261128", **tags: Any) -> list[Path]:
    """Write a head CT of the same patient, scanned on another day."""
    when = {"StudyDate": day, "StudyTime": "093000", "AcquisitionDateTime": f"{day}093000"}
    return write_series(folder, N, seed=seed, **when | {"PatientID": "P0"} | tags)


@dataclass
class Folder:
    """An archive that is a folder: it answers as a DICOMweb server would, without one."""

    paths: list[Path] = field(default_factory=list)
    gone: bool = False
    n_fetched: int = 0

    def greet(self) -> None:
        if self.gone:
            raise ArchiveUnreachable("archive_unreachable", channel="prior", why="gone")

    def _all(self, **values: str) -> list[Any]:
        self.greet()
        read = [dcmread(path) for path in self.paths]
        return [one for one in read if all(one[name].value == values[name] for name in values)]

    def studies(self, patient_id: str, days: tuple[date, date]) -> list[FoundStudy]:
        found = {one.StudyInstanceUID: one for one in self._all(PatientID=patient_id)}
        return [
            FoundStudy(
                study_uid,
                one.PatientID,
                str(one.PatientName),
                one.PatientBirthDate,
                one.get("IssuerOfPatientID", ""),
                moment_of(one.StudyDate, one.StudyTime),
            )
            for study_uid, one in found.items()
            if days[0] <= date.fromisoformat(one.StudyDate) <= days[1]
        ]

    def series(self, study_uid: str) -> list[FoundSeries]:
        found = {one.SeriesInstanceUID: one for one in self._all(StudyInstanceUID=study_uid)}
        return [FoundSeries(name, one.Modality, 0) for name, one in found.items()]

    def images(self, study_uid: str, series_uid: str) -> list[str]:
        found = self._all(StudyInstanceUID=study_uid, SeriesInstanceUID=series_uid)
        return [one.SOPInstanceUID for one in found]

    def fetch(self, study_uid: str, series_uid: str, sop_uids: list[str], take: Take) -> None:
        self.n_fetched += 1
        for path in self.paths:
            if dcmread(path).SOPInstanceUID in sop_uids:
                take(path.read_bytes())


@dataclass
class Site:
    """A box in which a head with a bleed was answered, and who fetches for it."""

    box: Box
    folder: Path
    archive: PriorArchive
    settings: PriorSettings = WEB
    told: list[tuple[str, str, int]] = field(default_factory=list)

    def fetching(self) -> PriorFetch:
        """Return what fetches, as a new process would begin."""
        store = DeliveryStore(self.box.store.database, self.box.clock)
        return PriorFetch(
            self.settings,
            self.archive,
            PROFILES,
            self.folder,
            store,
            self.box.clock,
            LOG,
            lambda *what: self.told.append(what),
        )

    def analyse(self) -> None:
        """Have the agent read what was fetched, and answer it."""
        self.box.hand_in(sorted(self.folder.rglob("*.dcm")))
        while self.rows().get(True) is None or not self.rows()[True].series[0].report:
            self.box.wait(1.0)

    def rows(self) -> dict[bool, ExaminationRow]:
        """Return the examinations, by whether they were fetched."""
        return {row.fetched: row for row in self.box.store.queries.examinations(10)}

    def outcome(self) -> Reason | None:
        return self.rows()[False].prior

    def snapshot(self) -> dict[str, Any]:
        return View(self.box.store.queries, self.box.clock(), "", PageSettings(), {}).snapshot()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    folder = tmp_path / "state" / "priors"
    folder.parent.mkdir()
    backend = SeeingBackend(SEEING_BUNDLE)
    box = Box(tmp_path / "s.sqlite", SEEING_BUNDLE, backend, marks={folder: PRIOR_MARK})
    suspect(box.store, box.clock, WHOSE)
    yield Site(box, folder, Folder())
    box.store.close()


def suspect(store: Store, clock: Clock, whose: Identity) -> None:
    """Store a suspicion of now, as the agent does."""
    scan = Acquisition(acquired=(NOW, NOW))
    receive(store, clock, NEW, identity=whose, acquisition=scan)
    add_result(store, report(NEW, study_uid=whose.study_uid))


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    folder = tmp_path_factory.mktemp("priors")
    with Orthanc(folder / "orthanc") as archive:
        bone = {"ConvolutionKernel": "BONE", "SeriesInstanceUID": uid("bone")}
        sent = [
            *write_prior(folder / "older", 2, "20261120"),
            *write_prior(folder / "prior"),
            *write_prior(folder / "bone", SOPInstanceUID=lambda k: uid("bone", k), **bone),
            *write_prior(folder / "namesake", 3, "20261129", PatientBirthDate="19600101"),
        ]
        for path in sent:
            url = f"http://127.0.0.1:{archive.http_port}/instances"
            with urllib.request.urlopen(url, path.read_bytes(), timeout=10):
                pass
        yield archive


@contextmanager
def asked_by(way: str, orthanc: Orthanc) -> Iterator[tuple[PriorSettings, PriorArchive]]:
    """Ask an archive by DICOMweb, or by C-FIND and C-MOVE to a listener of ours."""
    peer = {"host": "127.0.0.1", "port": orthanc.port, "ae_title": "ORTHANC", "timeout_s": 10.0}
    named = {"dicomweb": {"url": orthanc.web}} if way == "dicomweb" else {"dicom": peer}
    settings, moved = PriorSettings.model_validate(named), MovedImages()
    port, commitments = orthanc.report_port, Commitments()
    server = listening("127.0.0.1", port, "BLEEDWATCH", commitments, moved.stored)
    try:
        yield settings, prior_archive(settings.archive, moved)
    finally:
        server.shutdown()


@pytest.mark.slow
@needs_orthanc
def test_who_is_asked_by_c_move_sends_what_was_asked_for_and_nothing_else_is_taken(
    orthanc: Orthanc, tmp_path: Path
) -> None:
    took = list[bytes]()
    with asked_by("dicom", orthanc) as (_, archive):
        for path in write_prior(tmp_path / "unasked")[:1]:
            entity = AE("ORTHANC")
            entity.add_requested_context(CTImageStorage)
            association = entity.associate("127.0.0.1", orthanc.report_port)
            assert association.send_c_store(dcmread(path)).Status == 0x0124
            association.release()
        archive.fetch(uid("study", 1), uid("series", 1), [uid("slice", 1, 3)], took.append)
        with pytest.raises(ArchiveRefused):
            archive.fetch(uid("study", 1), uid("series", 1), ["1.2.3"], took.append)

    (file,) = took
    assert dcmread(BytesIO(file)).SOPInstanceUID == uid("slice", 1, 3)


@pytest.mark.slow
@needs_orthanc
@pytest.mark.parametrize("way", ["dicomweb", "dicom"])
def test_the_latest_earlier_head_is_fetched_compared_and_alerts_nobody(
    site: Site, orthanc: Orthanc, way: str
) -> None:
    with asked_by(way, orthanc) as (site.settings, site.archive):
        site.archive.greet()
        assert site.fetching().turn() == 1
    assert site.told == [(uid("study", 1), uid("series", 1), N)]
    assert site.outcome() == Reason("prior_fetched", date="2026-11-28")

    site.analyse()

    queries, rows = site.box.store.queries, site.rows()
    assert rows[True].series[0].uid == PRIOR_MARK + uid("series", 1)
    assert rows[True].examination.state == rows[False].examination.state == "suspected"
    found = before(rows[False], queries)
    assert found
    assert (found[0].hours, found[0].change.code) == (50.5, "shrank")
    assert [row.fetched for row in queries.listed(0, site.box.clock().utc)] == [False]
    assert len(queries.alerts_since()) == queries.counts_since(site.box.clock().midnight).suspected
    assert len(queries.alerts_since()) == 1
    assert {one.series_uid for one in queries.undelivered()} == {NEW}
    shown = {one["fetched"]: one for one in site.snapshot()["examinations"]}
    assert (shown[True]["urgency"], shown[True]["waiting"]) == (None, [])
    assert shown[True]["remark"]["code"] == "fetched_earlier"
    assert shown[False]["before"]["change"]["code"] == "shrank"

    site.fetching().turn()
    assert list(site.folder.iterdir()) == []


@pytest.mark.slow
def test_the_same_series_from_a_scanner_alerts_as_any(site: Site, tmp_path: Path) -> None:
    """Nothing that comes by itself is muted, be it what was fetched before or after."""
    site.archive = Folder(write_prior(tmp_path / "archive"))
    site.fetching().turn()
    site.analyse()

    site.box.hand_in(write_prior(tmp_path / "again"))
    site.box.wait()

    waiting = site.box.store.queries.listed(0, site.box.clock().utc)
    assert {row.series[0].uid for row in waiting} == {NEW, uid("series", 1)}


def test_an_earlier_head_that_was_fetched_waits_until_no_other_is_under_way(
    site: Site, tmp_path: Path
) -> None:
    site.archive = Folder(write_prior(tmp_path / "archive"))
    site.fetching().turn()
    new = write_series(tmp_path / "new", N, seed=5)
    site.box.hand_in(sorted(site.folder.rglob("*.dcm")))
    site.box.hand_in(new[:-1])
    site.box.clock.now_s += 60.0
    site.box.hand_in(new[-1:])
    assert [row.slices for row in site.box.store.queries.latest(9) if row.fetched] == [16]

    site.box.wait()
    site.box.wait()

    answered = site.box.store.sql("SELECT series_uid FROM results ORDER BY rowid")
    fetched = PRIOR_MARK + uid("series", 1)
    assert [row["series_uid"] for row in answered] == [NEW, uid("series", 5), fetched]


@pytest.mark.parametrize(
    ("tags", "code"),
    [
        ({"PatientName": "Müller^Jürgen"}, "prior_none"),
        ({"PatientBirthDate": "19500102"}, "prior_none"),
        ({"IssuerOfPatientID": "ELSEWHERE"}, "prior_none"),
        ({"ConvolutionKernel": "BONE"}, "prior_none"),
        ({"day": "20251129"}, "prior_none"),
        ({"day": "20261201"}, "prior_none"),
        ({"AcquisitionDateTime": lambda k: f"202611{28 if k == 12 else 30}130000"}, "refused"),
        ({"PatientName": lambda k: "Müller^Jörg" if k in (12, 23) else "Other^One"}, "refused"),
    ],
    ids=[
        "another's name", "another's birth", "another issuer's number", "bone", "too old", "later",
        "some images are later", "some images are another's",
    ],
)  # fmt: skip
def test_nothing_comes_that_is_not_a_plain_earlier_head_of_the_same_patient(
    site: Site, tmp_path: Path, tags: dict[str, Any], code: str
) -> None:
    site.settings = site.settings.model_copy(update={"issuer": "HOSPITAL"})
    site.archive = Folder(write_prior(tmp_path / "archive", **tags))

    assert site.fetching().turn() == 0

    outcome = site.outcome()
    assert outcome
    if code == "refused":
        why = dict(outcome.values)["why"]
        assert (outcome.code, why) == (
            "prior_not_fetched",
            Reason("prior_of_another", channel="prior"),
        )
        (told,) = site.box.store.queries.failed_priors(site.box.clock().utc)
        assert told == outcome
    else:
        assert outcome.code == code
    assert not site.folder.exists()
    assert not site.fetching().staging.exists()
    assert site.fetching().turn() == 0


def test_an_archive_that_is_gone_is_asked_again_also_by_another_process(
    site: Site, tmp_path: Path
) -> None:
    archive = Folder(write_prior(tmp_path / "archive"), gone=True)
    site.archive = archive
    assert site.fetching().turn() == 0
    assert site.outcome() == Reason(
        "prior_not_fetched",
        why=Reason("archive_unreachable", channel="prior", why="gone"),
    )

    archive.gone = False
    assert site.fetching().turn() == 0
    site.box.clock.now_s += 15.0
    assert site.fetching().turn() == 1
    assert site.fetching().turn() == 0


@pytest.mark.parametrize("patient_id", ["", "P*"])
def test_who_could_be_several_is_asked_for_nowhere(tmp_path: Path, patient_id: str) -> None:
    box = Box(tmp_path / "s.sqlite", SEEING_BUNDLE, SeeingBackend(SEEING_BUNDLE))
    suspect(box.store, box.clock, replace(WHOSE, patient_id=patient_id))
    site = Site(box, tmp_path / "priors", Folder(gone=True))

    site.fetching().turn()

    assert site.outcome() == Reason("prior_unidentified")


@pytest.mark.parametrize("told", ["..", ".", "", "1.2/..", "1.2.", "1" * 65])
def test_no_uid_of_an_archives_becomes_a_path_elsewhere(told: str) -> None:
    """Images lie in a folder that is named by their series' UID."""
    answer = [{"0020000E": {"vr": "UI", "Value": [told]}, "00080060": {"Value": ["CT"]}}]
    with Web(body=json.dumps(answer).encode()).listening() as url:
        settings = PriorSettings.model_validate({"dicomweb": {"url": url}})
        archive = prior_archive(settings.archive, MovedImages())

        with pytest.raises(ArchiveRefused, match="a UID that is none"):
            archive.series("1.2")


def test_what_is_too_much_is_left_where_it_is(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.prior_fetch.MOST_BYTES", 100_000)
    site.archive = Folder(write_prior(tmp_path / "archive"))

    assert site.fetching().turn() == 0

    outcome = site.outcome()
    assert outcome
    why = dict(outcome.values)["why"]
    assert isinstance(why, Reason)
    assert why.code == "prior_too_much"
    assert not site.folder.exists()


@pytest.mark.slow
@needs_orthanc
def test_the_delivery_service_fetches_and_records_what_came(
    tmp_path: Path, engines: Path, orthanc: Orthanc
) -> None:
    more = f'[prior.dicomweb]\nurl = "{orthanc.web}"\n'
    with Program(tmp_path / "box", engines, more) as program:
        with program.store() as store:
            suspect(store, system_clock, WHOSE)
        program.start("deliver", "run")
        until(lambda: list(program.state.glob("priors/*/*.dcm")))
        audit = program.state / "audit.log"
        until(lambda: audit.exists() and "Earlier fetched" in audit.read_text())
        program.kill()
        doctor = program.call("doctor").stdout

    assert "earlier examinations are fetched from the last 365 days" in " ".join(doctor.split())


def test_what_cannot_be_deleted_ends_no_fetching(site: Site, tmp_path: Path) -> None:
    site.archive = Folder(write_prior(tmp_path / "archive"))
    site.folder.mkdir()
    stranger = site.folder / "not a folder"
    stranger.touch()
    os.utime(stranger, (0, 0))

    assert site.fetching().turn() == 1
    assert stranger.exists()


@pytest.mark.parametrize(
    ("prior", "said"),
    [
        ({}, "name one archive"),
        ({"dicomweb": {"url": "http://a"}, "dicom": {"host": "a", "ae_title": "A"}}, "name one"),
        ({"dicom": {"host": "a", "ae_title": "A"}}, "asks for deliver.listen_port"),
    ],
    ids=["none", "two", "no port"],
)
def test_an_archive_that_cannot_be_asked_is_refused(prior: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Config.model_validate({"export_folder": "/srv/ct", "prior": prior})
