"""A store of a year: the agent starts, the page answers and old results are forgotten."""

from __future__ import annotations

import json
import subprocess
import time
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

from agent.console.settings import PageSettings
from agent.console.snapshot import View
from agent.records import Instant
from agent.store.effects import NoteFile
from agent.store.rows import FileNote
from agent.wiring import boot_id, system_clock
from tests.agent.reports import add_result, identity, not_suspected, receive, report
from tests.agent.stored import Store
from tests.faults.conftest import Row
from tests.phantoms import uid, write_series
from tests.program import Program, ended, until

FILES_PER_SERIES = 32
EVERY_S = 1800.0
LOOKS = 20


class PastClock:
    """A clock that begins long ago and is moved by hand."""

    def __init__(self, ago: timedelta) -> None:
        self.utc = datetime.now(timezone.utc) - ago

    def __call__(self) -> Instant:
        return Instant(self.utc, time.monotonic() - 1e6)


def fill(path: Path, n_series: int, ago: timedelta, export: Path) -> None:
    """Store so many concluded series, a third of them suspected and acknowledged."""
    clock = PastClock(ago)
    with Store(path, clock) as store:
        store.pragma("synchronous", "OFF")
        for n in range(n_series):
            series_uid, study_uid = uid("old", n), uid("old study", n)
            receive(store, clock, series_uid, identity=replace(identity(), study_uid=study_uid))
            bleeds = n % 3 == 0
            result = report(series_uid) if bleeds else not_suspected(series_uid)
            result = result.model_copy(update={"study_uid": study_uid})
            add_result(store, result, {"axial": bytes(20_000)} if bleeds else {})
            store.console.receipt(series_uid, 1, "console")
            if bleeds and n < n_series - 9:
                store.console.acknowledge(series_uid, 1, "Ann", "")
            mtime_ns = int(clock.utc.timestamp() * 1e9)
            notes = [
                FileNote(f"{export}/{n}/{k}", 524_288, mtime_ns, series_uid, "1", None, True)
                for k in range(FILES_PER_SERIES)
            ]
            store.agent.commit(map(NoteFile, notes))
            clock.utc += timedelta(seconds=EVERY_S)


def median_ms(ask: object) -> float:
    took_s = []
    for _ in range(LOOKS):
        began_s = time.perf_counter()
        ask()
        took_s.append(time.perf_counter() - began_s)
    return 1000 * sorted(took_s)[LOOKS // 2]


def test_a_store_of_ten_thousand_studies(agent: Program, row: Row) -> None:
    n_series = row.amount(10_000, 1_000)
    path = agent.store_path
    fill(path, n_series, timedelta(seconds=n_series * EVERY_S), agent.export)

    with agent.store() as store:
        agent.start()
        start_s = until(lambda: agent.problem() is None)
        write_series(agent.export / "new", 24)
        until(lambda: ended(store.queries.series(uid("series", 0))))
        now, boot = system_clock(), boot_id()
        page_ms = median_ms(
            lambda: json.dumps(View(store.queries, now, boot, PageSettings(), {}).snapshot())
        )
        studies_ms = median_ms(lambda: store.queries.worklist(50))
        n_shown = len(store.queries.worklist(50))
    began_s = time.monotonic()
    listed = subprocess.run(
        agent.command("studies", "--json"), capture_output=True, text=True, check=True
    )
    command_s = time.monotonic() - began_s

    row.tell(
        f"{n_series} studies, {n_series * FILES_PER_SERIES} files, "
        f"{path.stat().st_size / 1e6:.0f} MB: well {start_s:.2f} s after its start, "
        f"page {page_ms:.0f} ms, studies {studies_ms:.0f} ms ({command_s:.1f} s as a command)"
    )
    assert n_shown == len(json.loads(listed.stdout)) == 50
    assert json.loads(listed.stdout)[0]["state"] == "suspected"


def test_a_running_agent_forgets_what_is_old(tmp_path: Path, engines: Path, row: Row) -> None:
    with Program(tmp_path / "box", engines, "[store]\nkeep_days = 30\n") as agent:
        path = agent.store_path
        fill(path, 60, timedelta(days=60), agent.export)
        with agent.store() as store:
            agent.started()
            kept = [uid("old", n) for n in range(60) if n % 3 == 0 and n >= 51]
            long_ago = datetime(2000, 1, 1, tzinfo=timezone.utc)
            until(lambda: store.queries.counts_since(long_ago).examinations == 3)
            left = [row.uid for row in store.queries.worklist(100)]

    row.tell(f"retention: 60 studies of 60 days ago, {len(left)} unacknowledged suspicions kept")
    assert sorted(left) == sorted(kept)
