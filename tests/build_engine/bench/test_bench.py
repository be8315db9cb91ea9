"""What benchmarks print and plot of what they measured."""

from __future__ import annotations

import sys
from dataclasses import fields, replace
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from agent.errors import ConfigError, InputError
from agent.report import SeriesReport
from build_engine.bench import ingest, latency, soak
from build_engine.bench.cli import app
from build_engine.bench.latency import Latency, LatencyRow
from build_engine.bench.setting import analysed
from build_engine.bench.soak import Outcome
from build_engine.play.console_client import Alert
from build_engine.printing import to_plot

RUN = Latency(
    complete_s=0.3,
    waited_s=0.05,
    evidence_s=0.02,
    slice_network_s=0.2,
    volume_network_s=0.6,
    measuring_s=0.1,
    report_s=0.03,
    delivered_s=0.05,
    total_s=1.35,
)


def row(*runs: Latency) -> LatencyRow:
    stages_ms = {"slice stage": 20.0}
    return LatencyRow("ge-32x5", 32, 5.0, 20.0, 700.0, stages_ms, ("geometry",), ("CPU",), runs)


def alert(**report: object) -> Alert:
    """An alert of a series whose last slice was on disk at 10 s and that was committed at 11 s."""
    told = SeriesReport.model_construct(**report)
    return Alert(told, committed_monotonic_s=11.0, received_monotonic_s=11.05)


TIMINGS_S = {
    "assemble": 0.01, "evidence": 0.02, "slice_stage": 0.1, "volume_stage": 0.4, "measure": 0.02,
    "waited": 0.03, "pictures": 0.02, "completeness": 0.25, "total": 0.9,
}  # fmt: skip


def test_each_step_of_an_alert_is_named_and_together_they_are_all_of_it() -> None:
    """0.7 s between found complete and taken by the networks were in no row."""
    measured = latency._latency(10.0, alert(state="suspected", timings_s=TIMINGS_S))

    steps_s = {step: getattr(measured, step) for step in latency.STEPS}
    assert set(steps_s) == {one.name for one in fields(Latency)} - {"total_s"}
    assert sum(steps_s.values()) == pytest.approx(measured.total_s)
    assert steps_s["complete_s"] == pytest.approx(0.35)  # 0.1 to be seen and to be stored
    assert (steps_s["waited_s"], steps_s["evidence_s"]) == (0.03, 0.03)
    assert steps_s["report_s"] == pytest.approx(0.07)


def test_a_series_that_was_not_analysed_is_no_measurement() -> None:
    """It was printed as if it had been analysed in no time, alone and beside a perfusion."""
    refused = alert(state="not_analysed", text="fewer than 3 slices", timings_s={"total": 0.3})

    with pytest.raises(InputError, match="nothing was measured: fewer than 3 slices"):
        analysed(refused)


@pytest.mark.slow
def test_each_run_is_a_bar_as_high_as_it_took(tmp_path: Path) -> None:
    figure = latency._drawn([row(RUN, replace(RUN, total_s=2.35, complete_s=1.3)), row(RUN)])

    tops = [bar.get_y() + bar.get_height() for bar in figure.axes[0].containers[-1]]
    assert tops == pytest.approx([1.35, 2.35])
    assert len(figure.axes) == 2

    plot = to_plot(tmp_path / "latency.png")
    assert plot is not None
    plot.save(figure)
    with Image.open(tmp_path / "latency.png") as drawn:
        assert drawn.format == "PNG"


def test_a_soaks_studies_are_drawn_when_they_were_sent_and_the_lost_are_marked() -> None:
    figure = soak.drawn(
        [
            Outcome("none", 32, (32,), latency_s=1.0, at_s=60.0),
            Outcome("agent killed", 32, (20,), latency_s=3.0, at_s=120.0),
        ]
    )

    lines = {line.get_label(): line.get_xydata().tolist() for line in figure.axes[0].lines}
    assert lines["none (1)"] == [[1.0, 1.0]]
    assert lines["agent killed (1)"] == lines["lost or doubled (1)"] == [[2.0, 3.0]]


def test_both_readers_runs_are_drawn() -> None:
    figure = ingest._drawn([0.4, 0.5, 0.6], [0.7, 0.8, 0.9])

    labels = [line.get_label() for line in figure.axes[0].lines]
    assert "bleedwatch, median 0.50 s" in labels
    assert "dcm2niix, median 0.80 s" in labels


@pytest.mark.parametrize("command", ["latency", "soak", "ingest"])
def test_without_matplotlib_nothing_is_measured_in_vain(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)

    refused = CliRunner().invoke(app, [command, "--png", str(tmp_path / "x.png")])

    assert isinstance(refused.exception, ConfigError)
    assert "matplotlib" in str(refused.exception)
    assert refused.exception.what_to_do == "pip install matplotlib"


def test_a_folder_that_is_not_there_is_said_before_anything_is_measured(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such folder"):
        to_plot(tmp_path / "none" / "x.png")
