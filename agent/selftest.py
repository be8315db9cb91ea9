"""The self-test: a generated bleed is processed by the running agent like a patient's.

The study is written into a folder below the state folder, which the agent watches too. That folder
makes it a test, whatever its headers say. Its result is compared with the truth and acknowledged;
the agent then deletes it, and only the outcome of the test is kept.
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
"""Group of entry points; the first writes the study, since the agent has no generator."""

WHO: Final = "selftest"

START_S: Final = 60.0
"""How long agent and page may take to start [s]. Ours: mostly they run already."""

REST_S: Final = 600.0
"""How long to wait for patients' series under way before the test begins anyway [s]. Ours."""

ANSWER_S: Final = 120.0
"""How long the agent may take for the result, and again to delete the test [s]. Ours: as long as it
waits for the last slice of a series that no profile covers."""

SHOWN_S: Final = 3.0
"""How long the alert is shown [s]. Ours: long enough to read that it is a test."""

LOOK_S: Final = 0.1
"""Between two looks at the store [s]. Ours."""

COMPARED: Final = 20
"""Latency is compared with the median of up to this many former tests of the same engine. Ours."""

FEWEST_COMPARED: Final = 5
"""Fewest former tests for that comparison. Ours."""

AMONG: Final = 100
"""How many former tests are searched for them. Ours."""

SLOW_TIMES: Final = 3.0
"""An alert is slow if it took more than this many times the median. Ours."""

NEVER_SLOW_S: Final = 2.0
"""An alert within this time is never slow [s]. Ours: nobody would notice."""

Play: TypeAlias = Callable[[Path], KnownBleed]
"""Writes one study with one bleed below a folder, at a scanner's pace."""

_T = TypeVar("_T")


class SelftestFailed(AgentError):
    """A self-test did not get as far as a result, or did not end."""

    kind: ClassVar[str] = "selftest_failed"


def generator() -> Play:
    """Return the function that writes the study.

    Raises
    ------
    ConfigError
        If none is installed.
    """
    for entry in entry_points(group=GENERATORS):
        try:
            play: Play = entry.load()
        except (ImportError, AttributeError) as error:
            raise ConfigError("selftest_study_unloadable", why=str(error)) from error
        return play
    raise ConfigError("selftest_study_missing")


def run_selftest(config: Config, store: ConsoleStore, play: Play) -> Selftest:
    """Run a self-test and store its outcome.

    Raises
    ------
    SelftestFailed
        If another self-test is running: nothing is stored.
    StoreUnwritable
        If the outcome cannot be stored.
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
    """Return why a result has no finding."""
    if report.code:
        return Reason("selftest_not_analysed", why=recalled(report.model_dump()))
    return Reason("selftest_nothing_found", score=report.score or 0.0)


def _in_one(failures: Sequence[Reason]) -> Reason | None:
    """Return several failures as one reason; None for none."""
    if len(failures) > 1:
        return Reason("selftest_failures", failures=tuple(failures))
    return failures[0] if failures else None


def _misread(largest: FindingReport, bleed: KnownBleed) -> Reason | None:
    """Return how the largest finding differs from the bleed; None if it does not."""
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
    """Return that an alert took far longer than those before by the same engine; None if not.

    Tests that failed for being slow count too: a permanent change is reported only at first.
    """
    took_s = [test.latency_s for test in alike if test.latency_s is not None][:COMPARED]
    if len(took_s) < FEWEST_COMPARED:
        return None
    median_s = statistics.median(took_s)
    if latency_s <= max(SLOW_TIMES * median_s, NEVER_SLOW_S):
        return None
    return Reason("selftest_slow", took_s=latency_s, median_s=median_s)


def _wait_for_rest(queries: Queries) -> None:
    """Wait until no patient's series is under way, at most ``REST_S``."""
    end_s = time.monotonic() + REST_S
    while time.monotonic() < end_s:
        status = queries.agent_status()
        if status is None or status.receiving + status.queued == 0:
            return
        time.sleep(LOOK_S)


def _wait_until_well(config: Config, queries: Queries) -> None:
    """Wait until agent and page run, as after a start of the computer."""
    end_s = time.monotonic() + START_S
    while problem := _problem(config, queries):
        if time.monotonic() > end_s:
            raise SelftestFailed(problem)
        time.sleep(LOOK_S)


def _problem(config: Config, queries: Queries) -> Reason | None:
    """Return why nobody would be alerted now; None if somebody would."""
    silent = open_log(LogStream(), json=False)
    box = Box(
        config, system_clock(), boot_id(), "", ACCOUNT, lambda gpu: tensorrt_api.load(silent, gpu)
    )
    page = console(box)
    page_down = page.mark is Mark.WRONG
    return _silence(queries) or (page.reason if page_down else None)


def _silence(queries: Queries) -> Reason | None:
    """Return why the agent analyses nothing now; None if it does."""
    return agent_problem(queries.agent_status(), system_clock(), boot_id(), queries.free_bytes())


def _concluded(queries: Queries, uid: str) -> SeriesRow | None:
    row = queries.series(uid)
    return row if row and row.report and row.report.state == row.state.value else None


def _shown(queries: Queries, uid: str) -> bool:
    """Leave the alert for a while; return whether a page showed it, if one is open."""
    time.sleep(SHOWN_S)
    row = queries.series(uid)
    return row is not None and row.shown_at is not None


def _until(queries: Queries, happened: Callable[[], _T | None], otherwise: Reason) -> _T:
    end_s = time.monotonic() + ANSWER_S
    while time.monotonic() < end_s:
        result = happened()
        if result is not None:
            return result
        time.sleep(LOOK_S)
    raise SelftestFailed(_silence(queries) or otherwise)


def _clear(folder: Path) -> None:
    """Remove what this or an earlier test has written."""
    for study in folder.iterdir():
        shutil.rmtree(study)


@contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    """Hold the folder's lock: two tests would delete each other's files."""
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
