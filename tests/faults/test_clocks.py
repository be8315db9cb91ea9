"""The wall clock jumps, files are old, zones and summer time change: no rule depends on it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from datetime import datetime, timezone
from pathlib import Path

import pytest

from tests.faults.conftest import Row
from tests.phantoms import uid, write_series
from tests.program import Program, ended, until

N = 24
LIBRARIES = list(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))


def test_files_with_old_times_are_read_like_new_ones(
    agent: Program, tmp_path: Path, row: Row
) -> None:
    agent.started()
    made = write_series(tmp_path / "made", N, NumberOfSeriesRelatedInstances=N)
    future = write_series(tmp_path / "future", N, seed=1, NumberOfSeriesRelatedInstances=N)
    for path, year in [*((path, 2001) for path in made), *((path, 2037) for path in future)]:
        at_s = datetime(year, 1, 1, tzinfo=timezone.utc).timestamp()
        os.utime(path, (at_s, at_s))

    for path in [*made, *future]:
        to = agent.export / path.parent.name
        to.mkdir(exist_ok=True)
        shutil.copy2(path, to)
    with agent.store() as store:
        until(lambda: all(ended(store.queries.series(uid("series", seed))) for seed in (0, 1)))
        reports = [store.queries.series(uid("series", seed)).report for seed in (0, 1)]

    row.tell(f"cp -p with times of 2001 and 2037: {[report.state for report in reports]}")
    assert [report.geometry.slices for report in reports] == [N, N]


@pytest.mark.skipif(not LIBRARIES, reason="Debian's package faketime is not installed")
@pytest.mark.parametrize("hours", [1, -1], ids="{:+d} h".format)
def test_a_clock_that_jumps_in_the_middle_of_a_series_changes_nothing(
    program: Program, tmp_path: Path, row: Row, hours: int
) -> None:
    clock = tmp_path / "clock"
    clock.write_text("+0")
    environment = {
        **os.environ,
        "LD_PRELOAD": str(LIBRARIES[0]),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }
    process = subprocess.Popen(
        program.command("run"), env=environment, stderr=subprocess.PIPE, text=True
    )
    try:
        until(lambda: program.problem() is None)
        made = write_series(tmp_path / "made", N, size=128, NumberOfSeriesRelatedInstances=N)
        for n, path in enumerate(made):
            if n == N // 2:
                until(lambda: uid("series", 0) in program.rows())
                clock.write_text(f"{hours:+d}h")
                time.sleep(1.0)
            shutil.copy(path, program.export)
            time.sleep(0.02)
        until(lambda: uid("series", 0) in program.concluded())
        with program.store() as store:
            history, changes = (
                store.queries.history(uid("series", 0)),
                store.queries.transitions(uid("series", 0)),
            )
        problem = program.problem()
    finally:
        process.kill()
        process.communicate()

    jumped_h = (changes[-1].at.utc - changes[0].at.utc).total_seconds() / 3600
    waited_s = history[-1].timings_s["total"]
    row.tell(
        f"clock jumped by {jumped_h:+.2f} h within a series: {len(history)} result, complete by "
        f"{history[-1].completed_by}, {waited_s:.2f} s after the last slice; problem: {problem}"
    )
    assert round(jumped_h) == hours
    assert [report.geometry.slices for report in history] == [N]
    assert 0 < waited_s < 60
    assert problem is None


WORKLIST = """
import sys
from pathlib import Path
from threading import Event
from agent.console.settings import PageSettings
from agent.console.snapshot import View
from tests.agent.stored import Store
from agent.wiring import boot_id, system_clock
from tests.agent.reports import add_result, receive, report, series_shown
store = Store(Path(sys.argv[1]), system_clock)
for n in range(5):
    receive(store, system_clock, f"1.{n}")
    add_result(store, report(f"1.{n}"))
    store.console.acknowledge(f"1.{n}", 1, "Ann", "")
    Event().wait(0.7)
shown = View(store.queries, system_clock(), boot_id(), PageSettings(), {}).snapshot()
print([row["series_uid"] for row in series_shown(shown)])
"""
"""Five series within three seconds, and the order in which the page shows them."""

MOMENTS = {
    "summer time begins": ("Europe/Berlin", "2026-03-29 00:59:58"),
    "summer time ends": ("Europe/Berlin", "2026-10-25 00:59:58"),
    "summer time ends in America": ("America/New_York", "2026-11-01 05:59:58"),
    "midnight at UTC+14": ("Pacific/Kiritimati", "2026-06-01 09:59:58"),
}


@pytest.mark.skipif(not LIBRARIES, reason="Debian's package faketime is not installed")
def test_time_zones_and_summer_time_change_no_order(tmp_path: Path, row: Row) -> None:
    running = {}
    for moment, (zone, utc) in MOMENTS.items():
        at_s = datetime.fromisoformat(utc).replace(tzinfo=timezone.utc).timestamp()
        environment = {**os.environ, "TZ": zone, "LD_PRELOAD": str(LIBRARIES[0])}
        environment |= {"FAKETIME": f"{at_s - time.time():+.0f}", "DONT_FAKE_MONOTONIC": "1"}
        command = [sys.executable, "-c", WORKLIST, str(tmp_path / f"{moment}.sqlite")]
        running[moment] = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    said = {moment: process.communicate()[0].strip() for moment, process in running.items()}

    for moment, worklist in said.items():
        row.tell(f"{moment}: worklist {worklist}")
    assert set(said.values()) == {str([f"1.{n}" for n in reversed(range(5))])}
