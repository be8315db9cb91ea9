"""agent.series.analyst: whatever one series provokes is its own answer, and disturbs no other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from agent.infer.backend import Floats, VolumeOutput
from agent.records import State
from tests.agent.box import Box
from tests.heads import SEEING_BUNDLE, SeeingBackend
from tests.phantoms import INTERCEPT, phantom_hu, uid, write_series

N = 32


class PowerCut(BaseException):
    """Ends the process: nothing catches it."""


FRAME_PX = 6


def is_poison(images: Floats) -> bool:
    """Whether any of these (n, channel, …) is of the series that ``write_poison`` wrote."""
    bright = (images[:, -1] > 0.99).reshape(len(images), -1)
    return bool(bright.mean(axis=1).max() > 0.2)


def write_poison(folder: Path, seed: int = 7) -> list[Path]:
    """A head within a bright frame."""
    return write_series(folder, N, seed=seed, PixelData=lambda k: framed(k, seed).tobytes())


def framed(k: int, seed: int) -> np.ndarray:
    hu = phantom_hu(k, N, seed=seed).astype(int)
    inner = np.zeros(hu.shape, bool)
    inner[FRAME_PX:-FRAME_PX, FRAME_PX:-FRAME_PX] = True
    return np.where(inner, hu - INTERCEPT, 3000).astype("<u2")


class PoisonedSlices(SeeingBackend):
    """Fails on a poisonous series, with a bug's error."""

    error: BaseException = ZeroDivisionError("a bug")

    def see(self, slabs: Floats) -> Floats:
        if is_poison(slabs):
            raise self.error
        return super().see(slabs)


class Unroundable(float):
    """A score that no report can hold."""

    def __round__(self, digits: object = None) -> float:
        raise ZeroDivisionError("a bug")


class PoisonedScore(SeeingBackend):
    """Gives a poisonous series a score at which its report fails."""

    def run_volume(self, block: Floats) -> VolumeOutput:
        seen = super().run_volume(block)
        return replace(seen, score=Unroundable(0.9)) if is_poison(block) else seen


def a_box(tmp_path: Path, backend: SeeingBackend) -> Box:
    return Box(tmp_path / "store.sqlite", SEEING_BUNDLE, backend)


def assert_only_poison_failed(box: Box) -> None:
    states = {row.uid: row.state for row in box.store.queries.worklist(10)}
    report = box.store.queries.history(uid("series", 7))[-1]
    assert states == {uid("series", 7): State.NOT_ANALYSED, uid("series", 0): State.SUSPECTED}
    assert (report.code, report.text) == (
        "internal",
        "a fault in Bleedwatch; its log has the details",
    )
    assert report.what_to_do


@pytest.mark.parametrize("backend", [PoisonedSlices, PoisonedScore], ids=["slice-stage", "report"])
def test_a_bug_ends_its_series_by_name_and_no_other(
    tmp_path: Path, backend: type[SeeingBackend]
) -> None:
    box = a_box(tmp_path, backend(SEEING_BUNDLE, score=0.9))
    poison, good = write_poison(tmp_path / "bad"), write_series(tmp_path / "good", N)

    box.export(path for pair in zip(poison, good, strict=True) for path in pair)
    box.wait()

    assert_only_poison_failed(box)


def test_a_key_slice_that_cannot_be_drawn_takes_no_suspicion_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No head that passes for one is known of which drawing fails: a fault of ours is played."""

    def undrawable() -> bytes:
        raise ZeroDivisionError

    monkeypatch.setattr("agent.series.analyst.pictures_of", lambda _: {"axial": undrawable})
    box = a_box(tmp_path, SeeingBackend(SEEING_BUNDLE, score=0.9))

    box.export(write_series(tmp_path / "bad", N, seed=7))
    box.wait()
    monkeypatch.undo()
    box.export(write_series(tmp_path / "good", N))
    box.wait()

    states = {row.uid: row.state for row in box.store.queries.worklist(10)}
    assert states == {uid("series", 7): State.SUSPECTED, uid("series", 0): State.SUSPECTED}
    assert box.store.queries.picture(uid("series", 7), 1, "axial") is None
    assert box.store.queries.picture(uid("series", 0), 1, "axial")


def export_and_wait(box: Box, paths: list[Path]) -> None:
    box.export(paths)
    box.wait()


def test_a_series_that_took_the_agent_down_twice_while_streaming_is_set_aside(
    tmp_path: Path,
) -> None:
    backend = PoisonedSlices(SEEING_BUNDLE, score=0.9)
    backend.error = PowerCut()
    box = a_box(tmp_path, backend)
    poison, good = write_poison(tmp_path / "bad"), write_series(tmp_path / "good", N)
    both = [path for pair in zip(poison, good, strict=True) for path in pair]

    for _ in range(2):
        with pytest.raises(PowerCut):
            export_and_wait(box, both)
        box.start()
    export_and_wait(box, both)

    by_uid = {report.series_uid: report for report in box.reports()}
    assert by_uid[uid("series", 7)].code == "set_aside"
    assert "ended the agent 2 times" in (by_uid[uid("series", 7)].text or "")
    assert by_uid[uid("series", 0)].state == "suspected"
