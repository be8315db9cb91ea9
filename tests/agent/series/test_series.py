"""agent.series and agent.pipeline: every series that arrives ends in one of three answers."""

from __future__ import annotations

import os
import random
import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.config import disable_value_validation

from agent.assemble.completeness import PATIENCE
from agent.assemble.limits import ReadLimits
from agent.errors import InferenceError
from agent.infer.backend import Floats, VolumeOutput
from agent.reasons import english
from agent.records import State
from agent.report import SeriesReport
from agent.store.effects import BeginAttempt
from tests.agent.box import PROFILES, Box
from tests.heads import SEEING_BUNDLE, SeeingBackend
from tests.phantoms import uid, write_series

pytestmark = pytest.mark.slow

N = 32


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path / "store.sqlite", SEEING_BUNDLE, SeeingBackend(SEEING_BUNDLE, score=0.9))


@pytest.fixture
def quiet_box(tmp_path: Path) -> Box:
    return Box(tmp_path / "store.sqlite", SEEING_BUNDLE, SeeingBackend(SEEING_BUNDLE, score=0.1))


def facts(report: SeriesReport) -> dict:
    return report.model_dump(exclude={"timings_s", "completed_by", "revision"})


def test_a_series_ends_suspected_and_its_alert_waits_for_the_console(
    box: Box, tmp_path: Path
) -> None:
    box.export(write_series(tmp_path / "in", N))
    box.wait()

    report = box.report()
    assert report.state == "suspected"
    assert report.findings
    assert report.geometry is not None
    assert report.geometry.slices == N
    assert report.protocol == "generic-head"
    assert [d.channel for d in box.store.queries.undelivered()] == ["console"]
    assert box.store.queries.picture(report.series_uid, 1, "axial")
    assert set(report.timings_s) == {
        "assemble", "evidence", "slice_stage", "volume_stage", "measure", "pictures",
        "completeness", "waited", "total",
    }  # fmt: skip


def test_every_change_of_state_is_kept(quiet_box: Box, tmp_path: Path) -> None:
    quiet_box.export(write_series(tmp_path / "in", N))
    quiet_box.wait()

    states = [t.state for t in quiet_box.store.queries.transitions(uid("series", 0))]
    assert states == [State.RECEIVING, State.ANALYSING, State.NOT_SUSPECTED]


def test_slices_are_run_while_the_scanner_is_still_exporting(box: Box, tmp_path: Path) -> None:
    paths = write_series(tmp_path / "in", N)

    box.export(paths[:-1])

    assert isinstance(box.backend, SeeingBackend)
    assert box.backend.slices_run >= N - 8
    assert box.reports() == []


def test_when_nothing_more_seems_to_come_the_last_slabs_are_run_before_that_is_sure(
    box: Box, tmp_path: Path
) -> None:
    paths = write_series(tmp_path / "in", N)
    box.export(paths)
    assert isinstance(box.backend, SeeingBackend)
    before = box.backend.slices_run

    box.clock.now_s += 0.1
    box.hand_in([])
    box.work()
    assert box.backend.slices_run > before
    assert box.reports() == []
    run_early = box.backend.slices_run
    box.wait(1.0)

    assert box.report().state == "suspected"
    assert box.backend.slices_run == run_early, "none was left, and none was run twice"


def test_a_slice_that_comes_after_all_has_only_what_it_touches_run_again(
    box: Box, tmp_path: Path
) -> None:
    paths = write_series(tmp_path / "in", N)
    box.export(paths[:-1])
    box.clock.now_s += 0.2
    box.hand_in([])
    box.work()

    box.export(paths[-1:])
    box.wait()

    assert isinstance(box.backend, SeeingBackend)
    assert box.report().state == "suspected"
    assert N <= box.backend.slices_run <= N + 3


def test_arrival_order_does_not_change_the_result(tmp_path: Path) -> None:
    paths = write_series(tmp_path / "in", N, spacing=5.0, tilt_deg=18.5)
    shuffled = random.Random(1).sample(paths, N)

    results = []
    for number, order in enumerate((paths, paths[::-1], shuffled)):
        backend = SeeingBackend(SEEING_BUNDLE)
        box = Box(tmp_path / f"{number}.sqlite", SEEING_BUNDLE, backend)
        box.export(order)
        box.wait()
        results.append(facts(box.report()))

    assert results[0] == results[1] == results[2]


def test_a_series_sent_twice_has_one_result(box: Box, tmp_path: Path) -> None:
    first = write_series(tmp_path / "first", N)
    second = write_series(tmp_path / "second", N)

    box.export(first)
    box.wait()
    box.export(second)
    box.wait()

    assert len(box.store.queries.history(uid("series", 0))) == 1
    assert len(box.store.queries.undelivered()) == 1
    assert box.store.queries.transitions(uid("series", 0))[-1].state is State.SUSPECTED


def test_a_series_sent_again_after_a_restart_has_one_result(box: Box, tmp_path: Path) -> None:
    box.export(write_series(tmp_path / "first", N))
    box.wait()

    box.start()
    box.export(write_series(tmp_path / "second", N))
    box.wait()

    assert len(box.store.queries.history(uid("series", 0))) == 1
    assert box.store.queries.transitions(uid("series", 0))[-1].state is State.SUSPECTED


@pytest.mark.parametrize("restarted", [False, True], ids=["running", "restarted"])
def test_a_late_slice_revises_the_result_in_place(
    box: Box, tmp_path: Path, restarted: bool
) -> None:
    paths = write_series(tmp_path / "in", N)
    box.export(paths[:-1])
    box.wait()
    if restarted:
        box.start()

    box.export(paths[-1:])
    box.wait()

    first, second = box.store.queries.history(uid("series", 0))
    assert (first.revision, second.revision) == (1, 2)
    assert [r.geometry.slices for r in (first, second) if r.geometry] == [N - 1, N]
    assert box.report() == second


def test_a_missing_slice_is_named_and_never_not_suspected(quiet_box: Box, tmp_path: Path) -> None:
    paths = write_series(tmp_path / "in", N)

    quiet_box.export(paths[:15] + paths[16:])
    quiet_box.wait()

    report = quiet_box.report()
    assert report.state == "not_analysed"
    assert report.text
    assert "slices missing between 70.0 and 80.0 mm (1)" in report.text
    assert report.geometry
    assert [gap.text for gap in report.geometry.missing] == [
        "slices missing between 70.0 and 80.0 mm (1)"
    ]


def test_a_bleed_seen_despite_a_missing_slice_is_told_with_the_caveat(
    box: Box, tmp_path: Path
) -> None:
    paths = write_series(tmp_path / "in", N)

    box.export(paths[:15] + paths[16:])
    box.wait()

    assert box.report().state == "suspected"
    assert "slices missing" in box.report().caveats[0].text


@pytest.mark.parametrize(
    ("tags", "code", "words"),
    [
        ({"PatientID": lambda k: "A" if k < 9 else "B"}, "identity_differs", "patient id"),
        ({"StudyInstanceUID": lambda k: f"1.2.{k // 9 + 1}"}, "identity_differs", "study uid"),
        ({"ConvolutionKernel": "H70h"}, "bone_kernel", "bone"),
        ({"BodyPartExamined": "CHEST", "SeriesDescription": "5.0"}, "not_head", "not a head"),
        ({"ContrastBolusAgent": "Iomeron"}, "contrast_given", "contrast"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "localizers_only", "localizer"),
        ({"PixelSpacing": None}, "attribute_unusable", "PixelSpacing"),
        ({"ImagePositionPatient": None}, "attribute_unusable", "ImagePositionPatient"),
        ({"RescaleSlope": 0}, "rescale_absurd", "slope"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_series_that_cannot_be_analysed_says_why(
    box: Box, tmp_path: Path, tags: dict, code: str, words: str
) -> None:
    box.export(write_series(tmp_path / "in", N, **tags))
    box.wait()

    report = box.report()
    assert (report.state, report.code) == ("not_analysed", code)
    assert words.lower() in (report.text or "").lower()
    assert report.what_to_do


def test_one_uid_with_two_images_refuses_the_series(box: Box, tmp_path: Path) -> None:
    paths = write_series(tmp_path / "in", N)
    changed = dcmread(paths[5])
    changed.PixelData = bytes(reversed(changed.PixelData))
    changed.save_as(tmp_path / "in" / "changed.dcm")

    box.export([*paths, tmp_path / "in" / "changed.dcm"])
    box.wait()

    assert box.report().code == "uid_used_twice"


def test_an_image_changed_after_its_result_refuses_the_series(box: Box, tmp_path: Path) -> None:
    paths = write_series(tmp_path / "in", N)
    box.export(paths)
    box.wait()
    changed = dcmread(paths[5])
    changed.PixelData = bytes(reversed(changed.PixelData))
    changed.save_as(tmp_path / "in" / "changed.dcm")

    box.export([tmp_path / "in" / "changed.dcm"])
    box.wait()

    assert box.report().code == "uid_used_twice"
    assert box.report().revision == 2


def write_bad_files(folder: Path) -> list[Path]:
    """Files that are no slices, and leave the series beside them alone."""
    (whole,) = write_series(folder / "whole", 1, seed=99)
    data = whole.read_bytes()
    bad = {
        "text": b"hello",
        "half_text": b"\0" * 128 + b"DICX" + b"x" * 500,
        "structured_report": None,
        "garbage": data[:140] + bytes(range(256)) * 8,
    }
    for name, content in bad.items():
        if content is not None:
            (folder / name).write_bytes(content)
    report = dcmread(whole)
    report.SOPClassUID = report.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.88.11"
    report.save_as(folder / "structured_report")
    whole.unlink()
    return [folder / name for name in bad]


def test_files_that_are_no_slices_are_named_and_disturb_nobody(box: Box, tmp_path: Path) -> None:
    bad = write_bad_files(tmp_path)
    paths = write_series(tmp_path / "in", N)

    box.export([*bad[:2], *paths[:16], *bad[2:], *paths[16:]])
    box.wait()

    assert box.report().state == "suspected"
    named = " ".join(english(notice.reason) for notice in box.store.queries.notices(10))
    assert all(path.name in named for path in bad)


@pytest.mark.parametrize("keep", [0, 64, 300, 0.5, 0.99], ids="keeps={}".format)
def test_a_file_cut_short_is_waited_for_and_then_taken(
    box: Box, tmp_path: Path, keep: float
) -> None:
    paths = write_series(tmp_path / "in", N)
    whole = paths[10].read_bytes()
    size = round(keep * len(whole)) if isinstance(keep, float) else keep
    paths[10].write_bytes(whole[:size])

    assert box.export(paths) == [paths[10]]
    paths[10].write_bytes(whole)
    assert box.export([paths[10]]) == []
    box.wait()

    assert box.report().geometry
    assert box.report().geometry.slices == N
    assert len(box.store.queries.history(uid("series", 0))) == 1


def test_a_file_that_is_never_whole_is_named_and_leaves_a_gap(
    quiet_box: Box, tmp_path: Path
) -> None:
    paths = write_series(tmp_path / "in", N)
    paths[10].write_bytes(paths[10].read_bytes()[:3000])

    quiet_box.export(paths)
    quiet_box.wait()
    for _ in range(3):
        quiet_box.export([paths[10]])

    assert quiet_box.report().state == "not_analysed"
    assert "slices missing" in (quiet_box.report().text or "")
    (notice,) = quiet_box.store.queries.notices(10)
    assert "010.dcm" in english(notice.reason)


def test_a_file_written_slowly_is_not_settled_while_it_grows(box: Box, tmp_path: Path) -> None:
    (path,) = write_series(tmp_path / "in", 1)
    whole = path.read_bytes()

    for written in range(1000, len(whole) - 2000, 1000):  # the last rows show air
        path.write_bytes(whole[:written] + bytes(len(whole) - written))
        box.clock.now_s += 8.0
        assert box.export([path]) == [path], "taken with a tail that was never written"
    path.write_bytes(whole)
    assert box.export([path]) == []

    assert box.store.queries.notices(10) == []


def test_series_of_many_patients_arriving_at_once_stay_apart(box: Box, tmp_path: Path) -> None:
    series = [write_series(tmp_path / str(seed), 24, seed=seed) for seed in range(6)]

    box.export(path for slices in zip(*series, strict=True) for path in slices)
    box.wait()

    assert len(box.reports()) == 6
    for seed in range(6):
        row = box.store.queries.series(uid("series", seed))
        assert row is not None
        assert row.identity.patient_id == f"P{seed}"
        assert row.report
        assert row.report.geometry
        assert row.report.geometry.slices == 24


@pytest.mark.parametrize("cut", [1, 7, N - 1, N], ids="after={}".format)
def test_a_restart_at_any_slice_loses_and_doubles_nothing(
    box: Box, tmp_path: Path, cut: int
) -> None:
    paths = write_series(tmp_path / "in", N)
    box.export(paths[:cut])

    box.start()
    settled = box.store.queries.settled_files()
    box.export(path for path in paths if str(path) not in settled)
    box.wait()

    assert len(box.store.queries.history(uid("series", 0))) == 1
    assert box.report().geometry
    assert box.report().geometry.slices == N


def test_a_series_whose_files_vanish_before_a_restart_still_ends_by_name(
    box: Box, tmp_path: Path
) -> None:
    box.export(write_series(tmp_path / "in", 5))
    shutil.rmtree(tmp_path / "in")

    box.start()
    box.wait()

    assert (box.report().state, box.report().code) == ("not_analysed", "files_gone")


def test_a_series_that_took_the_agent_down_twice_is_set_aside(box: Box, tmp_path: Path) -> None:
    paths = write_series(tmp_path / "in", N)
    other = write_series(tmp_path / "other", N, seed=1)
    box.export(paths[:3])
    for _ in range(2):
        box.store.agent.commit([BeginAttempt(uid("series", 0))])  # and there the process died

    box.start()
    box.export([*paths, *other])
    box.wait()

    by_uid = {report.series_uid: report for report in box.reports()}
    assert by_uid[uid("series", 0)].code == "set_aside"
    assert by_uid[uid("series", 1)].state == "suspected"


class FailingBackend(SeeingBackend):
    """Fails on the volume stage with a given error."""

    error: Exception = InferenceError("onnx_failed", why="out of memory")

    def see(self, slabs: Floats) -> Floats:
        return super().see(slabs)

    def run_volume(self, block: Floats) -> VolumeOutput:
        raise self.error


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InferenceError("onnx_failed", why="out of memory"), "onnx_failed"),
        (ZeroDivisionError("bug"), "internal"),
    ],
    ids=["runtime-fails", "our-own-bug"],
)
def test_a_failing_network_ends_the_series_by_name(
    tmp_path: Path, error: Exception, code: str
) -> None:
    backend = FailingBackend(SEEING_BUNDLE)
    backend.error = error
    box = Box(tmp_path / "store.sqlite", SEEING_BUNDLE, backend)

    box.export(write_series(tmp_path / "in", N))
    box.wait()

    assert (box.report().state, box.report().code) == ("not_analysed", code)
    assert box.report().what_to_do


def test_nothing_of_the_patient_is_in_a_report(box: Box, tmp_path: Path) -> None:
    tags = {"PatientName": "Secret^Name", "PatientID": "SECRET-ID"}
    box.export(write_series(tmp_path / "in", N, **tags))
    box.wait()

    assert "ecret" not in box.report().model_dump_json()


@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_any_subset_in_any_order_ends_once_and_says_what_is_missing(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("subset")
    paths = write_series(folder / "in", 24)
    chosen = data.draw(st.lists(st.sampled_from(range(24)), min_size=1, unique=True))
    backend = SeeingBackend(SEEING_BUNDLE, score=0.1)
    box = Box(folder / "store.sqlite", SEEING_BUNDLE, backend)

    box.export(paths[k] for k in chosen)
    box.wait()

    report = box.report()
    assert (report.state == "not_suspected") <= (len(chosen) == max(chosen) - min(chosen) + 1), (
        "a head with a hole in it was called not suspected"
    )


def test_a_copy_sent_after_the_folder_was_emptied_and_the_agent_restarted_ends(
    box: Box, tmp_path: Path
) -> None:
    box.export(write_series(tmp_path / "in", N))
    box.wait()
    shutil.rmtree(tmp_path / "in")
    box.start()

    box.export(write_series(tmp_path / "again", N))
    box.wait()

    row = box.store.queries.series(uid("series", 0))
    assert row is not None
    assert row.state is State.SUSPECTED
    assert len(box.store.queries.history(row.uid)) == 1
    assert box.store.queries.unfinished() == []


class SlowBackend(SeeingBackend):
    """Calls ``meanwhile`` in the middle of the volume stage."""

    def run_volume(self, block: Floats) -> VolumeOutput:
        self.meanwhile()
        return super().run_volume(block)


def test_a_slice_that_comes_during_the_analysis_survives_a_kill_right_after_it(
    tmp_path: Path,
) -> None:
    paths = write_series(tmp_path / "in", N)
    backend = SlowBackend(SEEING_BUNDLE, score=0.9)
    box = Box(tmp_path / "store.sqlite", SEEING_BUNDLE, backend)
    backend.meanwhile = lambda: None
    box.export(paths[:-1])

    def late() -> None:
        backend.meanwhile = lambda: None
        box.hand_in([paths[-1]])

    backend.meanwhile = late
    box.clock.now_s += 20
    box.hand_in([])
    box.agent.analyst.work_once()
    box.start()
    settled = box.store.queries.settled_files()

    assert str(paths[-1]) not in settled
    box.export(path for path in paths if str(path) not in settled)
    box.wait()
    assert box.report().geometry
    assert box.report().geometry.slices == N


def box_where_it_comes_meanwhile(tmp_path: Path, first: list[Path], late: list[Path]) -> Box:
    """A box that has the ``late`` files read in the middle of concluding the first ones."""
    backend = SlowBackend(SEEING_BUNDLE, score=0.9)
    box = Box(tmp_path / "store.sqlite", SEEING_BUNDLE, backend)

    def meanwhile() -> None:
        backend.meanwhile = lambda: None
        box.hand_in(late)

    backend.meanwhile = meanwhile
    box.export(first)
    box.clock.now_s += 20
    box.hand_in([])
    box.agent.analyst.work_once()
    return box


def geometries(box: Box) -> list[int | None]:
    history = box.store.queries.history(uid("series", 0))
    return [report.geometry.slices if report.geometry else None for report in history]


def test_a_slice_that_comes_while_its_series_is_concluded_ends_in_a_revision(
    tmp_path: Path,
) -> None:
    paths = write_series(tmp_path / "in", N)

    box = box_where_it_comes_meanwhile(tmp_path, paths[:-1], paths[-1:])
    settled = set(box.store.queries.settled_files())
    unfinished = box.store.queries.unfinished()
    box.wait()

    assert settled == {str(path) for path in paths[:-1]}
    assert unfinished == [uid("series", 0)]
    assert geometries(box) == [N - 1, N]
    assert set(box.store.queries.settled_files()) == {str(path) for path in paths}


def test_an_unusable_slice_that_comes_while_its_series_is_concluded_ends_in_a_revision(
    tmp_path: Path,
) -> None:
    paths = write_series(tmp_path / "in", N)
    (bad,) = write_series(tmp_path / "bad", 1, RescaleSlope=0, SOPInstanceUID="1.2.3")

    box = box_where_it_comes_meanwhile(tmp_path, paths, [bad])
    assert str(bad) not in box.store.queries.settled_files()
    box.wait()

    before, after = box.store.queries.history(uid("series", 0))
    assert before.caveats == ()
    assert "1 of its files cannot be read: rescale slope 0" in after.caveats[0].text
    assert str(bad) in box.store.queries.settled_files()


def test_copies_that_come_while_their_series_is_concluded_change_nothing(tmp_path: Path) -> None:
    paths, copies = write_series(tmp_path / "in", N), write_series(tmp_path / "again", N)

    box = box_where_it_comes_meanwhile(tmp_path, paths, copies)
    box.wait()

    assert geometries(box) == [N]
    assert box.store.queries.unfinished() == []
    assert set(box.store.queries.settled_files()) == {str(path) for path in [*paths, *copies]}


def test_a_series_concluded_between_two_files_of_one_turn_keeps_both(
    box: Box, tmp_path: Path
) -> None:
    paths = write_series(tmp_path / "in", N)
    box.export(paths[:-2])
    box.clock.now_s += 20
    box.hand_in([])

    def turn() -> Iterator[Path]:
        yield paths[-2]
        box.agent.analyst.work_once()
        yield paths[-1]

    box.hand_in(turn())
    box.wait()

    assert geometries(box) == [N - 1, N]
    assert box.store.queries.unfinished() == []
    row = box.store.queries.series(uid("series", 0))
    assert row is not None
    assert row.slices == N


def test_a_late_slice_read_before_a_kill_revises_the_whole_series(box: Box, tmp_path: Path) -> None:
    paths = write_series(tmp_path / "in", N)
    box.export(paths[:-1])
    box.wait()
    box.hand_in([paths[-1]])

    box.start()
    settled = box.store.queries.settled_files()
    box.export(path for path in paths if str(path) not in settled)
    box.wait()

    assert geometries(box) == [N - 1, N]


def test_no_slice_is_lost_however_the_two_threads_meet(box: Box, tmp_path: Path) -> None:
    paths = write_series(tmp_path / "in", 24)
    done = threading.Event()

    def work() -> None:
        while not done.is_set():
            box.agent.analyst.work_once()

    worker = threading.Thread(target=work)
    worker.start()
    for path in paths:
        box.hand_in([path])
        box.end_all()
    done.set()
    worker.join()
    box.wait()

    assert geometries(box)[-1] == 24
    assert box.store.queries.unfinished() == []
    assert set(box.store.queries.settled_files()) == {str(path) for path in paths}


def test_a_file_whose_series_is_concluded_while_others_are_still_read_is_settled(
    box: Box, tmp_path: Path
) -> None:
    paths = write_series(tmp_path / "in", N)

    def arriving() -> Iterator[Path]:
        yield from paths
        box.end_all()  # as the other thread may, meanwhile
        assert box.agent.analyst.work_once()

    box.hand_in(arriving())

    assert geometries(box) == [N]
    assert set(box.store.queries.settled_files()) == {str(path) for path in paths}


class Broken:
    """A profile's pattern that finds nothing, and has a bug for image types that say so."""

    def search(self, text: str) -> bool:
        if "BROKEN" in text:
            raise ZeroDivisionError("bug")
        return False


class BrokenNumber(float):
    """A profile's quiet period with a bug in it, for series that lack slices."""

    def __mul__(self, other: float) -> float:
        if other == PATIENCE:
            raise ZeroDivisionError("bug")
        return super().__mul__(other)


def box_with_profile(tmp_path: Path, **changes: object) -> Box:
    """A box whose only protocol profile is changed."""
    (generic,) = [p for p in PROFILES if p.name == "generic-head"]
    return Box(
        tmp_path / "store.sqlite",
        SEEING_BUNDLE,
        SeeingBackend(SEEING_BUNDLE, score=0.9),
        profiles=(replace(generic, **changes),),
    )


def ends(box: Box) -> dict[str, tuple[str, str | None]]:
    return {report.series_uid: (report.state, report.code) for report in box.reports()}


def test_a_bug_while_a_slice_is_taken_in_ends_its_series_by_name_and_no_other(
    tmp_path: Path,
) -> None:
    box = box_with_profile(tmp_path, other_image_types=Broken())
    paths = write_series(tmp_path / "in", N, ImageType=["ORIGINAL", "PRIMARY", "BROKEN"])
    others = write_series(tmp_path / "other", N, seed=1)

    box.export(path for pair in zip(paths, others, strict=True) for path in pair)
    box.wait()

    assert ends(box) == {
        uid("series", 0): ("not_analysed", "internal"),
        uid("series", 1): ("suspected", None),
    }


class BrokenLimits(ReadLimits):
    """Limits with a bug in them, for one size of file."""

    @property
    def file_bytes(self) -> int:
        raise ZeroDivisionError("bug")


def test_a_bug_while_a_file_is_opened_names_it_and_ends_nothing(box: Box, tmp_path: Path) -> None:
    bad, paths = write_series(tmp_path / "bad", 1, seed=1), write_series(tmp_path / "in", N)

    box.limits = object.__new__(BrokenLimits)
    box.start()
    box.export(bad)
    box.limits = ReadLimits()
    box.start()
    box.export(paths)
    box.wait()

    assert "000.dcm: a fault in Bleedwatch" in english(box.store.queries.notices(1)[0].reason)
    assert box.report().state == "suspected"


def test_a_bug_while_completeness_is_judged_ends_its_series_by_name_and_no_other(
    tmp_path: Path,
) -> None:
    box = box_with_profile(tmp_path, quiet_s=BrokenNumber(4.0))
    paths = write_series(tmp_path / "in", N)
    del paths[5]
    others = write_series(tmp_path / "other", N, seed=1)

    box.export(path for pair in zip(paths, others, strict=False) for path in pair)
    box.export(others[-1:])
    box.wait()

    assert ends(box) == {
        uid("series", 0): ("not_analysed", "internal"),
        uid("series", 1): ("suspected", None),
    }


def test_a_bug_while_a_file_is_read_again_ends_its_series_by_name(tmp_path: Path) -> None:
    box = box_with_profile(tmp_path)
    paths = write_series(tmp_path / "in", N, ImageType=["ORIGINAL", "PRIMARY", "BROKEN"])
    box.export(paths[:-1])
    box.wait()
    assert box.report().state == "suspected"

    (profile,) = box.profiles
    box.profiles = (replace(profile, other_image_types=Broken()),)
    box.start()
    box.export(paths[-1:])
    box.wait()

    assert ends(box) == {uid("series", 0): ("not_analysed", "internal")}


@pytest.mark.parametrize(
    ("tags", "slices"),
    [
        ({"NumberOfSeriesRelatedInstances": "9" * 12}, N),
        ({"InstanceNumber": "9" * 12}, N),
        ({"SliceThickness": 1e300}, N),
        ({"SliceThickness": -5}, N),
    ],
    ids=["count", "number", "thickness", "negative-thickness"],
)
def test_a_number_beyond_all_bounds_is_not_believed(
    box: Box, tmp_path: Path, tags: dict, slices: int
) -> None:
    with disable_value_validation():
        paths = write_series(tmp_path / "in", N, **tags)

    box.export(paths)
    box.wait()

    assert box.report().state == "suspected"
    assert box.report().geometry
    assert box.report().geometry.slices == slices


@pytest.mark.parametrize(
    ("tags", "code", "words"),
    [
        (
            {"ImagePositionPatient": lambda k: [0, 0, 1e200 * k]},
            "position_absurd",
            "outside any scanner",
        ),
        (
            {"SeriesDescription": "x" * 60_000},
            "text_too_long",
            "SeriesDescription of 60000 characters",
        ),
    ],
    ids=["position", "text"],
)
def test_an_image_with_an_absurd_value_is_refused_by_name(
    box: Box, tmp_path: Path, tags: dict, code: str, words: str
) -> None:
    with disable_value_validation():
        paths = write_series(tmp_path / "in", N, **tags)

    box.export(paths)
    box.wait()

    assert (box.report().state, box.report().code) == ("not_analysed", code)
    assert words in (box.report().text or "")


def test_an_owner_with_an_absurd_name_is_named_and_disturbs_nobody(
    box: Box, tmp_path: Path
) -> None:
    with disable_value_validation():
        bad = write_series(tmp_path / "bad", 2, seed=1, PatientName="x" * 60_000)

    box.export([*bad, *write_series(tmp_path / "in", N)])
    box.wait()

    assert box.report().state == "suspected"
    assert "PatientName of 60000 characters" in english(box.store.queries.notices(1)[0].reason)


def test_a_file_whose_name_is_no_text_is_read_and_remembered(box: Box, tmp_path: Path) -> None:
    paths = write_series(tmp_path / "in", N)
    odd = Path(os.fsdecode(os.fsencode(tmp_path / "in") + b"/b\xff\xfed"))
    paths[3] = paths[3].rename(odd)
    bad = Path(os.fsdecode(os.fsencode(tmp_path / "in") + b"/t\xfft"))
    bad.write_text("no image")

    box.export([*paths[:-1], bad])
    box.wait()
    box.start()
    box.export([p for p in [*paths, bad] if str(p) not in box.store.queries.settled_files()])
    box.wait()

    assert str(odd) in box.store.queries.settled_files()
    assert geometries(box) == [N - 1, N]
    assert "not a DICOM file" in english(box.store.queries.notices(1)[0].reason)
