"""Late, twice-sent and interleaved series: one result each, revised in place, none mixed."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

import pytest

from agent.infer.bundle import load_bundle
from agent.infer.onnx_backend import OnnxBackend
from tests.agent.box import Box
from tests.faults.conftest import Row
from tests.phantoms import uid, write_series
from tests.tiny import BUNDLE

N = 24
AT_ONCE = 8


@pytest.fixture
def box(tmp_path: Path, engines: Path) -> Iterator[Box]:
    bundle = load_bundle(engines / BUNDLE)
    box = Box(tmp_path / "store.sqlite", bundle, OnnxBackend(bundle, threads=1))
    yield box
    box.store.close()


def send(box: Box, paths: Iterable[Path], seconds: float = 20.0) -> None:
    box.export(paths)
    box.wait(seconds)


def test_late_slices_revise_the_result_in_place(box: Box, tmp_path: Path, row: Row) -> None:
    n_series, chance = row.amount(100, 6), random.Random(1)

    for seed in range(n_series):
        paths = write_series(tmp_path / str(seed), N, seed=seed)
        late = chance.sample(paths, chance.randrange(1, 6))
        send(box, [path for path in paths if path not in late])
        if chance.random() < 0.3:
            box.start()
        send(box, late)

    histories = [box.store.queries.history(uid("series", seed)) for seed in range(n_series)]
    row.tell(
        f"late slices: {n_series} series, {sum(map(len, histories))} revisions in their places"
    )
    assert all(history[-1].geometry.slices == N for history in histories)
    assert all([report.revision for report in history] == [1, 2] for history in histories)
    assert len(box.store.queries.worklist(10_000)) == n_series
    assert not any(report.state == "not_suspected" for h in histories for report in h)


@pytest.mark.parametrize("folders", [1, 2], ids=["sent twice", "from two folders at once"])
def test_a_series_sent_twice_has_one_result(
    box: Box, tmp_path: Path, row: Row, folders: int
) -> None:
    n_series = row.amount(100, 6)

    for seed in range(n_series):
        first = write_series(tmp_path / "a" / str(seed), N, seed=seed)
        second = write_series(tmp_path / "b" / str(seed), N, seed=seed)
        if folders == 1:
            send(box, first)
            if seed % 3 == 0:
                box.start()
            send(box, second)
        else:
            send(box, chain.from_iterable(zip(first, second, strict=True)))

    counts = [len(box.store.queries.history(uid("series", seed))) for seed in range(n_series)]
    alerts = len(box.store.queries.undelivered())
    row.tell(f"each of {n_series} series sent twice, {folders} folder(s): {alerts} results")
    assert counts == [1] * n_series
    assert alerts == n_series


def test_interleaved_series_of_eight_patients_are_never_mixed(
    box: Box, tmp_path: Path, row: Row
) -> None:
    n_series, chance = row.amount(100, 8), random.Random(2)

    for first in range(0, n_series, AT_ONCE):
        seeds = range(first, min(first + AT_ONCE, n_series))
        series = [write_series(tmp_path / str(seed), N, seed=seed) for seed in seeds]
        queues = [iter(paths) for paths in series]
        order = [n for n in range(len(queues)) for _ in range(N)]
        chance.shuffle(order)
        send(box, [next(queues[n]) for n in order])

    for seed in range(n_series):
        found = box.store.queries.series(uid("series", seed))
        assert found.identity.patient_id == f"P{seed}"
        assert (found.report.state, found.report.geometry.slices) == ("suspected", N)
    n_results = sum(len(box.store.queries.history(uid("series", seed))) for seed in range(n_series))
    row.tell(
        f"interleaved: {n_series} series, {AT_ONCE} patients at a time, none mixed; "
        f"{n_results - n_series} were answered before their last slice, and revised"
    )
