"""agent.series over a real store: whatever comes in whatever order, and whenever it is killed.

Held throughout: no file is lost, no series has two results of the same images, every series ends.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from agent.infer.backend import Floats, VolumeOutput
from agent.preprocess import SliceInput, VolumeInput
from agent.report import SeriesReport
from agent.series.analyst import MOST_ATTEMPTS
from agent.store.agent_store import AgentStore
from agent.store.effects import Effect
from agent.store.rows import SeriesRow
from tests.agent.box import PROFILES, Box
from tests.agent.stored import Store
from tests.heads import SEEING, SEEING_BUNDLE, SeeingBackend
from tests.phantoms import uid, write_series

pytestmark = pytest.mark.slow

N = 6
SEEDS = 0, 1

SMALL = replace(
    SEEING,
    slices=SliceInput(8.0, 32, 2.5, 1, ((0.0, 80.0), (-20.0, 100.0)), 2),
    volume=VolumeInput((8.0, 8.0, 8.0), (24, 32, 32), ((0.0, 80.0),)),
)
SMALL_BUNDLE = replace(SEEING_BUNDLE, contract=SMALL)
SMALL_HEADS = tuple(
    replace(
        profile,
        min_slices=1,
        min_coverage_mm=1.0,
        matrix_px=(16.0, 1024.0),
        thickness_mm=(0.5, 30.0),  # else every series is ruled out by its header
    )
    for profile in PROFILES
    if profile.name == "generic-head"
)


class PowerCut(BaseException):
    """Ends the process: nothing catches it."""


class CutStore(AgentStore):
    """Loses its power before the effect ``cut_before`` of its next commit is written."""

    cut_before: int | None = None

    def commit(self, effects: Iterable[Effect]) -> None:
        super().commit(self._until_the_cut(list(effects)))

    def _until_the_cut(self, effects: list[Effect]) -> Iterator[Effect]:
        for number, effect in enumerate(effects):
            if self.cut_before is not None and number >= self.cut_before:
                raise PowerCut
            yield effect


class InterruptedBackend(SeeingBackend):
    """Has ``meanwhile`` happen once, in the middle of an analysis."""

    def run_volume(self, block: Floats) -> VolumeOutput:
        act, self.meanwhile = self.meanwhile, lambda: None
        act()
        return super().run_volume(block)

    @staticmethod
    def meanwhile() -> None:
        """Nothing happens."""


@dataclass
class CutBox(Box):
    """A box whose power can be cut within a transaction."""

    def open_store(self) -> Store:
        store = Store(self.store_path, self.clock)
        store.agent = CutStore(store.database, self.clock)
        return store


def made_files(folder: Path) -> dict[int, list[Path]]:
    """Of each series: its slices, and one image of another patient."""
    made = {}
    for seed in SEEDS:
        slices = write_series(folder / str(seed), N, spacing=20.0, size=32, seed=seed)
        bad = {"PatientID": "somebody else", "SOPInstanceUID": uid("bad", seed)}
        made[seed] = [*slices, *write_series(folder / f"{seed} bad", 1, size=32, seed=seed, **bad)]
    return made


FILES = st.lists(
    st.tuples(st.sampled_from(SEEDS), st.integers(0, N - 1)), min_size=1, max_size=2 * N
)


class AnyOrder(RuleBasedStateMachine):
    """A scanner, a network, a service engineer and a power cut, in any order."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.made = made_files(self.folder / "made")
        self.export = self.folder / "export"
        self.export.mkdir()
        self.backend = InterruptedBackend(SMALL_BUNDLE, score=0.1)
        self.box = CutBox(
            self.folder / "store.sqlite", SMALL_BUNDLE, self.backend, profiles=SMALL_HEADS
        )
        self.sent: dict[int, set[int]] = {seed: set() for seed in SEEDS}
        self.unread: list[Path] = []
        self.names = count()
        self.series_of: dict[Path, int] = {}
        self.robbed: set[int] = set()
        self.n_killed = 0

    def send(self, files: Iterable[tuple[int, int]]) -> None:
        """Have the scanner write files, which the agent may or may not read before it is killed."""
        for seed, number in files:
            self.unread.append(self.export / f"{next(self.names):04d}")
            self.series_of[self.unread[-1]] = seed
            shutil.copy(self.made[seed][number], self.unread[-1])
            self.sent[seed].add(number)

    def read(self) -> None:
        paths, self.unread = self.unread, []
        assert self.box.hand_in(paths) == []

    def alive(self, act: Callable[[], object]) -> None:
        """Do something; where the power fails in the middle of it, begin anew."""
        try:
            act()
        except PowerCut:
            self.restart()

    def restart(self) -> None:
        self.n_killed += 1
        self.backend.meanwhile = lambda: None
        self.box.start()
        settled = self.box.store.queries.settled_files()
        self.unread = [each for each in sorted(self.export.iterdir()) if str(each) not in settled]

    @rule(files=FILES)
    def slices_arrive(self, files: list[tuple[int, int]]) -> None:
        self.send(files)
        self.alive(self.read)

    @rule(files=FILES)
    def slices_wait_to_be_read(self, files: list[tuple[int, int]]) -> None:
        self.send(files)

    @rule(seed=st.sampled_from(SEEDS))
    def an_image_without_a_place_arrives(self, seed: int) -> None:
        self.send([(seed, N)])
        self.alive(self.read)

    @rule(files=FILES)
    def slices_arrive_during_an_analysis(self, files: list[tuple[int, int]]) -> None:
        def meanwhile() -> None:
            self.send(files)
            self.read()

        self.backend.meanwhile = meanwhile
        self.alive(self.box.agent.analyst.work_once)

    @rule(seconds=st.sampled_from([0.1, 2.0, 10.0]))
    def time_passes(self, seconds: float) -> None:
        self.box.clock.now_s += seconds
        self.alive(self.read)

    @rule()
    def the_networks_work(self) -> None:
        self.alive(self.box.agent.analyst.work_once)

    @rule()
    def the_process_is_killed(self) -> None:
        self.restart()

    @rule(effects=st.integers(0, 4))
    def the_power_will_fail_within_a_transaction(self, effects: int) -> None:
        self.box.store.agent.cut_before = effects

    @rule(seed=st.sampled_from(SEEDS))
    def a_series_is_asked_for_again(self, seed: int) -> None:
        self.box.store.console.request(uid("series", seed))
        self.alive(self.box.agent.intake.open_requested)

    @rule(data=st.data())
    def a_file_that_is_in_a_result_is_taken_from_the_folder(self, data: st.DataObject) -> None:
        settled = sorted(filter(Path.exists, map(Path, self.box.store.queries.settled_files())))
        if settled:
            taken = data.draw(st.sampled_from(settled))
            self.robbed.add(self.series_of.pop(taken))
            taken.unlink()

    @precondition(lambda self: hasattr(self, "box"))
    @invariant()
    def no_series_has_two_results_of_the_same_images(self) -> None:
        for seed in SEEDS:
            names = [one.result_id for one in self.box.store.queries.history(uid("series", seed))]
            assert len(names) == len(set(names))

    @precondition(lambda self: hasattr(self, "box"))
    @invariant()
    def every_file_that_was_read_belongs_to_a_row(self) -> None:
        rows = {row.uid for row in self.box.store.queries.latest(10)}
        files = self.box.store.database.rows("SELECT series_uid FROM files")
        assert {row["series_uid"] for row in files} <= rows

    def quiet(self) -> None:
        """Let the agent do all that there is to do, with nobody disturbing it."""
        self.restart()
        self.read()
        self.box.agent.intake.open_requested()
        self.box.wait()

    def teardown(self) -> None:
        if not hasattr(self, "box"):
            return
        try:
            self.quiet()
            self.everything_has_ended()
            before = self.histories()
            self.send((seed, number) for seed in SEEDS for number in self.sent[seed])
            self.quiet()
            self.everything_has_ended()
            assert self.histories() == before, "copies gave another result"
        finally:
            shutil.rmtree(self.folder)

    def histories(self) -> dict[int, list[SeriesReport]]:
        """Return the results of the series of which no file was taken away."""
        whole = set(SEEDS) - self.robbed
        return {seed: self.box.store.queries.history(uid("series", seed)) for seed in whole}

    def everything_has_ended(self) -> None:
        store = self.box.store.queries
        assert store.unfinished() == store.requested() == []
        assert {str(path) for path in self.export.iterdir()} <= set(store.settled_files())
        for seed in SEEDS:
            row = store.series(uid("series", seed))
            assert (row is not None) == bool(self.sent[seed])
            assert row is None or row.report
            if row and row.report and seed not in self.robbed:
                self.it_holds_all_that_was_sent(seed, row, row.report)

    def it_holds_all_that_was_sent(self, seed: int, row: SeriesRow, report: SeriesReport) -> None:
        is_mixed = N in self.sent[seed] and len(self.sent[seed]) > 1
        if report.code == "set_aside":
            assert self.n_killed >= MOST_ATTEMPTS
        else:
            assert (report.code == "identity_differs") == is_mixed
        if not is_mixed:
            assert row.slices == len(self.sent[seed])
            assert report.geometry is None or report.geometry.slices == row.slices


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(
    max_examples=30, stateful_step_count=25, suppress_health_check=list(HealthCheck)
)
