"""The unit files: accepted by systemd without a word, and open to as little as can be."""

from __future__ import annotations

import shutil
import subprocess
from configparser import RawConfigParser
from pathlib import Path

import pytest

from agent.cli import EXIT_CONFIG
from agent.service import PACKAGED_FILES, TARGETS, UNITS, carry_out, install_steps, target_in

ANALYZE = shutil.which("systemd-analyze")

needs_systemd = pytest.mark.skipif(
    ANALYZE is None, reason="systemd-analyze is missing: apt-get install systemd"
)


@pytest.fixture
def units(tmp_path: Path) -> dict[str, Path]:
    """Install the units, as if they started a program that every machine has."""
    carry_out(install_steps(tmp_path, Path("/usr/bin/true")))
    places = (target_in(tmp_path, target) for target in TARGETS.values())
    return {path.name: path for path in places if path.parent.name == "system"}


def analyze(*words: str | Path) -> subprocess.CompletedProcess[str]:
    command = ["systemd-analyze", "--no-pager", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@needs_systemd
def test_systemd_has_nothing_to_say_against_the_units(units: dict[str, Path]) -> None:
    checked = analyze("verify", "--man=no", *units.values())

    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


@needs_systemd
def test_a_directive_that_systemd_does_not_know_would_be_seen(units: dict[str, Path]) -> None:
    agent = units["bleedwatch-agent.service"]
    agent.write_text(agent.read_text().replace("ProtectClock=", "ProtectClocks="))

    assert "ProtectClocks" in analyze("verify", "--man=no", agent).stderr


@needs_systemd
@pytest.mark.parametrize(
    ("unit", "most"),
    [("agent", 1.5), ("console", 1.2), ("deliver", 1.2), ("inlet", 1.2), ("selftest", 1.2)],
)
def test_a_services_exposure_stays_low(units: dict[str, Path], unit: str, most: float) -> None:
    path = units[f"bleedwatch-{unit}.service"]

    checked = analyze("security", "--offline=yes", f"--threshold={most * 10:.0f}", path)

    assert checked.returncode == 0, checked.stdout


def test_devices_are_made_before_the_agent_is_let_near_them() -> None:
    agent, gpu = RawConfigParser(strict=False), RawConfigParser(strict=False)
    agent.read(PACKAGED_FILES / "bleedwatch-agent.service")
    gpu.read(PACKAGED_FILES / "bleedwatch-gpu.service")

    assert agent["Unit"]["Wants"] == "bleedwatch-gpu.service"
    assert gpu["Unit"]["Before"] == "bleedwatch-agent.service"
    assert gpu["Unit"]["ConditionPathExists"] == "/usr/bin/nvidia-modprobe"


@pytest.mark.parametrize("device", ["char-nvidia*", "char-nvhost*", "/dev/nvmap", "/dev/dxg"])
def test_the_agent_may_open_the_devices_of_cards_jetsons_and_windows_linux(device: str) -> None:
    unit = (PACKAGED_FILES / "bleedwatch-agent.service").read_text().splitlines()

    assert f"DeviceAllow={device} rw" in unit


def test_what_cuda_compiles_is_kept_where_the_agent_may_write() -> None:
    unit = RawConfigParser(strict=False)
    unit.read(PACKAGED_FILES / "bleedwatch-agent.service")

    variables = dict(one.split("=") for one in unit["Service"]["Environment"].split())
    assert variables["CUDA_MODULE_LOADING"] == "LAZY"
    assert variables["CUDA_CACHE_PATH"].startswith(f"%S/{unit['Service']['StateDirectory']}/")


def test_the_agent_is_restarted_unless_its_configuration_cannot_be_used() -> None:
    unit = RawConfigParser(strict=False)
    unit.read(PACKAGED_FILES / "bleedwatch-agent.service")

    service = unit["Service"]
    assert (service["Type"], service["Restart"]) == ("notify", "always")
    assert service["RestartPreventExitStatus"] == str(EXIT_CONFIG)
    assert unit["Unit"]["OnFailure"] == "bleedwatch-agent.timer"


@pytest.mark.parametrize("name", ["console", "inlet"])
def test_neither_page_nor_inlet_waits_for_the_agent(name: str) -> None:
    unit = RawConfigParser(strict=False)
    unit.read(PACKAGED_FILES / f"bleedwatch-{name}.service")

    assert "bleedwatch-agent" not in str(dict(unit["Unit"]))


@needs_systemd
def test_systemd_has_nothing_to_say_against_the_inlets_drop_in(tmp_path: Path) -> None:
    carry_out(install_steps(tmp_path, Path("/usr/bin/true")))
    config = tmp_path / "etc/bleedwatch/agent.toml"
    config.write_text(
        'export_folder = "/srv/ct 100%"\n[inlet]\nsenders = ["A@10.0.0.1", "B@fd00::/64"]\n'
    )
    carry_out(install_steps(tmp_path, Path("/usr/bin/true")))

    unit = tmp_path / "etc/systemd/system/bleedwatch-inlet.service"
    checked = analyze("verify", "--man=no", unit)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")
    drop_in = unit.with_name("bleedwatch-inlet.service.d") / "senders.conf"
    drop_in.write_text(drop_in.read_text().replace("10.0.0.1/32", "10.0.0.1/99"))
    assert "10.0.0.1/99" in analyze("verify", "--man=no", unit).stderr


def test_the_self_test_starts_neither_service_and_runs_every_day() -> None:
    unit, timer = RawConfigParser(strict=False), RawConfigParser(strict=False)
    unit.read(PACKAGED_FILES / "bleedwatch-selftest.service")
    timer.read(PACKAGED_FILES / "bleedwatch-selftest.timer")

    assert set(unit["Unit"]) == {"description", "after"}
    assert timer["Timer"]["OnCalendar"].startswith("*-*-* ")
    assert timer["Timer"]["Persistent"] == "yes"
    assert "bleedwatch-selftest.timer" in UNITS
