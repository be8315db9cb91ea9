"""agent.service: what is written, what is left alone, and that calling it again is no harm."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.errors import ConfigError
from agent.service import (
    ARCHIVES,
    SENDERS,
    SERVER,
    TARGETS,
    Action,
    Step,
    carry_out,
    commands_after_install,
    install_steps,
    target_in,
    uninstall_steps,
)

PROGRAM = Path("/srv/bleedwatch/bin/bleedwatch")
CONFIG = "etc/bleedwatch/agent.toml"
AGENT = "etc/systemd/system/bleedwatch-agent.service"


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    carry_out(install_steps(tmp_path, PROGRAM))
    return tmp_path


def actions(steps: tuple[Step, ...]) -> dict[str, Action]:
    return {step.path.name: step.action for step in steps}


def contents(root: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_every_file_is_said_before_it_is_written_and_nothing_else_is(tmp_path: Path) -> None:
    steps = install_steps(tmp_path, PROGRAM)
    assert contents(tmp_path) == {}

    carry_out(steps)

    assert set(contents(tmp_path)) == {step.path for step in steps}
    assert set(contents(tmp_path)) == {target_in(tmp_path, to) for to in TARGETS.values()}


def test_the_units_start_the_program_where_it_is(installed: Path) -> None:
    for name, word in (
        ("agent", "run"),
        ("console", "console"),
        ("inlet", "inlet"),
        ("deliver", "deliver run"),
        ("selftest", "selftest"),
    ):
        unit = (installed / f"etc/systemd/system/bleedwatch-{name}.service").read_text()
        assert f"ExecStart={PROGRAM} {word} --config /etc/bleedwatch/agent.toml\n" in unit


def test_installing_again_changes_nothing(installed: Path) -> None:
    before = contents(installed)

    again = install_steps(installed, PROGRAM)
    carry_out(again)

    assert set(actions(again).values()) == {Action.KEEP}
    assert contents(installed) == before


def test_a_changed_configuration_is_never_touched(installed: Path) -> None:
    (installed / CONFIG).write_text('export_folder = "/mnt/ct"\n')

    carry_out(install_steps(installed, PROGRAM))
    carry_out(uninstall_steps(installed))

    assert contents(installed) == {installed / CONFIG: b'export_folder = "/mnt/ct"\n'}


def test_the_inlets_unit_is_opened_to_the_senders_that_are_named_and_to_nobody_else(
    installed: Path,
) -> None:
    dropped_in = target_in(installed, SENDERS)
    assert not dropped_in.exists()
    assert "bleedwatch-inlet" not in str(commands_after_install(installed))
    unit = (installed / "etc/systemd/system/bleedwatch-inlet.service").read_text()
    assert "IPAddressDeny=any\nIPAddressAllow=localhost\n" in unit

    (installed / CONFIG).write_text(
        'export_folder = "/srv/ct"\n'
        '[inlet]\nsenders = ["CT1@10.20.30.40", "CT2@10.20.30.40", "CT3@10.20.31.0/24"]\n'
    )
    carry_out(install_steps(installed, PROGRAM))

    lines = dropped_in.read_text().splitlines()
    assert lines[1:] == [
        "[Service]",
        'ReadWritePaths="/srv/ct/received"',
        "IPAddressAllow=10.20.30.40/32",
        "IPAddressAllow=10.20.31.0/24",
    ]
    after = commands_after_install(installed)
    assert any(line.endswith("bleedwatch-inlet.service") for line in after)
    assert f"install -d -o bleedwatch -g bleedwatch {installed}/srv/ct/received" in after


def test_an_inlet_that_is_turned_off_is_closed_again(installed: Path) -> None:
    config = installed / CONFIG
    config.write_text('export_folder = "/srv/ct"\n[inlet]\nsenders = ["CT1@10.20.30.40"]\n')
    carry_out(install_steps(installed, PROGRAM))

    config.write_text('export_folder = "/srv/ct"\n')
    carry_out(install_steps(installed, PROGRAM))

    assert not target_in(installed, SENDERS).exists()


SERVED = """export_folder = "/srv/ct"
[infer]
server = "grpcs://{host}:8001"
server_ca = "/etc/bleedwatch/ca.pem"
server_certificate = "/etc/bleedwatch/box.pem"
server_key = "/etc/bleedwatch/box.key"
"""


def test_the_agent_is_opened_to_its_server_when_asked_and_closed_with_it(installed: Path) -> None:
    dropped_in, config = target_in(installed, SERVER), installed / CONFIG
    with pytest.raises(ConfigError, match="no server to open"):
        install_steps(installed, PROGRAM, server=True)

    config.write_text(SERVED.format(host="10.20.0.7"))
    carry_out(install_steps(installed, PROGRAM))
    assert not dropped_in.exists(), "it was not asked for"
    carry_out(install_steps(installed, PROGRAM, server=True))

    assert dropped_in.read_text().splitlines()[1:] == [
        "[Service]",
        "PrivateNetwork=no",
        "RestrictAddressFamilies=AF_INET AF_INET6",
        "IPAddressAllow=10.20.0.7",
    ]

    config.write_text(SERVED.format(host="[fd00::7]"))
    carry_out(install_steps(installed, PROGRAM))
    assert "IPAddressAllow=fd00::7" in dropped_in.read_text(), "it follows the configuration"

    config.write_text('export_folder = "/srv/ct"\n')
    carry_out(install_steps(installed, PROGRAM))
    assert not dropped_in.exists()


def test_the_delivery_is_opened_to_the_archives_that_are_named_and_closed_with_them(
    installed: Path,
) -> None:
    dropped_in, config = target_in(installed, ARCHIVES), installed / CONFIG
    assert not dropped_in.exists()
    assert "bleedwatch-deliver" not in str(commands_after_install(installed))

    config.write_text(
        'export_folder = "/srv/ct"\n'
        '[[deliver.dicom]]\nname = "pacs"\nhost = "10.20.0.5"\nae_title = "PACS"\n'
        '[[deliver.dicomweb]]\nname = "web"\nurl = "https://pacs.example/dicom-web"\n'
        '[[deliver.hl7]]\nname = "ris"\nhost = "10.20.0.9"\n'
        '[[deliver.ups]]\nname = "ups"\nhost = "10.20.0.7"\nae_title = "RIS"\n'
        '[worklist]\nhost = "10.20.0.8"\nae_title = "RIS"\n'
        '[prior.dicomweb]\nurl = "http://10.20.0.6/dicom-web"\n'
    )
    carry_out(install_steps(installed, PROGRAM))

    lines = dropped_in.read_text().splitlines()
    allowed = [f"IPAddressAllow=10.20.0.{n}" for n in (5, 6, 7, 8, 9)]
    assert lines[1:7] == ["[Service]", *allowed]
    assert lines[7].startswith("# pacs.example is a name")
    after = commands_after_install(installed)
    assert any(line.endswith("bleedwatch-deliver.service") for line in after)

    config.write_text('export_folder = "/srv/ct"\n')
    carry_out(install_steps(installed, PROGRAM))
    assert not dropped_in.exists()


def test_a_changed_unit_is_replaced_and_said_to_be(installed: Path) -> None:
    before = contents(installed)
    (installed / AGENT).write_text("[Service]\n")

    steps = install_steps(installed, PROGRAM)
    carry_out(steps)

    assert [name for name, action in actions(steps).items() if action is Action.REPLACE] == [
        "bleedwatch-agent.service"
    ]
    assert contents(installed) == before


def test_uninstalling_leaves_no_file_and_may_be_done_again(installed: Path) -> None:
    carry_out(uninstall_steps(installed))

    assert contents(installed) == {}
    assert uninstall_steps(installed) == ()


def test_what_is_enabled_still_is_not_removed(installed: Path) -> None:
    wants = installed / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir()
    (wants / "bleedwatch-agent.service").symlink_to("/etc/systemd/system/bleedwatch-agent.service")

    with pytest.raises(ConfigError, match=r"bleedwatch-agent\.service: enabled still") as refused:
        uninstall_steps(installed)

    assert "disable bleedwatch-agent.service" in refused.value.what_to_do
    assert (installed / AGENT).exists()


def test_a_masked_unit_stays_masked(installed: Path) -> None:
    (installed / AGENT).unlink()
    (installed / AGENT).symlink_to("/dev/null")

    with pytest.raises(ConfigError, match="is a link to /dev/null") as refused:
        install_steps(installed, PROGRAM)

    assert "unmask bleedwatch-agent.service" in refused.value.what_to_do


@pytest.mark.parametrize(
    "program",
    ["/home/ct/venv/bin/bleedwatch", "/root/bin/bleedwatch", "/tmp/b", "bleedwatch", "/opt/a b/c"],
)
def test_a_program_that_services_cannot_start_is_refused(tmp_path: Path, program: str) -> None:
    with pytest.raises(ConfigError) as refused:
        install_steps(tmp_path, Path(program))

    assert "/opt/bleedwatch" in refused.value.what_to_do


def test_files_are_open_to_every_account_whatever_the_umask(tmp_path: Path) -> None:
    former = os.umask(0o077)
    try:
        carry_out(install_steps(tmp_path / "image", PROGRAM))
    finally:
        os.umask(former)

    for path in (tmp_path / "image").rglob("*"):
        assert path.stat().st_mode & 0o777 == (0o755 if path.is_dir() else 0o644)


def test_a_root_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "etc").write_text("a file where a folder should be")

    with pytest.raises(ConfigError, match="etc"):
        carry_out(install_steps(tmp_path, PROGRAM))


@pytest.mark.parametrize("steps", [lambda root: install_steps(root, PROGRAM), uninstall_steps])
def test_what_the_debian_package_installed_is_left_to_it(
    tmp_path: Path, steps: Callable[[Path], tuple[Step, ...]]
) -> None:
    unit = tmp_path / "lib/systemd/system/bleedwatch-agent.service"
    unit.parent.mkdir(parents=True)
    unit.touch()

    with pytest.raises(ConfigError, match="Debian package") as refused:
        steps(tmp_path)

    assert refused.value.reason.code == "units_of_debian"
