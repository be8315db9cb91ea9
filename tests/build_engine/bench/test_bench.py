"""What benchmarks print and plot of what they measured."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from agent.errors import ConfigError
from build_engine.bench import ingest, latency, soak
from build_engine.bench.cli import app
from build_engine.bench.latency import Latency, LatencyRow
from build_engine.bench.soak import Outcome
from build_engine.printing import to_plot

RUN = Latency(
    complete_s=0.3,
    analysed_s=1.0,
    evidence_s=0.02,
    slice_network_s=0.2,
    volume_network_s=0.6,
    measuring_s=0.1,
    delivered_s=0.05,
    total_s=1.35,
)


def row(*runs: Latency) -> LatencyRow:
    stages_ms = {"slice stage": 20.0}
    return LatencyRow("ge-32x5", 32, 5.0, 20.0, 700.0, stages_ms, ("geometry",), ("CPU",), runs)


def test_the_parts_of_an_alert_add_up_to_it() -> None:
    assert sum(RUN.parts_s.values()) == pytest.approx(RUN.total_s)


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
