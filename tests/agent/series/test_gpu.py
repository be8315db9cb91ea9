"""Series on a box with a card: a plan in use, a card that fails, a plan activated meanwhile."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from agent.infer.gpu_side import GpuSide
from agent.infer.networks import RETRY_S
from agent.infer.onnx_backend import OnnxBackend
from agent.reasons import english
from agent.report import SeriesReport
from tests.agent.box import Box
from tests.nvidia.box import GpuBox
from tests.phantoms import write_series

pytestmark = pytest.mark.slow

N = 32


@dataclass
class CardBox(Box):
    """A box whose agent may use its card."""

    card_box: GpuBox | None = None

    def gpu(self) -> GpuSide:
        assert self.card_box
        return self.card_box.gpu_side()


@pytest.fixture
def card_box(tmp_path) -> GpuBox:
    return GpuBox(tmp_path / "engines")


@pytest.fixture
def files(tmp_path) -> list[Path]:
    return write_series(tmp_path / "in", N)


@pytest.fixture
def box(card_box, tmp_path) -> CardBox:
    reference = OnnxBackend(card_box.bundle, threads=1)
    return CardBox(tmp_path / "store", card_box.bundle, reference, card_box=card_box)


@pytest.fixture
def on_cpu(card_box, tmp_path, files) -> SeriesReport:
    """What the CPU alone says of the files."""
    box = Box(tmp_path / "other", card_box.bundle, OnnxBackend(card_box.bundle, threads=1))
    box.export(files)
    box.wait()
    return box.report()


def assert_alike(report: SeriesReport, expected: SeriesReport) -> None:
    assert expected.state == "suspected"
    assert (report.state, report.score) == (expected.state, expected.score)
    assert report.findings == expected.findings


def test_a_series_on_the_card_gives_what_the_cpu_gives_and_names_the_plan(box, files, on_cpu):
    plan = box.card_box.build()
    box.card_box.activate(any=plan)

    box.export(files)
    box.wait()

    assert plan in box.report().engine.backend
    assert_alike(box.report(), on_cpu)


@pytest.mark.parametrize("launch", [1, 3, 8, 11])
def test_a_card_that_fails_at_any_moment_costs_no_series_its_answer(box, files, on_cpu, launch):
    box.card_box.activate(any=box.card_box.build())
    box.wait()
    box.card_box.card.breaks_at_launch = box.card_box.card.launches + launch

    box.export(files)
    box.wait(5)

    assert box.report().engine == on_cpu.engine, "the whole series was run on the CPU"
    assert_alike(box.report(), on_cpu)
    assert "degraded to CPU" in english(box.agent.resources.networks.degraded)

    box.wait(RETRY_S + 1)

    assert box.agent.resources.networks.degraded is None


def test_a_plan_activated_while_a_series_comes_is_taken_up_after_it(box, files):
    first = box.card_box.build()
    box.card_box.activate(any=first)
    box.wait()
    box.export(files[:20])
    second = box.card_box.build(protocol="ge-head")
    box.card_box.activate(any=second)

    box.export(files[20:])
    box.wait()

    assert first in box.report().engine.backend
    assert second in box.agent.resources.networks.run_by.backend


def test_the_cards_memory_is_told_while_it_is_used(box):
    networks = box.agent.resources.networks
    box.wait()
    assert networks.gpu_bytes is None

    box.card_box.activate(any=box.card_box.build())
    box.wait()

    used_bytes, total_bytes = networks.gpu_bytes
    assert 0 < used_bytes < total_bytes == box.card_box.card.memory_bytes

    box.card_box.card.broken = "an illegal memory access was encountered"
    box.wait(2)
    assert networks.gpu_bytes is None
    assert "degraded to CPU" in english(networks.degraded)
