"""The agent is killed at any moment: every study is finished once, none is lost or doubled."""

from __future__ import annotations

import random
import threading
import time
from pathlib import Path

import pytest

from tests.faults.conftest import Row
from tests.phantoms import uid, write_series
from tests.program import Program, ended, until

N = 24
SERIES_PER_KILL = 0.5
BACKLOG_S = 600.0
"""The last agent finishes what all the others were killed over [s]."""

SET_ASIDE = "not_analysed", "set_aside"


def export(agent: Program, made: Path, seeds: range, pause_s: float) -> None:
    """Rename series into the folder, slice by slice, those of two patients in turn."""
    for first in range(seeds.start, seeds.stop, 2):
        pair = [
            write_series(made / str(seed), N, seed=seed, NumberOfSeriesRelatedInstances=N)
            for seed in range(first, min(first + 2, seeds.stop))
        ]
        for paths in zip(*pair, strict=True):
            for path in paths:
                target = agent.export / path.parent.name
                target.mkdir(exist_ok=True)
                path.rename(target / path.name)
            time.sleep(pause_s)


@pytest.mark.timeout(300)
def test_sigkill_at_random_moments(agent: Program, tmp_path: Path, row: Row) -> None:
    n_kills = row.amount(500, 40)
    n_series = round(n_kills * SERIES_PER_KILL)
    moments, before_ready = random.Random(20261124), 0
    exporter = threading.Thread(
        target=export, args=(agent, tmp_path / "made", range(n_series), 0.09)
    )
    exporter.start()

    for _ in range(n_kills):
        agent.start()
        time.sleep(moments.uniform(0.0, 1.2))
        before_ready += agent.log.stat().st_size == 0 if agent.log.exists() else 1
        agent.log.unlink(missing_ok=True)
        agent.kill()
    exporter.join()
    agent.start()
    with agent.store() as store:
        uids = [uid("series", seed) for seed in range(n_series)]
        until(lambda: all(ended(store.queries.series(each)) for each in uids), BACKLOG_S)
        histories = [store.queries.history(each) for each in uids]
        n_outbox = len(store.queries.undelivered())
    agent.kill()

    reports = [report for history in histories for report in history]
    set_aside = sum(report.code == "set_aside" for report in reports)
    row.tell(
        f"SIGKILL: {n_kills} kills ({before_ready} while it started), {n_series} studies, "
        f"{sum(map(bool, histories))} finished, {len(reports) - len(histories)} doubled, "
        f"{set_aside} set aside because two kills met their analysis, "
        f"integrity {agent.integrity()}"
    )
    assert agent.integrity() == "ok"
    assert [len(history) for history in histories] == [1] * n_series
    assert {(r.state, r.code) for r in reports} <= {("suspected", None), SET_ASIDE}
    assert {r.geometry.slices for r in reports if r.geometry} == {N}
    assert n_outbox == n_series
