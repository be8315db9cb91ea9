"""agent.selftest: a generated bleed goes the whole way, and nobody takes it for a patient's."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from agent.cli import build_app
from agent.config import Config, ConsoleConfig, load_config
from agent.errors import ConfigError
from agent.reasons import Reason, english
from agent.records import TEST_MARK, Instant, KnownBleed, Side, Subtype
from agent.report import EngineReport, SeriesReport
from agent.selftest import SelftestFailed, compared, run_selftest
from agent.store.rows import Selftest, SeriesRow
from agent.wiring import system_clock
from agent.wiring.agent import build_own_watcher
from build_engine.play.local_agent import LocalAgent, local_agent
from tests.agent.box import MIDNIGHT, Box
from tests.agent.doctor.scratch import page_that_says
from tests.agent.reports import (
    ENGINE,
    add_result,
    finding,
    live,
    not_analysed,
    not_suspected,
    receive,
    report,
)
from tests.agent.stored import Store
from tests.heads import SEEING_BUNDLE, SeeingBackend
from tests.phantoms import uid, write_series
from tests.program import until
from tests.schema import check_printed

UID = f"{TEST_MARK}1.2.3.4"
BLEED = KnownBleed("1.2.3.4", Subtype.SUBDURAL, Side.LEFT, 30.0, last_on_disk_monotonic_s=100.0)
GPU = ENGINE.model_copy(update={"backend": "TensorRT 11.0.0", "device": "NVIDIA L4"})


def answered(store: Store, concluded_s: float, answer: SeriesReport) -> SeriesRow:
    receive(store, system_clock, UID)
    add_result(store, answer, {"axial": b"\x89PNG"})
    row = store.queries.series(UID)
    assert row is not None
    return replace(row, concluded_at=Instant(MIDNIGHT, concluded_s))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    (tmp_path / "state").mkdir()
    with Store(tmp_path / "state/bleedwatch.sqlite", system_clock) as opened:
        yield opened


def test_it_passes_where_the_bleed_was_found_for_what_it_is(store: Store) -> None:
    test = compared(answered(store, 101.5, report(UID)), BLEED, [], pictured=True)

    assert test == Selftest(Instant(MIDNIGHT, 101.5), None, ENGINE, 1.5, 31.4, 30.0)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (not_suspected(UID), "no bleed was found (score 0.02)"),
        (not_analysed(UID), "not analysed: slices missing between 70.0 and 80.0 mm (1)"),
        (
            report(UID, findings=(finding(side="right"),)),
            "taken for subdural, side right: it is subdural, left",
        ),
        (
            report(UID, findings=(finding(subtype="epidural"),)),
            "taken for epidural, side left: it is subdural, left",
        ),
        (
            report(UID, findings=(finding(volume_ml=9.0, volume_interval_ml=(6.0, 12.0)),)),
            "measured as 9.0 mL (6.0 to 12.0): it is 30.0 mL",
        ),
        (
            report(UID, findings=(finding(), finding(side="right", volume_ml=0.4))),
            None,
        ),
    ],
    ids=["missed", "not analysed", "side", "subtype", "volume", "a small one more"],
)
def test_it_fails_where_the_answer_is_not_the_truth(
    store: Store, answer: SeriesReport, why: str | None
) -> None:
    failure = compared(answered(store, 101.5, answer), BLEED, [], pictured=True).failure

    assert (english(failure) if failure else None) == why


def test_an_alert_without_its_picture_fails(store: Store) -> None:
    test = compared(answered(store, 101.5, report(UID)), BLEED, [], pictured=False)

    assert test.failure == Reason("selftest_no_picture")


@pytest.mark.parametrize(
    ("others_s", "engine", "slow"),
    [
        ([1.0] * 5, ENGINE, True),
        ([1.0] * 4, ENGINE, False),
        ([2.0] * 20, ENGINE, False),
        ([1.0] * 20, GPU, False),
        ([4.0] * 20 + [1.0] * 50, ENGINE, False),
    ],
    ids=["thrice", "too few", "usual here", "by another backend", "usual of late"],
)
def test_it_is_slow_by_this_boxs_own_history(
    store: Store, others_s: list[float], engine: EngineReport, slow: bool
) -> None:
    before = [Selftest(Instant(MIDNIGHT, 0.0), None, engine, s, 30.0, 30.0) for s in others_s]

    test = compared(answered(store, 104.0, report(UID)), BLEED, before, pictured=True)

    assert (test.failure is not None) == slow
    assert test.latency_s == 4.0
    if slow:
        assert test.failure == Reason("selftest_slow", took_s=4.0, median_s=1.0)


def test_what_went_wrong_is_journalled_and_the_folder_left_empty(
    tmp_path: Path, store: Store
) -> None:
    live(store, system_clock)

    def half_played(folder: Path) -> KnownBleed:
        (folder / "half").mkdir()
        raise OSError(28, "No space left on device")

    with page_that_says(b"ok\n") as port:
        config = Config(
            export_folder=tmp_path,
            state_folder=tmp_path / "state",
            console=ConsoleConfig(port=port),
        )
        run_selftest(config, store.console, half_played)

    (last,) = store.queries.selftests(9)
    assert last.failure == Reason("selftest_impeded", why="[Errno 28] No space left on device")
    assert list(config.selftest_folder.iterdir()) == []


def test_somebody_at_the_page_may_acknowledge_it_first(tmp_path: Path, store: Store) -> None:
    live(store, system_clock)

    def acknowledge_and_forget() -> None:
        store.console.receipt(UID, 1, "console")
        store.console.acknowledge(UID, 1, "Ann", "")
        store.agent.forget_tests(MIDNIGHT)

    def played(_folder: Path) -> KnownBleed:
        receive(store, system_clock, UID)
        add_result(store, report(UID), {"axial": b"\x89PNG"})
        threading.Timer(1.0, acknowledge_and_forget).start()
        return replace(BLEED, last_on_disk_monotonic_s=system_clock().monotonic_s)

    with page_that_says(b"ok\n") as port:
        config = Config(
            export_folder=tmp_path,
            state_folder=tmp_path / "state",
            console=ConsoleConfig(port=port),
        )
        test = run_selftest(config, store.console, played)

    assert test.failure is None
    assert store.queries.selftests(9) == [test]


def test_one_at_a_time(tmp_path: Path, store: Store) -> None:
    config = Config(export_folder=tmp_path, state_folder=tmp_path / "state")
    live(store, system_clock)

    def another(_folder: Path) -> KnownBleed:
        with pytest.raises(SelftestFailed, match="another self-test is running"):
            run_selftest(config, store.console, another)
        raise SelftestFailed("selftest_no_picture")

    with page_that_says(b"ok\n") as port:
        config = config.model_copy(update={"console": ConsoleConfig(port=port)})
        run_selftest(config, store.console, another)

    assert [test.failure for test in store.queries.selftests(9)] == [Reason("selftest_no_picture")]


@pytest.mark.slow
def test_the_same_images_are_a_test_in_its_folder_and_a_patient_in_the_scanners(
    tmp_path: Path,
) -> None:
    """Whichever comes first: nothing that was tested hides what was scanned."""
    backend = SeeingBackend(SEEING_BUNDLE, score=0.9)
    marks = {tmp_path / "selftest": TEST_MARK}
    box = Box(tmp_path / "s.sqlite", SEEING_BUNDLE, backend, marks=marks)
    real, test = uid("series", 0), TEST_MARK + uid("series", 0)

    box.export(write_series(tmp_path / "selftest", 32))
    box.wait()
    assert [row.uid for row in box.store.queries.worklist(9)] == [test]
    box.store.console.acknowledge(test, 1, "selftest", "")
    box.export(write_series(tmp_path / "export", 32))
    box.wait()
    box.export(write_series(tmp_path / "selftest" / "again", 32))
    box.wait()

    rows = {row.uid: row for row in box.store.queries.worklist(9)}
    assert {name: row.test for name, row in rows.items()} == {real: False, test: True}
    assert rows[real].alert is not None
    assert rows[real].revision == 1
    assert box.store.queries.counts_since(MIDNIGHT).examinations == 1

    box.store.agent.forget_tests(MIDNIGHT)
    assert [row.uid for row in box.store.queries.worklist(9)] == [real]
    assert box.store.queries.files_of(test) == []
    assert len(box.store.queries.files_of(real)) == 32


@pytest.mark.slow
def test_a_refused_image_refuses_no_patients_series(tmp_path: Path) -> None:
    box = Box(
        tmp_path / "s.sqlite",
        SEEING_BUNDLE,
        SeeingBackend(SEEING_BUNDLE, score=0.1),
        marks={tmp_path / "selftest": TEST_MARK},
    )
    box.export(write_series(tmp_path / "export", 32))
    box.export(write_series(tmp_path / "selftest", 1, PixelSpacing=None))
    box.wait()

    states = {row.test: row.state.value for row in box.store.queries.worklist(9)}
    assert states == {False: "not_suspected", True: "not_analysed"}


@pytest.mark.slow
def test_a_patient_waits_for_no_test(tmp_path: Path) -> None:
    backend = SeeingBackend(SEEING_BUNDLE, score=0.9)
    marks = {tmp_path / "selftest": TEST_MARK}
    box = Box(tmp_path / "s.sqlite", SEEING_BUNDLE, backend, marks=marks)
    box.hand_in(write_series(tmp_path / "selftest", 32))
    box.hand_in(write_series(tmp_path / "export", 32))
    box.clock.now_s += 60.0
    box.hand_in([])

    box.agent.analyst.work_once()

    concluded = [row.uid for row in box.store.queries.worklist(9) if row.report]
    assert concluded == [uid("series", 0)]


def test_patients_are_never_exported_into_the_tests_folder(tmp_path: Path, store: Store) -> None:
    state = tmp_path / "state"
    config = Config(export_folder=state / "selftest/in", state_folder=state)

    with pytest.raises(ConfigError, match="which is for what no scanner sends"):
        build_own_watcher(config, config.selftest_folder, store.queries)


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LocalAgent, Config]]:
    folder = tmp_path_factory.mktemp("selftest") / "box"
    with local_agent(folder) as running:
        until((folder / "state/bleedwatch.sqlite").exists)
        yield running, load_config(folder / "agent.toml")


@pytest.mark.slow
def test_on_a_live_agent_it_passes_and_leaves_a_line_in_the_journal_alone(
    agent: tuple[LocalAgent, Config],
) -> None:
    running, config = agent
    with Store(config.store_path, system_clock) as store:
        printed = CliRunner().invoke(
            build_app("selftest"),
            ["selftest", "--json", "--config", str(running.export_folder.parent / "agent.toml")],
        )
        running.check()
        (test,) = store.queries.selftests(9)
        check_printed(["selftest"], printed.stdout)

        assert test.failure is None
        assert test.volume_ml == pytest.approx(31.9, abs=0.5)  # by default 2.0.0
        assert test.truth_ml == pytest.approx(30.0, abs=0.1)
        assert (
            store.queries.worklist(9),
            store.queries.undelivered(),
            store.queries.settled_files(),
        ) == ([], [], {})
    assert list(config.selftest_folder.iterdir()) == []
    assert list(running.export_folder.iterdir()) == []
