"""A series that ended the process: after the restart, those beside it are answered first."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.infer.backend import Floats
from agent.series.analyst import LAST_FOR_S
from tests.agent.box import Box
from tests.heads import SEEING_BUNDLE, SeeingBackend
from tests.phantoms import INTERCEPT, phantom_hu, uid, write_series

N = 24
CRASHING, GOOD = 7, (0, 1)


class PowerCut(BaseException):
    """Ends the process: nothing catches it."""


class CrashesOnMarked(SeeingBackend):
    """Ends the process on the series that ``write_marked`` wrote."""

    def see(self, slabs: Floats) -> Floats:
        if slabs[..., :24, :24].max() > 0.5:
            raise PowerCut
        return super().see(slabs)


def write_marked(folder: Path) -> list[Path]:
    """A head with something dense in the air beside it."""

    def stored(k: int) -> bytes:
        hu = phantom_hu(k, N, seed=CRASHING)
        hu[2:8, 2:8] = 300
        return (hu - INTERCEPT).astype("<u2").tobytes()

    return write_series(folder, N, seed=CRASHING, PixelData=stored)


def crashed_box(tmp_path: Path) -> tuple[Box, list[Path]]:
    """A box that has ended on one of three series that came at once, and was started again."""
    box = Box(tmp_path / "store.sqlite", SEEING_BUNDLE, CrashesOnMarked(SEEING_BUNDLE, score=0.1))
    series = [write_marked(tmp_path / "bad")]
    series += [write_series(tmp_path / str(seed), N, seed=seed) for seed in GOOD]
    paths = [path for slices in zip(*series, strict=True) for path in slices]
    with pytest.raises(PowerCut):
        box.export(paths)
    box.start()
    return box, paths


def answered(box: Box) -> set[str]:
    return {report.series_uid for report in box.reports()}


@pytest.mark.slow
def test_the_neighbours_of_a_series_that_ended_the_process_are_answered_before_it_is_tried(
    tmp_path: Path,
) -> None:
    box, paths = crashed_box(tmp_path)

    box.export(paths)
    with pytest.raises(PowerCut):
        box.wait()

    assert answered(box) == {uid("series", seed) for seed in GOOD}
    box.start()
    box.export(paths)
    box.wait()
    assert {report.series_uid: report.code for report in box.reports()}[
        uid("series", CRASHING)
    ] == "set_aside"


@pytest.mark.slow
def test_it_waits_for_others_no_longer_than_it_may(tmp_path: Path) -> None:
    box, paths = crashed_box(tmp_path)
    box.hand_in(paths)
    box.clock.now_s += 20
    box.hand_in([])

    began_s = box.clock.now_s

    def busy_department() -> None:
        """There is always another patient on the way."""
        for n in range(100):
            box.clock.now_s += LAST_FOR_S / 20
            box.hand_in(write_series(tmp_path / f"more {n}", 1, seed=100 + n))
            box.work()

    with pytest.raises(PowerCut):
        busy_department()
    assert box.clock.now_s - began_s == pytest.approx(LAST_FOR_S, rel=0.1)
