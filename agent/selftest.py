"""The self-test: a generated bleed goes the whole way on the live agent, as a patient's would.

The study is written into a folder of its own below the state folder, which the agent watches beside
the scanner's. That folder makes it a test, whatever its images say. Once it was compared with its
truth it is acknowledged, whereupon the agent forgets it; what remains is a line in the journal.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from importlib.metadata import entry_points
from pathlib import Path
from typing import ClassVar, Final, TypeAlias, TypeVar

from agent.config import Config
from agent.doctor.page import console
from agent.doctor.result import Box, Mark
from agent.errors import AgentError, ConfigError, StoreError
from agent.infer import tensorrt_api
from agent.log import LogStream, open_log
from agent.reasons import Reason, recalled
from agent.records import TEST_MARK, KnownBleed
from agent.report import FindingReport, SeriesReport
from agent.service import ACCOUNT
from agent.store.console_store import ConsoleStore
from agent.store.liveness import agent_problem
from agent.store.queries import Queries
from agent.store.rows import Selftest, SeriesRow
from agent.wiring import boot_id, system_clock

GENERATORS: Final = "bleedwatch.selftest"
"""Entry points, of which the first writes the study: the agent itself generates no heads."""

WHO: Final = "selftest"

START_S: Final = 60.0
"""How long agent and page may take to be up [s]. Ours: on most boxes they are."""

REST_S: Final = 600.0
"""How long patients' series that are under way are waited for [s]; then it goes beside them."""

ANSWER_S: Final = 120.0
"""How long the agent may take for its answer, and again to forget the test [s]. Ours: as long as it
waits for the last slice of a series that no profile covers."""

SHOWN_S: Final = 3.0
"""How long the alert stands [s]. Ours: who looks at the page can read that it is a test."""

LOOK_S: Final = 0.1

COMPARED: Final = 20
"""Latency is compared with the median of the last so many tests by the same bundle and backend …"""

FEWEST_COMPARED: Final = 5
"""… as soon as there are so many."""

AMONG: Final = 100
"""So many tests are looked through for them."""

SLOW_TIMES: Final = 3.0
"""An alert that took more than so many times the median is slow. Ours."""

NEVER_SLOW_S: Final = 2.0
"""An alert within this is not slow, whatever the others took [s]. Ours: nobody would notice."""

Play: TypeAlias = Callable[[Path], KnownBleed]
"""Writes one study with one bleed below a folder, at a scanner's pace."""

_T = TypeVar("_T")


class SelftestFailed(AgentError):
    """A self-test did not get as far as a result, or did not end."""

    kind: ClassVar[str] = "selftest_failed"


def generator() -> Play:
    """Find who writes the study.

    Raises
    ------
    ConfigError
        Nobody can.
    """
    for entry in entry_points(group=GENERATORS):
        try:
            play: Play = entry.load()
        except (ImportError, AttributeError) as error:
            raise ConfigError("selftest_study_unloadable", why=str(error)) from error
        return play
    raise ConfigError("selftest_study_missing")


def run_selftest(config: Config, store: ConsoleStore, play: Play) -> Selftest:
    """Take a generated study the whole way, and journal how that went.

    Raises
    ------
    SelftestFailed
        Another self-test is running: nothing is journalled.
    StoreUnwritable
        The result cannot be journalled.
    """
    with _only_one(config.selftest_folder):
        try:
            test = _taken_through(config, store, play)
        except (AgentError, OSError) as error:
            reason = getattr(error, "reason", None) or Reason("selftest_impeded", why=str(error))
            test = Selftest(system_clock(), reason)
        finally:
            _clear(config.selftest_folder)
        store.note_selftest(test)
        return test


def _taken_through(config: Config, store: ConsoleStore, play: Play) -> Selftest:
    queries = store.queries
    _wait_until_well(config, queries)
    _wait_for_rest(queries)
    _clear(config.selftest_folder)
    bleed = play(config.selftest_folder)
    uid = TEST_MARK + bleed.series_uid
    row = _until(queries, lambda: _concluded(queries, uid), Reason("selftest_no_result"))
    pictured = queries.picture(uid, row.revision, "axial") is not None
    test = compared(row, bleed, queries.selftests(AMONG), pictured=pictured)
    shown = _shown(queries, uid)
    _clear(config.selftest_folder)
    with suppress(StoreError):  # somebody at the page was quicker
        store.acknowledge(uid, row.revision, WHO, "")
    _until(queries, lambda: queries.series(uid) is None or None, Reason("selftest_not_forgotten"))
    return replace(test, shown=shown)


def compared(
    row: SeriesRow, bleed: KnownBleed, before: Sequence[Selftest], *, pictured: bool
) -> Selftest:
    """Compare a concluded test with its truth, and with those ``before``, newest first."""
    report, concluded = row.report, row.concluded_at
    if report is None or concluded is None:
        raise SelftestFailed("selftest_no_result")
    if not report.findings:
        return Selftest(concluded, _missed(report), report.engine)
    largest = max(report.findings, key=lambda finding: finding.volume_ml)
    latency_s = concluded.monotonic_s - bleed.last_on_disk_monotonic_s
    failures = [
        _misread(largest, bleed),
        None if pictured else Reason("selftest_no_picture"),
        _slow(latency_s, [test for test in before if test.engine == report.engine]),
    ]
    return Selftest(
        at=concluded,
        failure=_in_one([one for one in failures if one]),
        engine=report.engine,
        latency_s=round(latency_s, 3),
        volume_ml=largest.volume_ml,
        truth_ml=bleed.volume_ml,
    )


def _missed(report: SeriesReport) -> Reason:
    """Say of a result without a finding what it is instead."""
    if report.code:
        return Reason("selftest_not_analysed", why=recalled(report.model_dump()))
    return Reason("selftest_nothing_found", score=report.score or 0.0)


def _in_one(failures: Sequence[Reason]) -> Reason | None:
    """Say several reasons as one."""
    if len(failures) > 1:
        return Reason("selftest_failures", failures=tuple(failures))
    return failures[0] if failures else None


def _misread(largest: FindingReport, bleed: KnownBleed) -> Reason | None:
    """Say in what the largest finding is not the bleed."""
    subtype, side = bleed.subtype.word, bleed.side.value
    if (largest.subtype, largest.side) != (subtype, side):
        return Reason(
            "selftest_taken_for",
            found=largest.subtype,
            found_side=str(largest.side),
            subtype=subtype,
            side=side,
        )
    low_ml, high_ml = largest.volume_interval_ml
    if not low_ml <= bleed.volume_ml <= high_ml:
        return Reason(
            "selftest_mismeasured",
            measured_ml=largest.volume_ml,
            low_ml=low_ml,
            high_ml=high_ml,
            true_ml=bleed.volume_ml,
        )
    return None


def _slow(latency_s: float, alike: Sequence[Selftest]) -> Reason | None:
    """Say that an alert took far longer than those of the same bundle and backend.

    Those that failed for being slow count too: what a box has become used to is no failure.
    """
    took_s = [test.latency_s for test in alike if test.latency_s is not None][:COMPARED]
    if len(took_s) < FEWEST_COMPARED:
        return None
    median_s = statistics.median(took_s)
    if latency_s <= max(SLOW_TIMES * median_s, NEVER_SLOW_S):
        return None
    return Reason("selftest_slow", took_s=latency_s, median_s=median_s)


def _wait_for_rest(queries: Queries) -> None:
    """Wait until no patient's series is under way, or long enough."""
    end_s = time.monotonic() + REST_S
    while time.monotonic() < end_s:
        status = queries.agent_status()
        if status is None or status.receiving + status.queued == 0:
            return
        time.sleep(LOOK_S)


def _wait_until_well(config: Config, queries: Queries) -> None:
    """Wait until agent and page are up, as after a start of the computer."""
    end_s = time.monotonic() + START_S
    while problem := _problem(config, queries):
        if time.monotonic() > end_s:
            raise SelftestFailed(problem)
        time.sleep(LOOK_S)


def _problem(config: Config, queries: Queries) -> Reason | None:
    """Say why nobody would be alerted, whatever came from the scanner."""
    silent = open_log(LogStream(), json=False)
    box = Box(config, system_clock(), boot_id(), "", ACCOUNT, lambda: tensorrt_api.load(silent))
    page = console(box)
    page_down = page.mark is Mark.WRONG
    return _silence(queries) or (Reason("page_down", why=page.text) if page_down else None)


def _silence(queries: Queries) -> Reason | None:
    """Say why the agent gives no answer, None where it is well."""
    return agent_problem(queries.agent_status(), system_clock(), boot_id(), queries.free_bytes())


def _concluded(queries: Queries, uid: str) -> SeriesRow | None:
    row = queries.series(uid)
    return row if row and row.report and row.report.state == row.state.value else None


def _shown(queries: Queries, uid: str) -> bool:
    """Let the alert stand, and tell whether a page showed it; that none is open is no failure."""
    time.sleep(SHOWN_S)
    row = queries.series(uid)
    return row is not None and row.shown_at is not None


def _until(queries: Queries, happened: Callable[[], _T | None], otherwise: Reason) -> _T:
    end_s = time.monotonic() + ANSWER_S
    while time.monotonic() < end_s:
        found = happened()
        if found is not None:
            return found
        time.sleep(LOOK_S)
    raise SelftestFailed(_silence(queries) or otherwise)


def _clear(folder: Path) -> None:
    """Remove what this or an earlier test has written."""
    for study in folder.iterdir():
        shutil.rmtree(study)


@contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    """Hold the folder's lock: two tests would clear each other's files."""
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise SelftestFailed("selftest_running") from error
        yield
    finally:
        os.close(descriptor)
