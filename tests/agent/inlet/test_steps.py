"""Procedure steps (MPPS) that a scanner creates and changes: a hint to wait, and never a proof."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, ImplicitVRLittleEndian, generate_uid
from pynetdicom import AE, Association

from agent.assemble.completeness import PATIENCE
from agent.inlet.steps import LONGEST_BYTES, MOST_SERIES, STATUSES, step_of
from agent.reasons import SERVICE, Reason
from agent.records import Instant, PerformedStep
from agent.store.database import Database
from agent.store.queries import Queries
from agent.store.step_store import KEPT, MOST, StepStore
from agent.wiring import system_clock
from tests.agent.box import PROFILES, Box
from tests.agent.inlet.dcmtk import LIMITS, Inlet, inlet_in
from tests.agent.stored import Store
from tests.heads import SEEING_BUNDLE, SeeingBackend
from tests.phantoms import uid, write_series

STEP = "1.2.840.10008.3.1.2.3.3"
N = 32


@pytest.fixture(scope="module")
def inlet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inlet]:
    with inlet_in(tmp_path_factory.mktemp("inlet")) as inlet:
        yield inlet


@contextmanager
def calling(inlet: Inlet, syntax: str = ImplicitVRLittleEndian) -> Iterator[Association]:
    """Ask for an association by pynetdicom, for images and procedure steps."""
    entity = AE("CT1")
    for sop_class in (CTImageStorage, STEP):
        entity.add_requested_context(sop_class, syntax)
    association = entity.associate("127.0.0.1", inlet.settings.port, ae_title="BLEEDWATCH")
    assert association.is_established
    yield association
    association.release()


def listing(series_uid: str, n_images: int) -> Dataset:
    """A performed series with so many images."""
    series = Dataset()
    series.SeriesInstanceUID = series_uid
    series.ReferencedImageSequence = []
    for number in range(n_images):
        image = Dataset()
        image.ReferencedSOPClassUID = CTImageStorage
        image.ReferencedSOPInstanceUID = f"{series_uid[:50]}.{number}"
        series.ReferencedImageSequence.append(image)
    return series


def attributes(status: str | None = "IN PROGRESS", *series: Dataset) -> Dataset:
    values = Dataset()
    values.PatientName = "DOE^JANE"
    if status is not None:
        values.PerformedProcedureStepStatus = status
    if series:
        values.PerformedSeriesSequence = list(series)
    return values


def create(association: Association, named: str, values: Dataset) -> int:
    return int(association.send_n_create(values, STEP, named)[0].Status)


def change(association: Association, named: str, values: Dataset) -> int:
    return int(association.send_n_set(values, STEP, named)[0].Status)


def listed(inlet: Inlet, series_uid: str) -> int:
    with Database(inlet.store_path) as database:
        return Queries(database).performed_images(series_uid)


def test_a_step_is_created_changed_and_ended_and_its_images_are_counted(inlet: Inlet) -> None:
    named, head = generate_uid(), str(generate_uid())
    with calling(inlet) as scanner:
        assert create(scanner, named, attributes()) == 0
        assert listed(inlet, head) == 0
        assert change(scanner, named, attributes(None, listing(head, 3))) == 0
        assert listed(inlet, head) == 3
        assert change(scanner, named, attributes("IN PROGRESS")) == 0
        assert change(scanner, named, attributes("COMPLETED", listing(head, 32))) == 0
    assert listed(inlet, head) == 32
    assert "DOE" not in str(inlet.told.entries)
    assert b"DOE" not in inlet.store_path.read_bytes()


def test_images_of_a_step_that_is_discontinued_are_waited_for_no_more(inlet: Inlet) -> None:
    named, head = generate_uid(), str(generate_uid())
    with calling(inlet) as scanner:
        create(scanner, named, attributes("IN PROGRESS", listing(head, 32)))
        assert listed(inlet, head) == 32
        assert change(scanner, named, attributes("DISCONTINUED")) == 0
    assert listed(inlet, head) == 0


def test_what_does_not_follow_is_refused_by_its_status(inlet: Inlet) -> None:
    named = generate_uid()
    with calling(inlet) as scanner:
        assert change(scanner, named, attributes("COMPLETED")) == 0x0112
        assert create(scanner, named, attributes("COMPLETED")) == 0x0106
        assert create(scanner, named, attributes(None)) == 0x0120
        assert create(scanner, "1", attributes()) == 0x0117
        assert create(scanner, named, attributes()) == 0
        assert create(scanner, named, attributes()) == 0x0111
        assert change(scanner, named, attributes("PAUSED")) == 0x0106
        assert change(scanner, named, attributes(None, listing("12", 1))) == 0x0106
        assert change(scanner, named, attributes("COMPLETED")) == 0
        assert change(scanner, named, attributes("IN PROGRESS")) == 0x0110
        assert create(scanner, generate_uid(), attributes()) == 0
    codes = {entry.get("code") for entry in inlet.told.entries}
    assert {"step_known", "step_unknown", "step_ended", "step_value_unfit"} <= codes


def test_a_store_that_cannot_be_written_is_a_failure_and_images_come_all_the_same(
    tmp_path: Path,
) -> None:
    head = write_series(tmp_path / "head", 1)
    with inlet_in(tmp_path) as inlet, calling(inlet, "1.2.840.10008.1.2.1") as scanner:
        with Store(inlet.store_path, system_clock) as store:
            store.sql("DROP TABLE performed_series")
            store.sql("DROP TABLE performed_steps")
        assert create(scanner, generate_uid(), attributes()) != 0
        assert scanner.send_c_store(dcmread(head[0])).Status == 0


@pytest.mark.parametrize("created", [True, False])
def test_no_more_is_read_of_a_step_than_one_can_hold(created: bool) -> None:
    def taken(values: Dataset, n_bytes: int = 100) -> PerformedStep | Reason:
        return step_of("1.2.3", lambda: values, n_bytes, created=created)

    many = attributes("IN PROGRESS", *(listing(f"1.2.{n}", 0) for n in range(MOST_SERIES + 1)))
    assert taken(many) == Reason("step_value_unfit", attribute="PerformedSeriesSequence")
    assert isinstance(taken(attributes(), LONGEST_BYTES + 1), Reason)
    twice = attributes("IN PROGRESS", listing("1.2.5", 2), listing("1.2.5", 2))
    step = taken(twice)
    assert isinstance(step, PerformedStep)
    assert dict(step.images) == {"1.2.5": 4}


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=60), st.booleans())
def test_garbage_is_refused_by_name(content: bytes, created: bool) -> None:
    def decoded() -> Dataset:
        return dcmread(io.BytesIO(content), force=True)

    step = step_of("1.2.3", decoded, len(content), created=created)

    if created:
        assert isinstance(step, Reason)
    if isinstance(step, Reason):
        assert STATUSES[step.code]
        assert step.code in SERVICE


def test_steps_are_kept_in_number_and_age(tmp_path: Path) -> None:
    now = system_clock()
    moments = [now]
    with Store(tmp_path / "store.sqlite", system_clock) as store:
        steps = StepStore(store.database, lambda: moments[-1])

        def begin(n: int) -> Reason | None:
            return steps.record(PerformedStep(f"1.2.{n}", True, "IN PROGRESS", ((f"1.3.{n}", 9),)))

        store.sql("PRAGMA synchronous = OFF")
        assert begin(0) is None
        moments.append(Instant(now.utc + timedelta(hours=1), now.monotonic_s + 3600))
        values = ",".join(f"('1.4.{n}', 'IN PROGRESS', '9', 0)" for n in range(MOST - 1))
        store.sql(f"INSERT INTO performed_steps VALUES {values}")
        assert begin(1) is None
        assert begin(2) is None
        kept = store.sql("SELECT count(*) AS n FROM performed_steps")[0]["n"]
        assert kept <= MOST + 1
        assert store.queries.performed_images("1.3.0") == 0
        assert store.queries.performed_images("1.3.2") == 9

        store.sql("DELETE FROM performed_steps WHERE uid LIKE '1.4.%'")
        moments.append(Instant(moments[-1].utc + KEPT + timedelta(hours=1), 9e9))
        assert begin(3) is None
        assert [row["uid"] for row in store.sql("SELECT uid FROM performed_steps")] == ["1.2.3"]


@pytest.fixture
def quiet_s() -> float:
    return next(one.quiet_s for one in PROFILES if one.name == "generic-head")


def test_a_head_of_which_the_scanner_lists_more_is_waited_for_and_answered_in_the_end(
    tmp_path: Path, quiet_s: float
) -> None:
    """Images and listing come from a real sender through a running inlet, into one store."""
    paths = write_series(tmp_path / "made", N)
    head, named = uid("series", 0), generate_uid()
    box = Box(tmp_path / "store.sqlite", SEEING_BUNDLE, SeeingBackend(SEEING_BUNDLE, score=0.9))
    limits = dataclasses.replace(LIMITS, object_bytes=8 * 2**20, arriving_bytes=32 * 2**20)
    with (
        inlet_in(tmp_path, store_path=box.store_path, limits=limits) as inlet,
        calling(inlet, "1.2.840.10008.1.2.1") as scanner,
    ):
        assert create(scanner, named, attributes("IN PROGRESS", listing(head, N + 2))) == 0
        for path in paths:
            assert scanner.send_c_store(dcmread(path)).Status == 0
    box.export(sorted(inlet.settings.folder.glob("*/*.dcm"), key=lambda one: one.stat().st_mtime))

    box.wait(quiet_s)
    assert box.reports() == []
    box.wait(quiet_s * (PATIENCE - 1.0) + 1.0)
    assert box.report().state == "suspected"
    assert box.report().completed_by == "quiet"
    assert box.report().caveats == ()


def test_a_listed_image_that_is_late_is_in_the_first_answer(tmp_path: Path, quiet_s: float) -> None:
    box = Box(tmp_path / "store.sqlite", SEEING_BUNDLE, SeeingBackend(SEEING_BUNDLE, score=0.9))
    paths = write_series(tmp_path / "in", N)
    steps = StepStore(box.store.database, system_clock)
    steps.record(PerformedStep("1.2", True, "IN PROGRESS", ((uid("series", 0), N),)))

    box.export(paths[:-1])
    box.wait(quiet_s / 2)
    assert box.reports() == []
    box.export(paths[-1:])
    box.wait(quiet_s / 2)

    report = box.report()
    assert report.geometry
    assert (report.revision, report.geometry.slices) == (1, N)


def test_a_head_of_which_the_listed_images_came_is_not_waited_for(
    tmp_path: Path, quiet_s: float
) -> None:
    box = Box(tmp_path / "store.sqlite", SEEING_BUNDLE, SeeingBackend(SEEING_BUNDLE, score=0.9))
    steps = StepStore(box.store.database, system_clock)
    steps.record(PerformedStep("1.2", True, "IN PROGRESS", ((uid("series", 0), N),)))

    box.export(write_series(tmp_path / "in", N))
    box.wait(quiet_s / 2)

    assert box.report().completed_by == "geometry"
