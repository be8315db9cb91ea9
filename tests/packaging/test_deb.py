"""The Debian package: built by Debian's tools, installed by dpkg, and used as a site would."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.service import UNITS
from tests.packaging.machine import Machine, machine, why_none

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SOURCE = Path(__file__).resolve().parents[2]
TOOLS = ("dpkg-buildpackage", "dh", "dpkg")
UNIT_FOLDER = "/lib/systemd/system"


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("hatch_vcs", reason="building needs the dev extra")
    if missing := [tool for tool in TOOLS if shutil.which(tool) is None]:
        pytest.skip(f"{missing[0]} is missing: apt-get install debhelper dpkg-dev python3-venv")
    folder = tmp_path_factory.mktemp("deb")
    built = subprocess.run(
        [SOURCE / ".packaging" / "deb", folder],
        # Quick rather than small, by the build tools that are here: pip reads "no isolation: 0" so.
        env=os.environ | {"DPKG_DEB_COMPRESSOR_LEVEL": "1", "PIP_NO_BUILD_ISOLATION": "0"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert built.returncode == 0, built.stdout + built.stderr
    return next(folder.glob("bleedwatch_*.deb"))


@pytest.fixture(scope="module")
def box(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine on which the package was installed."""
    if why := why_none():
        pytest.skip(why)
    with machine(tmp_path_factory.mktemp("machine")) as one:
        if one is None:
            pytest.skip("no overlay can be mounted here")
        one.done("dpkg", "--install", str(package))
        yield one


def test_the_program_says_the_packages_version(package: Path, box: Machine) -> None:
    version = package.name.split("_")[1].replace("~", ".")

    assert box.done("bleedwatch", "--version") == f"bleedwatch {version}\n"


def test_systemd_has_nothing_to_say_against_the_units(box: Machine) -> None:
    units = box.done("sh", "-c", f"ls {UNIT_FOLDER}/bleedwatch-*").split()
    assert sorted(Path(unit).name for unit in units) == sorted(
        path.name for path in (SOURCE / "systemd").glob("bleedwatch-*")
    )

    checked = box.run("systemd-analyze", "verify", "--man=no", *units)

    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def test_nothing_starts_before_a_person_enables_it(box: Machine) -> None:
    for unit in UNITS:
        assert box.run("systemctl", "is-enabled", unit).stdout.strip() == "disabled"


def test_what_the_package_installed_is_left_to_dpkg(box: Machine) -> None:
    refused = box.run("bleedwatch", "service", "install")

    assert (refused.returncode, "the Debian package's" in refused.stderr) == (78, True)


def test_the_services_have_their_account_and_its_folder(box: Machine) -> None:
    assert box.done("getent", "passwd", "bleedwatch").startswith("bleedwatch:")
    assert box.done("stat", "-c", "%U %a", "/var/lib/bleedwatch") == "bleedwatch 750\n"


def test_the_packaged_configuration_can_be_used(box: Machine) -> None:
    box.done("mkdir", "-p", "/srv/ct-export")

    box.done("bleedwatch", "config", "check", "--config", "/etc/bleedwatch/agent.toml")


def test_the_networks_run_on_debians_python(box: Machine) -> None:
    """A generated head is exported and analysed by the program that was installed."""
    words = "--preset", "ge-32x5", "--bleed", "intraparenchymal", "--volume-ml", "60"
    box.done("bleedwatch", "simulate", "/root/export", *words, "--seed", "1", "--rate", "1000")

    replayed = json.loads(box.done("bleedwatch", "replay", "/root/export", "--json"))

    assert "suspected" in {series["state"] for series in replayed["series"]}


def test_a_changed_configuration_outlives_a_reinstallation(package: Path, box: Machine) -> None:
    box.done("sh", "-c", "echo '# ours' >> /etc/bleedwatch/agent.toml")

    box.done("dpkg", "--install", str(package))

    assert box.done("tail", "-n1", "/etc/bleedwatch/agent.toml") == "# ours\n"
    assert "/etc/bleedwatch/agent.toml" in box.done(
        "dpkg-query", "--show", "--showformat=${Conffiles}", "bleedwatch"
    )


def test_purged_it_leaves_the_results_alone(package: Path, box: Machine) -> None:
    box.done("touch", "/var/lib/bleedwatch/bleedwatch.sqlite")

    box.done("dpkg", "--purge", "bleedwatch")

    assert box.run("ls", "/opt/bleedwatch", "/etc/bleedwatch").stdout == ""
    box.done("test", "-f", "/var/lib/bleedwatch/bleedwatch.sqlite")
