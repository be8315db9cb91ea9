"""agent.console.metrics: what a monitoring system reads, and what it must never."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from agent.console.app import create_app
from agent.records import TEST_MARK, Instant
from agent.store.effects import Restore
from agent.store.rows import Keep, Selftest
from agent.wiring import system_clock
from tests.agent.console.made import context_of
from tests.agent.reports import (
    ENGINE,
    add_result,
    live,
    not_analysed,
    not_suspected,
    receive,
    recorded,
    report,
)
from tests.agent.stored import Store

PROMTOOL = shutil.which("promtool")

TIMINGS_S = {"assemble": 0.1, "slice_stage": 0.4, "volume_stage": 0.8, "total": 1.7}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "store.sqlite", system_clock) as opened:
        yield opened


@pytest.fixture
def client(store: Store) -> TestClient:
    return TestClient(create_app(context_of(store)), base_url="http://localhost")


def conclude(store: Store, uid: str, **changes: object) -> None:
    receive(store, system_clock, uid)
    add_result(store, report(uid, **{"timings_s": TIMINGS_S} | changes))


def a_day(store: Store) -> None:
    """Let one of everything happen."""
    live(
        store,
        system_clock,
        degraded="degraded to CPU: …",
        gpu_used_bytes=2**30,
        gpu_total_bytes=2**33,
    )
    conclude(store, "1.2.3.4")
    conclude(store, "1.2.3.5", engine=ENGINE.model_copy(update={"device": "NVIDIA L4"}))
    store.console.acknowledge("1.2.3.5", 1, "Ann", "")
    receive(store, system_clock, "1.2.3.6")
    unseen = not_analysed("1.2.3.6").model_copy(update={"engine": None})
    add_result(store, unseen)
    store.agent.notice("not_whole", recorded("DOE.dcm: half a file"))
    store.console.note_selftest(Selftest(system_clock(), None, ENGINE, 1.4, 33.0, 30.0))


def values(client: TestClient) -> dict[str, float]:
    """Return the metrics as ``name{label=value,…}`` → value."""
    text = client.get("/metrics").text
    return {
        sample.name + "".join(f"{{{k}={v}}}" for k, v in sorted(sample.labels.items())): (
            sample.value
        )
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_what_happened_is_counted_by_outcome_reason_and_stage(
    client: TestClient, store: Store
) -> None:
    a_day(store)

    told = values(client)

    assert told["bleedwatch_results_total{code=}{state=suspected}"] == 2
    assert told["bleedwatch_results_total{code=slices_missing}{state=not_analysed}"] == 1
    assert told["bleedwatch_stage_seconds_bucket{le=1.5}{stage=total}"] == 0
    assert told["bleedwatch_stage_seconds_bucket{le=2.0}{stage=total}"] == 2
    assert told["bleedwatch_stage_seconds_bucket{le=+Inf}{stage=total}"] == 2
    assert told["bleedwatch_stage_seconds_sum{stage=volume_stage}"] == pytest.approx(1.6)
    assert told["bleedwatch_networks_seconds_total{device=gpu}"] == pytest.approx(1.2)
    assert told["bleedwatch_networks_seconds_total{device=cpu}"] == pytest.approx(1.2)
    assert told["bleedwatch_dispositions_total{disposition=acknowledged}"] == 1
    assert told["bleedwatch_notices_total{kind=not_whole}"] == 1


def test_what_is_now_is_told(client: TestClient, store: Store) -> None:
    a_day(store)

    told = values(client)

    assert told["bleedwatch_ready"] == told["bleedwatch_agent_up"] == 1
    assert told["bleedwatch_folder_reachable"] == told["bleedwatch_degraded"] == 1
    assert told["bleedwatch_unacknowledged_alerts"] == 1
    assert told["bleedwatch_undelivered_results{channel=console}"] == 3
    assert told["bleedwatch_gpu_memory_bytes{part=used}"] == 2**30
    assert told["bleedwatch_selftest_ok"] == 1
    assert told["bleedwatch_selftest_volume_error_ratio"] == pytest.approx(0.1)


def test_an_alert_ages_until_it_is_acknowledged(tmp_path: Path) -> None:
    now = system_clock()
    earlier = Instant(now.utc - timedelta(minutes=6), now.monotonic_s - 360.0)
    with Store(tmp_path / "store.sqlite", lambda: earlier) as store:
        conclude(store, "1.2.3.4")
        client = TestClient(
            create_app(context_of(store, clock=lambda: now)), base_url="http://localhost"
        )
        age = "bleedwatch_oldest_unacknowledged_alert_age_seconds"
        assert values(client)[age] == pytest.approx(360.0)

        store.console.acknowledge("1.2.3.4", 1, "Ann", "")

        assert values(client)[age] == 0


def test_a_copy_of_a_result_or_an_acknowledgement_counts_once(
    client: TestClient, store: Store
) -> None:
    conclude(store, "1.2.3.4")
    store.agent.commit([Restore("1.2.3.4", 1)])
    for who in ("Ann", "Bob"):
        store.console.acknowledge("1.2.3.4", 1, who, "")

    told = values(client)
    assert told["bleedwatch_results_total{code=}{state=suspected}"] == 1
    assert told["bleedwatch_dispositions_total{disposition=acknowledged}"] == 1


def test_what_the_store_forgets_stays_counted(client: TestClient, store: Store) -> None:
    receive(store, system_clock, "1.2.3.4")
    add_result(store, not_suspected("1.2.3.4"))
    store.console.receipt("1.2.3.4", 1, "console")

    assert store.agent.prune(Keep(days=400, bytes=0), lambda _: True) == 1

    assert values(client)["bleedwatch_results_total{code=}{state=not_suspected}"] == 1


def test_a_self_test_is_counted_among_no_patients(client: TestClient, store: Store) -> None:
    conclude(store, f"{TEST_MARK}1.9")

    told = values(client)

    assert not [name for name in told if name.startswith("bleedwatch_results")]
    assert "bleedwatch_last_slice_time_seconds" not in told
    assert told["bleedwatch_unacknowledged_alerts"] == 0


def test_no_patient_and_no_uid_is_in_it(client: TestClient, store: Store) -> None:
    a_day(store)

    text = client.get("/metrics").text

    for secret in ("DOE", "JANE", "P1", "19500101", "1.2.3", "Ann", "HEAD", "/srv"):
        assert secret not in text


@pytest.mark.skipif(
    PROMTOOL is None, reason="promtool is not installed: apt-get install prometheus"
)
def test_prometheus_has_nothing_to_say_against_it(client: TestClient, store: Store) -> None:
    a_day(store)

    checked = subprocess.run(
        [str(PROMTOOL), "check", "metrics"],
        input=client.get("/metrics").text,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def test_ready_means_that_a_series_would_be_analysed(client: TestClient, store: Store) -> None:
    def told() -> tuple[int, str]:
        answer = client.get("/readyz")
        return answer.status_code, answer.text

    assert told() == (503, "the agent has never run\n")
    live(store, system_clock, networks_ready=False)
    assert told() == (503, "the networks are being loaded\n")
    live(store, system_clock, folder_problem="/srv: no longer mounted")
    assert told() == (503, "export folder unreachable: /srv: no longer mounted\n")
    live(store, system_clock)
    assert told() == (200, "ok\n")


def test_healthy_means_that_the_page_is_served_whatever_the_agent_does(client: TestClient) -> None:
    answer = client.get("/healthz")

    assert (answer.status_code, answer.text) == (200, "ok\n")
