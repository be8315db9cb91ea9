"""bleedwatch engine openvino: the reference's answers, and a report that the agent goes by."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from agent.infer.bundle import load_bundle
from agent.infer.cpu_side import FILE, CpuVerification, objection
from agent.infer.openvino_backend import installed_version
from agent.reasons import english
from build_engine.compile.cli import engine
from tests.schema import check_printed
from tests.tiny import BUNDLE, write_tiny_bundle

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(installed_version() is None, reason="openvino is not installed"),
]


def test_it_reads_heads_as_the_reference_does_and_leaves_its_report(tmp_path: Path):
    bundle = load_bundle(write_tiny_bundle(tmp_path / "engines"))
    config = tmp_path / "agent.toml"
    config.write_text(
        f'export_folder = "{tmp_path}/in"\nengines_folder = "{tmp_path}/engines"\n'
        f'state_folder = "{tmp_path}/state"\n[infer]\nbundle = "{BUNDLE}"\n'
    )
    command = ["openvino", "--config", str(config), "--heads", "1", "--json"]

    result = CliRunner().invoke(engine, command)

    check_printed(["engine", *command], result.stdout)
    report = CpuVerification.model_validate(json.loads(result.stdout))
    plans = tmp_path / "state" / "plans"
    assert CpuVerification.model_validate_json((plans / FILE).read_bytes()) == report
    assert (report.heads, report.faults) == (1, ())
    assert report.largest_probability_difference < 0.01
    assert result.exit_code == (0 if report.faster else 1)
    assert english(objection(plans, bundle)) == "verified on 1 golden heads, 50 are needed"
