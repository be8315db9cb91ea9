"""bleedwatch bench fleet: a day of many boxes against one server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from agent.config import PACKAGED_ENGINES, InferConfig
from agent.errors import ConfigError
from agent.infer.bundle import load_bundle
from agent.infer.server_settings import ServerSettings
from build_engine.bench.cli import app
from build_engine.bench.fleet import arrivals, limits_of, played_day
from tests.agent.doctor.scratch import free_port
from tests.schema import check_printed
from tests.served import Served
from tests.tiny import BUNDLE, write_engines


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    engines = write_engines(tmp_path_factory.mktemp("engines") / "engines")
    served = Served(load_bundle(engines / BUNDLE), free_port())
    served.start()
    yield served
    served.stop()


def config_of(server: Served, folder: Path) -> Path:
    path = folder / "agent.toml"
    engines = server.bundle.folder.parent.parent
    path.write_text(
        f'export_folder = "/srv"\nengines_folder = "{engines}"\n[infer]\nbundle = "{BUNDLE}"\n'
    )
    return path


@pytest.mark.slow
def test_a_day_is_played_and_every_head_is_answered(server, tmp_path):
    words = ["fleet", "--config", str(config_of(server, tmp_path)), "--agents", "3"]
    words += ["--server", f"grpc://127.0.0.1:{server.port}", "--heads", "2", "--minutes", "0.01"]

    told = CliRunner().invoke(app, [*words, "--json"])
    read = CliRunner().invoke(app, words)

    assert told.exit_code == 0, told.output
    check_printed(["bench", *words], told.stdout)
    day = json.loads(told.stdout)
    assert (day["agents"], day["heads"], day["share_local"]) == (3, 6, 0)
    assert 0 < day["p50_ms"] <= day["p99_ms"]
    assert day["batches"] == {"4": 6 * (32 // 4 + 1)}, "the double counts the volumes too"
    assert "by arithmetic, not measured: one L4" in read.stdout


def test_what_a_server_misses_is_counted_as_answered_locally(server):
    server.fault = "fails"

    there = ServerSettings(f"127.0.0.1:{server.port}", False, None, None, None, 1.0)
    day = played_day(server.bundle, there, (2, 2, 0.2))

    server.fault = "none"
    assert (day.share_local, day.p50_ms) == (1, None)


def test_a_box_has_its_day_by_its_number_and_nights_are_quiet():
    comes = arrivals(7, 1000)

    assert comes == arrivals(7, 1000) != arrivals(8, 1000)
    assert comes == sorted(comes)
    by_night = sum(at < 6 / 24 for at in comes)
    assert by_night < sum(8 / 24 <= at < 14 / 24 for at in comes) / 3


@pytest.mark.slow
def test_arithmetic_is_held_by_what_takes_longest():
    l4, h100, link = limits_of(load_bundle(PACKAGED_ENGINES / InferConfig().bundle))

    assert (l4.held_by, h100.held_by) == ("memory", "memory")
    assert h100.heads_per_s / l4.heads_per_s == pytest.approx(3350 / 300)
    assert link.heads_per_s == pytest.approx(1.25e9 / (4 * 32 * 6 * 256**2))


def test_without_an_address_it_says_what_is_missing(server, tmp_path):
    result = CliRunner().invoke(app, ["fleet", "--config", str(config_of(server, tmp_path))])

    assert isinstance(result.exception, ConfigError)
    assert "no address such as" in str(result.exception)
