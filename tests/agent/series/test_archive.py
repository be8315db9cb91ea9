"""agent.series.archive: slices of suspicions are kept after their results, and in nobody's way."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest
import structlog

from agent.records import State
from agent.series.archive import Archive
from tests.agent.box import Box
from tests.agent.reports import add_result, not_suspected, receive, report
from tests.agent.stored import Store
from tests.heads import SEEING, SEEING_BUNDLE, SeeingBackend, axial_grid, head
from tests.packed import unpacked
from tests.phantoms import phantom_hu, uid, write_series

N = 32


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path / "store.sqlite", SEEING_BUNDLE, SeeingBackend(SEEING_BUNDLE))


def arrive(box: Box, paths: list[Path]) -> None:
    """Let whole series arrive and be found complete, while the networks' thread does nothing."""
    for path in paths:
        box.clock.now_s += 0.01
        box.hand_in([path])
    box.clock.now_s += 20
    box.hand_in([])


def states(box: Box) -> list[State]:
    return sorted(row.state for row in box.store.queries.worklist(10))


def stored_hu(store: Store, series_uid: str, k: int) -> np.ndarray:
    encoded = store.queries.encoded_slice(series_uid, 1, k)
    assert encoded
    return unpacked(encoded.hu)


@pytest.mark.slow
def test_a_suspicion_has_three_pictures_and_all_its_slices(box: Box, tmp_path: Path) -> None:
    box.export(write_series(tmp_path / "in", N))
    box.wait()

    report = box.report()
    stack = box.store.queries.stack(report.series_uid, 1)
    assert stack
    assert len(stack.heights_mm) == N
    assert report.findings[0].key_slice in stack.outlined
    for k in (0, N - 1):
        assert (stored_hu(box.store, report.series_uid, k) == phantom_hu(k, N).ravel()).all()
    for view in ("axial", "coronal", "sagittal"):
        assert box.store.queries.picture(report.series_uid, 1, view)
    assert stack.field_mm == SEEING.slices.size_px * SEEING.slices.pixel_mm
    assert stack.vertex_mm is not None
    assert stack.heights_mm[0] < stack.vertex_mm <= stack.heights_mm[-1]
    mapped = stack.mapped[report.findings[0].key_slice]
    assert mapped is not None
    bleeding = box.store.queries.encoded_slice(report.series_uid, 1, mapped)
    assert bleeding
    assert bleeding.maps_z
    maps = np.frombuffer(zlib.decompress(bleeding.maps_z), np.uint8)
    assert (maps.reshape(2, -1).max(axis=1) == 255).all()


@pytest.mark.slow
def test_what_is_not_suspected_has_its_slices_and_no_outline(tmp_path: Path) -> None:
    blind = SeeingBackend(SEEING_BUNDLE, score=0.01)
    box = Box(tmp_path / "store.sqlite", SEEING_BUNDLE, blind)

    box.export(write_series(tmp_path / "in", N))
    box.wait()

    assert box.report().state == "not_suspected"
    stack = box.store.queries.stack(uid("series", 0), 1)
    assert stack
    assert len(stack.heights_mm) == N
    assert stack.outlined == ()
    assert box.store.queries.picture(uid("series", 0), 1, "axial") is None


def test_where_nothing_is_suspected_slices_delay_no_other_series(box: Box) -> None:
    archive = Archive(box.store.agent, structlog.get_logger(), keeps_slices=True)
    grid = axial_grid(np.array([0.0, 5.0]))
    clear = np.zeros(grid.shape_kji, np.uint8)
    bleed = clear.copy()
    bleed[0, 10:20, 10:20] = 1

    told = not_suspected("1.1"), report("1.2"), not_suspected("1.3")
    for one, labels in zip(told, (clear, bleed, clear), strict=True):
        receive(box.store, box.clock, one.series_uid)
        add_result(box.store, one)
        archive.add(one, head(grid, labels > 0), labels)

    assert [bool(box.store.queries.stack(each, 1)) for each in ("1.1", "1.2")] == [False, True]
    while archive.keep_some():
        pass
    assert box.store.queries.stack("1.3", 1)


def test_a_suspicion_without_an_outline_has_its_slices_when_another_head_comes(box: Box) -> None:
    """Regression: it was taken for a head in which nothing is suspected, and let go."""
    archive = Archive(box.store.agent, structlog.get_logger(), keeps_slices=True)
    grid = axial_grid(np.array([0.0, 5.0]))
    clear = np.zeros(grid.shape_kji, np.uint8)

    for one in (report("1.1", findings=()), not_suspected("1.2")):
        receive(box.store, box.clock, one.series_uid)
        add_result(box.store, one)
        archive.add(one, head(grid, clear > 0), clear)

    assert box.store.queries.stack("1.1", 1)


@pytest.mark.slow
def test_no_series_waits_for_the_slices_of_another(box: Box, tmp_path: Path) -> None:
    both = [write_series(tmp_path / str(seed), N, seed=seed) for seed in (0, 1)]
    arrive(box, [path for paths in both for path in paths])

    box.agent.analyst.work_once()
    assert not any(box.store.queries.stack(uid("series", seed), 1) for seed in (0, 1))
    box.agent.analyst.work_once()

    assert states(box) == [State.SUSPECTED] * 2
    while box.agent.analyst.work_once():
        pass
    assert all(box.store.queries.stack(uid("series", seed), 1) for seed in (0, 1))


@pytest.mark.slow
def test_of_many_suspicions_at_once_all_slices_are_kept_and_few_are_held(
    box: Box, tmp_path: Path
) -> None:
    seeds = range(4)
    arrive(box, [path for n in seeds for path in write_series(tmp_path / str(n), N, seed=n)])

    for _ in seeds:
        box.agent.analyst.work_once()

    assert states(box) == [State.SUSPECTED] * len(seeds)
    kept = [n for n in seeds if box.store.queries.stack(uid("series", n), 1)]
    assert len(kept) == len(seeds) - 1
    while box.agent.analyst.work_once():
        pass
    assert all(box.store.queries.stack(uid("series", n), 1) for n in seeds)


@pytest.mark.slow
def test_a_power_cut_before_the_slices_loses_no_result(box: Box, tmp_path: Path) -> None:
    paths = write_series(tmp_path / "in", N)
    arrive(box, paths)
    box.agent.analyst.work_once()  # the result …
    box.agent.analyst.work_once()  # … and some of the slices

    box.start()
    box.export(paths)
    box.wait()

    assert box.report().state == "suspected"
    assert box.store.queries.stack(uid("series", 0), 1) is None
    assert len(box.store.queries.history(uid("series", 0))) == 1


@pytest.mark.slow
def test_a_full_disk_takes_the_slices_and_nothing_else(box: Box, tmp_path: Path) -> None:
    arrive(box, write_series(tmp_path / "0", N))
    box.agent.analyst.work_once()
    pages = box.store.database.rows("PRAGMA page_count")[0]["page_count"]
    box.store.pragma("max_page_count", pages + 8)  # as a disk with 32 kB left

    while box.agent.analyst.work_once():
        pass
    assert box.store.queries.stack(uid("series", 0), 1) is None
    assert states(box) == [State.SUSPECTED]

    box.store.pragma("max_page_count", "1000000")
    box.export(write_series(tmp_path / "1", N, seed=1))
    box.wait()
    assert states(box) == [State.SUSPECTED] * 2
    assert box.store.queries.stack(uid("series", 1), 1)


def test_a_fault_of_ours_in_keeping_slices_ends_nothing(box: Box) -> None:
    archive = Archive(box.store.agent, structlog.get_logger(), keeps_slices=True)
    grid = axial_grid(np.array([0.0, 5.0]), rows=5, columns=7)
    good = head(grid, np.zeros(grid.shape_kji, bool))
    labels = np.zeros(grid.shape_kji, np.uint8)

    for series_uid, each in (("1.1", labels[:1]), ("1.2", labels)):  # of the first, one is missing
        receive(box.store, box.clock, series_uid)
        add_result(box.store, report(series_uid))
        archive.add(report(series_uid), good, each)
    while archive.keep_some():
        pass

    assert box.store.queries.stack("1.1", 1) is None
    assert box.store.queries.stack("1.2", 1)


def test_where_no_slices_are_to_be_kept_none_are(box: Box) -> None:
    archive = Archive(box.store.agent, structlog.get_logger(), keeps_slices=False)
    grid = axial_grid(np.array([0.0, 5.0]))
    nothing = np.zeros(grid.shape_kji, np.uint8)

    archive.add(report("1.1"), head(grid, nothing > 0), nothing)

    assert not archive.keep_some()
