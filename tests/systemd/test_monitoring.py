"""Alert rules and dashboard: of metrics that there are, and each rule fires when it should."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from prometheus_client import generate_latest
from starlette.testclient import TestClient

from agent.console.app import create_app
from agent.inlet.counts import Counts
from agent.service import PACKAGED_FILES
from agent.wiring import system_clock
from tests.agent.console.made import context_of
from tests.agent.console.test_metrics import a_day
from tests.agent.stored import Store

RULES = PACKAGED_FILES / "prometheus/bleedwatch.rules.yml"
DASHBOARD = PACKAGED_FILES / "grafana/bleedwatch.json"
PROMTOOL = shutil.which("promtool")

METRIC = re.compile(r"\bbleedwatch_[a-z_]+")

SLOW = 'bleedwatch_stage_seconds_bucket{{stage="total", instance="ct1", le="{}"}}'
RESULT = 'bleedwatch_results_total{{instance="ct1", state="{}", code="{}"}}'

FIRING = {
    "BleedwatchSilent": {"up": "1x30"},
    "BleedwatchAgentDown": {"bleedwatch_agent_up": "0x30"},
    "BleedwatchFolderUnreachable": {
        "bleedwatch_folder_reachable": "0x30",
        "bleedwatch_agent_up": "1x30",
    },
    "BleedwatchAlertUnacknowledged": {
        "bleedwatch_oldest_unacknowledged_alert_age_seconds": "0+60x30"
    },
    "BleedwatchUndelivered": {'bleedwatch_undelivered_results{channel="console"}': "1x30"},
    "BleedwatchDeliveryFailing": {'bleedwatch_failing_deliveries{channel="pacs"}': "1x30"},
    "BleedwatchInletRefuses": {
        'bleedwatch_inlet_objects_total{instance="ct1", outcome="disk_full"}': "0+1x30"
    },
    "BleedwatchDegraded": {"bleedwatch_degraded": "1x30"},
    "BleedwatchSlow": {SLOW.format("5.0"): "0+9x30", SLOW.format("8.0"): "0+10x30",
                       SLOW.format("+Inf"): "0+10x30"},
    "BleedwatchQueue": {"bleedwatch_queued_series": "4x30"},
    "BleedwatchNotAnalysed": {RESULT.format("not_analysed", "gapped"): "0+1x30",
                              RESULT.format("not_suspected", ""): "0+3x30"},
    "BleedwatchDiskLow": {"bleedwatch_store_free_bytes": "9e8x30"},
    "BleedwatchSelftest": {"bleedwatch_selftest_ok": "0x30"},
}  # fmt: skip
"""What a metric is, minute by minute, for a rule to fire within half an hour."""

WELL = {
    "bleedwatch_agent_up": "1x30",
    "bleedwatch_folder_reachable": "1x30",
    "bleedwatch_oldest_unacknowledged_alert_age_seconds": "0+9x30",
    'bleedwatch_undelivered_results{channel="console"}': "0x30",
    'bleedwatch_failing_deliveries{channel="pacs"}': "0x30",
    'bleedwatch_inlet_objects_total{instance="ct1", outcome="stored"}': "0+9x30",
    'bleedwatch_inlet_objects_total{instance="ct1", outcome="object_of_other_kind"}': "0+1x30",
    "bleedwatch_degraded": "0x30",
    SLOW.format("1.5"): "0+10x30",
    SLOW.format("5.0"): "0+10x30",
    SLOW.format("+Inf"): "0+10x30",
    "bleedwatch_queued_series": "1x30",
    RESULT.format("not_suspected", ""): "0+3x30",
    RESULT.format("not_analysed", "not_eligible"): "0+9x30",
    "bleedwatch_store_free_bytes": "9e10x30",
    "bleedwatch_selftest_ok": "1x30",
}

needs_promtool = pytest.mark.skipif(
    PROMTOOL is None, reason="promtool is missing: apt-get install prometheus"
)


def promtool(*words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [str(PROMTOOL), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def alerts() -> list[str]:
    return re.findall(r"alert: (\w+)", RULES.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", [RULES, DASHBOARD], ids=["rules", "dashboard"])
def test_only_metrics_that_there_are_are_asked_for(path: Path, tmp_path: Path) -> None:
    with Store(tmp_path / "store.sqlite", system_clock) as store:
        a_day(store)
        client = TestClient(create_app(context_of(store)), base_url="http://localhost")
        served = {
            word
            for line in client.get("/metrics").text.splitlines()
            if not line.startswith("#")
            for word in METRIC.findall(line)
        }
    counts = Counts()
    counts.object("stored", 1, 0.1)
    served |= set(METRIC.findall(generate_latest(counts.registry).decode()))

    asked = set(METRIC.findall(path.read_text(encoding="utf-8")))

    assert len(asked) > 9
    assert asked - served == set()


def test_the_dashboards_panels_have_room_of_their_own() -> None:
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]

    places = [
        (panel["gridPos"]["x"] + dx, panel["gridPos"]["y"] + dy)
        for panel in panels
        for dx in range(panel["gridPos"]["w"])
        for dy in range(panel["gridPos"]["h"])
    ]
    assert len(places) == len(set(places))
    assert max(x for x, _ in places) == 23


def test_every_rule_is_tried() -> None:
    assert set(alerts()) == set(FIRING)


@needs_promtool
def test_prometheus_accepts_the_rules() -> None:
    checked = promtool("check", "rules", RULES)

    assert checked.returncode == 0, checked.stderr


@needs_promtool
def test_prometheus_can_read_every_panels_question(tmp_path: Path) -> None:
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    asked = [target["expr"] for panel in panels for target in panel["targets"]]
    rules = [{"record": f"asked:{n}", "expr": expr} for n, expr in enumerate(asked)]
    path = tmp_path / "panels.yml"
    path.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))

    checked = promtool("check", "rules", path)

    assert checked.returncode == 0, checked.stderr
    assert f"{len(asked)} rules found" in checked.stdout


@needs_promtool
@pytest.mark.parametrize("alert", FIRING)
def test_a_rule_fires_when_it_should(alert: str, tmp_path: Path) -> None:
    asked = fired(tmp_path, alert, FIRING[alert])

    assert f'Labels:{{alertname="{alert}"' in asked, asked


@pytest.mark.slow
@needs_promtool
def test_no_rule_fires_on_a_box_that_is_well(tmp_path: Path) -> None:
    for alert in alerts():
        assert "SUCCESS" in fired(tmp_path, alert, WELL)


def fired(folder: Path, alert: str, series: dict[str, str]) -> str:
    """Ask promtool whether no alert fires after half an hour; it says what does."""
    values = [
        {"series": name.replace("{", '{instance="ct1",') if "{" in name and "ct1" not in name
         else name if "{" in name else name + '{instance="ct1"}', "values": course}
        for name, course in series.items()
    ]  # fmt: skip
    test = {
        "rule_files": [str(RULES)],
        "tests": [
            {
                "interval": "1m",
                "input_series": values,
                "alert_rule_test": [{"eval_time": "30m", "alertname": alert, "exp_alerts": []}],
            }
        ],
    }
    path = folder / "rules_test.yml"
    path.write_text(json.dumps(test))
    asked = promtool("test", "rules", path)
    return asked.stdout + asked.stderr
