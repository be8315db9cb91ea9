"""A series that is no head, or larger than any, costs a head beside it neither time nor memory."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.assemble.bounds import Bounds
from agent.report import SeriesReport
from agent.series.intake import FILES_PER_TURN
from tests.agent.box import Box
from tests.heads import SEEING_BUNDLE, SeeingBackend
from tests.phantoms import uid, write_series

N = 24
SIZE = 64
IMAGE_BYTES = SIZE * SIZE * 2

RULED_OUT = {
    "perfusion": ({"SeriesDescription": "CTP Brain 4D"}, "contrast_series"),
    "4D by its header": (
        {"SeriesDescription": "Brain 4D", "NumberOfTemporalPositions": 19},
        "scanned_often",
    ),
    "bone": ({"ConvolutionKernel": "H70h"}, "bone_kernel"),
    "localizer": ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "localizers_only"),
    "derived": ({"ImageType": ["DERIVED", "SECONDARY", "MPR"]}, "not_original_axial"),
    "chest": ({"BodyPartExamined": "CHEST", "SeriesDescription": "Thorax nativ"}, "not_head"),
}


def a_box(tmp_path: Path, bounds: Bounds | None = None) -> Box:
    backend = SeeingBackend(SEEING_BUNDLE, score=0.9)
    return Box(tmp_path / "store.sqlite", SEEING_BUNDLE, backend, bounds=bounds or Bounds())


def of(box: Box, seed: int) -> SeriesReport:
    row = box.store.queries.series(uid("series", seed))
    assert row
    assert row.report
    return row.report


def pixels_bytes(box: Box) -> int:
    """How much the pixels of all series in memory take."""
    with box.agent.shell.held() as board:
        return board.pixels_bytes


@pytest.mark.parametrize(("tags", "code"), RULED_OUT.values(), ids=RULED_OUT)
def test_a_series_that_its_header_rules_out_ends_by_name_without_one_pixel_read(
    tmp_path: Path, tags: dict, code: str
) -> None:
    box = a_box(tmp_path)
    paths = write_series(tmp_path / "in", N, size=SIZE, **tags)
    for path in paths:
        path.write_bytes(path.read_bytes()[:-IMAGE_BYTES])  # there are none

    assert box.export(paths) == []
    assert pixels_bytes(box) == 0
    box.wait()

    row = box.store.queries.series(uid("series", 0))
    assert row
    assert row.slices == N
    assert row.report
    assert (row.report.state, row.report.code) == ("not_analysed", code)
    assert set(box.store.queries.settled_files()) == {str(path) for path in paths}


def test_more_images_of_what_is_ruled_out_give_no_further_result(tmp_path: Path) -> None:
    box = a_box(tmp_path)
    paths = write_series(tmp_path / "in", N, size=SIZE, SeriesDescription="CTP Brain 4D")
    for part in (paths[:10], paths[10:20], paths[20:]):
        box.export(part)
        box.wait()
    box.start()
    box.export(write_series(tmp_path / "again", N, size=SIZE, SeriesDescription="CTP Brain 4D"))
    box.wait()

    assert len(box.store.queries.history(uid("series", 0))) == 1
    assert box.store.queries.unfinished() == []


@pytest.mark.slow
def test_a_head_is_read_before_what_waits_in_a_folder_of_what_is_ruled_out(tmp_path: Path) -> None:
    box = a_box(tmp_path)
    head = write_series(tmp_path / "head", N, size=SIZE)
    perfusion = write_series(
        tmp_path / "perfusion", 10 * N, size=SIZE, seed=1, SeriesDescription="CTP Brain 4D"
    )
    box.hand_in([perfusion[0], head[0]])

    box.hand_in([*perfusion[1:], *head[1:]])

    assert slices_of(box, 0) == N
    assert slices_of(box, 1) == 1 + FILES_PER_TURN
    box.wait()
    assert of(box, 0).state == "suspected"
    while slices_of(box, 1) < len(perfusion):
        box.wait()
    assert of(box, 1).code == "contrast_series"


def test_another_head_in_the_folder_of_a_perfusion_is_noticed_while_one_is_under_way(
    tmp_path: Path,
) -> None:
    box = a_box(tmp_path)
    head = write_series(tmp_path / "head", N, size=SIZE)
    perfusion = write_series(
        tmp_path / "in", 2 * N, size=SIZE, seed=1, SeriesDescription="CTP Brain 4D"
    )
    other = [
        path.rename(tmp_path / "in" / f"other-{path.name}")
        for path in write_series(tmp_path / "other", N, size=SIZE, seed=2)
    ]
    box.hand_in([perfusion[0], head[0]])

    box.hand_in([*perfusion[1:], *other])

    assert (slices_of(box, 1), slices_of(box, 2)) == (2 * N, N)


@pytest.mark.slow
def test_a_head_in_the_folder_of_a_perfusion_waits_for_none_of_it(tmp_path: Path) -> None:
    box = a_box(tmp_path)
    perfusion = write_series(tmp_path / "in", N, size=SIZE, SeriesDescription="CTP Brain 4D")
    head = [
        path.rename(tmp_path / "in" / f"head-{path.name}")
        for path in write_series(tmp_path / "head", N, size=SIZE, seed=1)
    ]

    for pair in zip(perfusion, head, strict=True):
        box.hand_in(pair)

    assert (slices_of(box, 0), slices_of(box, 1)) == (N, N)
    box.wait()
    assert of(box, 1).state == "suspected"


def slices_of(box: Box, seed: int) -> int:
    row = box.store.queries.series(uid("series", seed))
    return row.slices if row else 0


def test_what_came_of_a_series_that_is_ruled_out_is_not_read_again_for_what_comes_later(
    tmp_path: Path,
) -> None:
    box = a_box(tmp_path)
    paths = write_series(tmp_path / "in", N, size=SIZE, SeriesDescription="CTP Brain 4D")
    box.export(paths[:10])
    box.wait()

    with opened() as names:
        box.export(paths[10:])
        box.wait()

    assert {str(path) for path in paths[10:]} <= names
    assert names.isdisjoint(str(path) for path in paths[:10])
    assert set(box.store.queries.settled_files()) == {str(path) for path in paths}
    assert slices_of(box, 0) == N


def test_an_image_that_comes_twice_after_the_answer_of_what_is_ruled_out_counts_once(
    tmp_path: Path,
) -> None:
    box = a_box(tmp_path)
    paths = write_series(tmp_path / "in", N, size=SIZE, SeriesDescription="CTP Brain 4D")
    box.export(paths[:10])
    box.wait()
    again = write_series(tmp_path / "again", N, size=SIZE, SeriesDescription="CTP Brain 4D")

    box.export([*paths[10:], *again])

    assert slices_of(box, 0) == N


@contextmanager
def opened() -> Iterator[set[str]]:
    """Names of what is opened meanwhile."""
    names: set[str] = set()
    listening = [names]

    def hear(event: str, values: tuple) -> None:
        if event == "open" and listening:
            names.add(str(values[0]))

    sys.addaudithook(hear)  # it stays until the process ends
    yield names
    listening.clear()


@pytest.mark.slow
def test_a_head_beside_a_perfusion_takes_no_more_memory_than_alone(tmp_path: Path) -> None:
    box = a_box(tmp_path)
    head = write_series(tmp_path / "head", N, size=SIZE)
    perfusion = write_series(
        tmp_path / "perfusion", 10 * N, size=SIZE, seed=1, SeriesDescription="CTP Brain 4D"
    )

    most = 0
    for n, path in enumerate(head):
        box.hand_in([*perfusion[10 * n : 10 * n + 10], path])
        most = max(most, pixels_bytes(box))
    box.wait()

    assert most == N * IMAGE_BYTES
    assert of(box, 0).state == "suspected"
    assert of(box, 1).code == "contrast_series"


def test_one_stray_image_of_another_kind_takes_nothing_from_a_head(tmp_path: Path) -> None:
    box = a_box(tmp_path)
    head = write_series(tmp_path / "head", N, size=SIZE)
    scout = {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"], "SOPInstanceUID": uid("scout")}

    box.export([*write_series(tmp_path / "scout", 1, size=SIZE, **scout), *head])
    box.wait()

    assert of(box, 0).state == "suspected"
    assert of(box, 0).geometry
    assert of(box, 0).geometry.slices == N


@pytest.mark.slow
@pytest.mark.parametrize(
    ("bounds", "code"),
    [
        (Bounds(n_images=40), "series_too_long"),
        (Bounds(series_bytes=40 * IMAGE_BYTES), "series_too_large"),
        (Bounds(all_bytes=60 * IMAGE_BYTES), "memory_taken"),
    ],
    ids=["images", "series", "all-series"],
)
def test_what_no_word_rules_out_is_refused_by_name_at_its_bound_and_frees_its_memory(
    tmp_path: Path, bounds: Bounds, code: str
) -> None:
    box = a_box(tmp_path, bounds)
    head = write_series(tmp_path / "head", N, size=SIZE)
    endless = write_series(tmp_path / "endless", 80, size=SIZE, seed=1)

    box.hand_in([path for pair in zip(head, endless, strict=False) for path in pair])
    box.hand_in(endless[N:])
    assert pixels_bytes(box) == N * IMAGE_BYTES
    box.wait()

    assert of(box, 0).state == "suspected"
    assert (of(box, 1).state, of(box, 1).code) == ("not_analysed", code)
    assert box.store.queries.unfinished() == []
