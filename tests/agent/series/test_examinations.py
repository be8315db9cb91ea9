"""Reconstructions of one scan, from real files to what is told of all of them together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from agent.assemble.protocol import load_profiles
from agent.config import PACKAGED_ENGINES
from agent.exam import Place, Second
from agent.infer.bundle import load_bundle
from agent.infer.onnx_backend import OnnxBackend
from agent.records import State
from agent.store.examinations import ExaminationRow
from agent.store.view import ExaminationView
from tests.agent.box import Box
from tests.heads import SEEING_BUNDLE, SeeingBackend
from tests.phantoms import uid, write_series
from tests.tiny import BUNDLE

pytestmark = pytest.mark.slow

THICK, THIN = {"n": 32, "spacing": 5.0}, {"n": 54, "spacing": 3.0}
BONE = {"n": 32, "ConvolutionKernel": "H70h", "SeriesDescription": "Head bone"}
PERFUSION = {"n": 12, "SeriesDescription": "CT Perfusion 4D"}
LOCALIZER = {"n": 1, "ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}
DOSE_PAGE = {
    "n": 1,
    "ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"],
    "SeriesDescription": "Dose Report",
    **dict.fromkeys(("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")),
}


class Scan:
    """One patient's study on a scanner, exported series by series."""

    def __init__(self, box: Box, folder: Path) -> None:
        self.box = box
        self._folder = folder

    def write(self, name: str, *, n: int, spacing: float = 5.0, **tags: object) -> list[Path]:
        own = {
            "SeriesInstanceUID": uid("series", name),
            "SOPInstanceUID": lambda k: uid("slice", name, k),
        }
        return write_series(self._folder / name, n, spacing, **own, **tags)

    def export(self, name: str, *, score: float | None = None, **series: object) -> str:
        """Let one series come and be answered, as a network with this score would."""
        if score is not None:
            assert isinstance(self.box.backend, SeeingBackend)
            self.box.backend.score = score
        self.box.hand_in(self.write(name, **series))
        self.box.wait()
        return uid("series", name)

    @property
    def told(self) -> list[ExaminationRow]:
        return self.box.store.queries.listed(50, self.box.clock().utc)

    @property
    def only(self) -> ExaminationView:
        (row,) = self.told
        return ExaminationView.of(row).with_history(self.box.store.queries)


@pytest.fixture
def scan(tmp_path: Path) -> Scan:
    box = Box(tmp_path / "store.sqlite", SEEING_BUNDLE, SeeingBackend(SEEING_BUNDLE))
    return Scan(box, tmp_path / "in")


def places(view: ExaminationView) -> dict[str, Place | None]:
    return {one.series_uid: one.place for one in view.series}


def states(view: ExaminationView) -> list[State]:
    return [one.state for one in view.series]


def test_thick_slices_alert_at_once_and_thin_ones_confirm(scan: Scan) -> None:
    thick = scan.export("thick", score=0.9, **THICK)
    first = scan.only
    thin = scan.export("thin", score=0.9, **THIN)
    second = scan.only

    assert (first.state, first.waiting, first.second) == (State.SUSPECTED, (thick,), None)
    assert (second.state, second.second) == (State.SUSPECTED, Second.CONFIRMED)
    assert second.waiting == (thin, thick)
    assert second.examination_uid == first.examination_uid
    assert [one.thickness_mm for one in second.series] == [3.0, 5.0]
    assert all(one.report and one.report.engine and one.concluded_utc for one in second.series)


def test_thin_slices_withdraw_what_thick_ones_suspected_and_it_still_waits(scan: Scan) -> None:
    thick = scan.export("thick", score=0.9, **THICK)
    thin = scan.export("thin", score=0.1, **THIN)

    told = scan.only

    assert (told.state, told.second) == (State.NOT_SUSPECTED, Second.WITHDRAWN)
    assert places(told) == {thin: Place.SPEAKS, thick: Place.BESIDE}
    assert told.waiting == (thick,)
    assert states(told) == [State.NOT_SUSPECTED, State.SUSPECTED]
    assert [len(one.results) for one in told.series] == [1, 1]


def test_thin_slices_alert_where_thick_ones_did_not(scan: Scan) -> None:
    scan.export("thick", score=0.1, **THICK)
    thin = scan.export("thin", score=0.9, **THIN)

    assert (scan.only.state, scan.only.waiting) == (State.SUSPECTED, (thin,))


def test_what_confirms_an_acknowledged_suspicion_alerts_nobody_again(scan: Scan) -> None:
    thick = scan.export("thick", score=0.9, **THICK)
    scan.box.store.console.acknowledge(thick, 1, "Ann", "called")
    scan.export("thin", score=0.9, **THIN)

    told = scan.only

    assert (told.state, told.second, told.waiting) == (State.SUSPECTED, Second.CONFIRMED, ())
    thin_says = told.series[0].acknowledged
    assert thin_says
    assert (thin_says.who, thin_says.through_series_uid) == ("Ann", thick)


def test_what_confirms_a_dismissed_suspicion_alerts_again(scan: Scan) -> None:
    thick = scan.export("thick", score=0.9, **THICK)
    scan.box.store.console.acknowledge(thick, 1, "Ann", "", "artefact")
    thin = scan.export("thin", score=0.9, **THIN)

    assert scan.only.waiting == (thin,)


def test_a_withdrawal_is_told_also_where_the_suspicion_was_acknowledged(scan: Scan) -> None:
    thick = scan.export("thick", score=0.9, **THICK)
    scan.box.store.console.acknowledge(thick, 1, "Ann", "called")
    scan.export("thin", score=0.1, **THIN)

    told = scan.only

    assert (told.state, told.second, told.waiting) == (State.NOT_SUSPECTED, Second.WITHDRAWN, ())
    assert told.remark
    assert told.remark.code == "withdrawn_by_thin"
    former = told.series[1].acknowledged
    assert former
    assert former.who == "Ann"


def test_one_answer_ends_the_alert_of_all_reconstructions(scan: Scan) -> None:
    scan.export("thick", score=0.9, **THICK)
    thin = scan.export("thin", score=0.9, **THIN)

    scan.box.store.console.acknowledge(thin, 1, "Ann", "")

    assert scan.only.waiting == ()
    assert scan.box.store.queries.alerts_since() == []
    assert scan.box.store.queries.totals().dispositions == {"acknowledged": 1}


def test_nobody_dismisses_what_no_page_has_shown(scan: Scan) -> None:
    thick = scan.export("thick", score=0.9, **THICK)
    thin = scan.export("thin", score=0.9, **THIN)

    scan.box.store.console.acknowledge(thick, 1, "Ann", "", "artefact")
    assert scan.only.waiting == (thin,)

    scan.box.store.console.receipt(thin, 1, "console")
    assert scan.only.waiting == (thin,)


def test_a_localizer_a_dose_page_bone_and_a_perfusion_stand_aside(scan: Scan) -> None:
    aside = [
        scan.export("scout", **LOCALIZER),
        scan.export("bone", **BONE),
        scan.export("perfusion", AcquisitionNumber=3, **PERFUSION),
        scan.export("dose", **DOSE_PAGE),
    ]
    head = scan.export("thick", score=0.1, **THICK)

    told = scan.only

    assert told.state is State.NOT_SUSPECTED
    assert places(told) == {head: Place.SPEAKS, **dict.fromkeys(aside, Place.ASIDE)}
    day = scan.box.store.queries.counts_since(scan.box.clock().midnight)
    assert (day.examinations, day.not_analysed) == (1, 0)


@pytest.mark.parametrize(
    ("series", "needs_nobody"),
    [(LOCALIZER, True), (PERFUSION, True), (DOSE_PAGE, True), (BONE, False)],
    ids=["localizer", "perfusion", "dose page", "bone"],
)
def test_without_a_plain_head_only_bone_needs_somebody(
    scan: Scan, series: dict, needs_nobody: bool
) -> None:
    scan.export("alone", **series)

    told = scan.only

    assert (told.state, told.needs_nobody) == (State.NOT_ANALYSED, needs_nobody)
    assert bool(told.remark) is not needs_nobody
    day = scan.box.store.queries.counts_since(scan.box.clock().midnight)
    assert day.not_analysed == (not needs_nobody)


@pytest.mark.parametrize(
    "later",
    [
        {"AcquisitionNumber": 2},
        {"FrameOfReferenceUID": "1.2.99"},
        {"AcquisitionDate": "20260101", "AcquisitionTime": "101500"},
    ],
    ids=lambda tags: next(iter(tags)),
)
def test_a_second_scan_of_the_study_is_told_by_itself(scan: Scan, later: dict) -> None:
    at = {"AcquisitionDate": "20260101", "AcquisitionTime": "100000"}
    scan.export("thick", score=0.9, **THICK, **at)
    scan.export("again", score=0.1, **THIN, **(at | later))

    assert sorted(row.examination.state for row in scan.told) == ["not_suspected", "suspected"]
    assert [row.examination.second for row in scan.told] == [None, None]


def test_a_head_that_is_not_analysed_takes_no_other_answer_back(scan: Scan) -> None:
    thick = scan.export("thick", score=0.1, **THICK)
    paths = scan.write("thin", **THIN)
    scan.box.hand_in(paths[:20] + paths[23:])
    scan.box.wait()

    told = scan.only

    assert (told.state, told.series[0].series_uid) == (State.NOT_SUSPECTED, thick)
    assert states(told) == [State.NOT_SUSPECTED, State.NOT_ANALYSED]
    assert told.series[1].place is Place.BESIDE


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0)])
def test_the_order_of_arrival_changes_nothing(tmp_path: Path, order: Sequence[int]) -> None:
    box = Box(tmp_path / "store.sqlite", SEEING_BUNDLE, SeeingBackend(SEEING_BUNDLE))
    scan = Scan(box, tmp_path / "in")
    series = [("thick", 0.9, THICK), ("thin", 0.1, THIN), ("bone", None, BONE)]

    for name, score, what in (series[n] for n in order):
        scan.export(name, score=score, **what)

    told = scan.only
    assert (told.state, told.second) == (State.NOT_SUSPECTED, Second.WITHDRAWN)
    assert [one.series_uid for one in told.series] == [
        uid("series", name) for name in ("thin", "thick", "bone")
    ]


def test_a_restart_changes_nothing_of_it(scan: Scan) -> None:
    scan.export("thick", score=0.9, **THICK)
    scan.export("thin", score=0.1, **THIN)
    before = scan.only

    scan.box.start()
    scan.box.wait()

    assert scan.only == before


def test_real_networks_answer_an_examination_once(tmp_path: Path, engines: Path) -> None:
    bundle = load_bundle(engines / BUNDLE, None)
    profiles = load_profiles(PACKAGED_ENGINES / "protocols")
    box = Box(tmp_path / "store.sqlite", bundle, OnnxBackend(bundle, threads=1), profiles=profiles)
    scan = Scan(box, tmp_path / "in")

    scan.export("thick", **THICK)
    scan.export("thin", **THIN)

    assert scan.only.state is State.SUSPECTED
    assert scan.only.second is Second.CONFIRMED
