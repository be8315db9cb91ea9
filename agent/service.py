"""Bleedwatch as a service: the files that systemd needs, installed and removed."""

from __future__ import annotations

import ipaddress
import re
import shlex
import sys
import sysconfig
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

from agent.config import DEFAULT_PATH, Config, load_config
from agent.errors import ConfigError
from agent.inlet.settings import InletSettings

PACKAGED_FILES: Final = Path(__file__).resolve().parent.parent / "systemd"
"""Units and configuration as they are installed."""

PACKAGED_PROGRAM: Final = "/opt/bleedwatch/bin/bleedwatch"
"""The program in the packaged units; replaced by the path of the installed one."""

UNITS: Final = (
    "bleedwatch-agent.service",
    "bleedwatch-console.service",
    "bleedwatch-selftest.timer",
)
"""The units to enable. The agent's unit starts bleedwatch-agent.timer itself, by OnFailure=."""

INLET_UNIT: Final = "bleedwatch-inlet.service"
"""Enabled besides where the configuration names senders."""

SENDERS: Final = f"/etc/systemd/system/{INLET_UNIT}.d/senders.conf"
"""Drop-in that opens the inlet's unit as far as the configuration says, and no further."""

DELIVER_UNIT: Final = "bleedwatch-deliver.service"
"""Enabled besides where the configuration names archives."""

ARCHIVES: Final = f"/etc/systemd/system/{DELIVER_UNIT}.d/archives.conf"
"""Drop-in that opens the delivery's unit to the archives that are named, and no further."""

AGENT_UNIT: Final = "bleedwatch-agent.service"

SERVER: Final = f"/etc/systemd/system/{AGENT_UNIT}.d/server.conf"
"""Drop-in that opens the agent's unit, which has no network, to the server that is named."""

ACCOUNT: Final = "bleedwatch"
"""The account that the services run as."""

TARGETS: Final = {
    "bleedwatch-agent.service": "/etc/systemd/system/bleedwatch-agent.service",
    "bleedwatch-agent.timer": "/etc/systemd/system/bleedwatch-agent.timer",
    "bleedwatch-gpu.service": "/etc/systemd/system/bleedwatch-gpu.service",
    "bleedwatch-console.service": "/etc/systemd/system/bleedwatch-console.service",
    INLET_UNIT: f"/etc/systemd/system/{INLET_UNIT}",
    DELIVER_UNIT: f"/etc/systemd/system/{DELIVER_UNIT}",
    "bleedwatch-selftest.service": "/etc/systemd/system/bleedwatch-selftest.service",
    "bleedwatch-selftest.timer": "/etc/systemd/system/bleedwatch-selftest.timer",
    "sysusers.d/bleedwatch.conf": "/etc/sysusers.d/bleedwatch.conf",
    "tmpfiles.d/bleedwatch.conf": "/etc/tmpfiles.d/bleedwatch.conf",
    "logrotate.d/bleedwatch": "/etc/logrotate.d/bleedwatch",
    "agent.toml": str(DEFAULT_PATH),
}
"""Packaged file → where it goes."""

DEBIAN_UNIT: Final = "/lib/systemd/system/bleedwatch-agent.service"
"""There where the Debian package is installed (.packaging/debian)."""

HIDDEN: Final = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")  # noqa: S108 - none is used
"""Folders that ProtectHome= and PrivateTmp= hide from the services."""


class Action(Enum):
    """What is done to a file."""

    WRITE = "write"
    REPLACE = "replace"
    KEEP = "keep"
    REMOVE = "remove"


@dataclass(frozen=True, slots=True)
class Step:
    """One file and what is done to it; ``content`` is its new content, None where it has none."""

    action: Action
    path: Path
    why: str
    content: str | None = None


def install_steps(root: Path, program: Path, *, server: bool = False) -> tuple[Step, ...]:
    """Return the steps that install the services in ``root``; nothing is written yet.

    ``program`` is the path of ``bleedwatch`` that the services will start. An existing
    configuration is kept; every other file is replaced where it differs. ``server`` opens the
    agent's unit to the configured server; once opened, it stays so until none is configured.

    Raises
    ------
    ConfigError
        If services cannot start the program, a symbolic link is in a unit's place, the services are
        the Debian package's, or the configuration that is there cannot be used.
    """
    _check_not_packaged(root)
    _check_program(program)
    packaged = (
        _install_step(target_in(root, target), _content(name, program))
        for name, target in TARGETS.items()
    )
    opened = (
        _drop_in_step(target_in(root, target), content)
        for target, content in _drop_ins(root, server=server).items()
    )
    return *packaged, *(step for step in opened if step)


def uninstall_steps(root: Path) -> tuple[Step, ...]:
    """Return the steps that remove the services; store, account and plans stay.

    Raises
    ------
    ConfigError
        If a unit is still enabled, or the services are the Debian package's.
    """
    _check_not_packaged(root)
    enabled = sorted((root / "etc/systemd/system").glob("*.wants/bleedwatch-*"))
    now = "--now " if root == Path("/") else ""
    if enabled:
        raise ConfigError(
            "units_enabled_still",
            units=", ".join(path.name for path in enabled),
            command=f"{_systemctl(root)} disable {now}{' '.join(path.name for path in enabled)}",
        )
    steps = [_uninstall_step(name, target_in(root, target)) for name, target in TARGETS.items()]
    steps += [_uninstall_step(one, target_in(root, one)) for one in (SENDERS, ARCHIVES, SERVER)]
    return tuple(step for step in steps if step)


def carry_out(steps: Iterable[Step]) -> None:
    """Carry the steps out; each file is replaced atomically.

    Raises
    ------
    ConfigError
        If a file cannot be written. Earlier steps are done; repeating them all does no harm.
    """
    for step in steps:
        try:
            if step.action is Action.REMOVE:
                step.path.unlink()
            elif step.content is not None:
                _write(step.path, step.content)
        except OSError as error:
            raise ConfigError(
                "service_file_unwritable", path=str(step.path), why=str(error.strerror)
            ) from error


def commands_after_install(root: Path) -> tuple[str, ...]:
    """Return the commands to run next, in this order."""
    into = f" --root={root}" if root != Path("/") else ""
    made: tuple[str, ...] = (
        f"systemd-sysusers{into} bleedwatch.conf",
        f"systemd-tmpfiles{into} --create bleedwatch.conf",
    )
    config = _configured(root)
    inlet, archives = _inlet(config), _archives(config)
    units = " ".join(
        (*UNITS, *((INLET_UNIT,) if inlet else ()), *((DELIVER_UNIT,) if archives else ()))
    )
    if inlet:
        owner = f"-o {ACCOUNT} -g {ACCOUNT}"
        made = *made, f"install -d {owner} {shlex.quote(str(target_in(root, str(inlet.folder))))}"
    enabled = f"{_systemctl(root)} enable {units}"
    if into:
        return *made, enabled
    started = f"systemctl restart {units}"
    tested = "systemctl start bleedwatch-selftest"
    return *made, "systemctl daemon-reload", enabled, started, tested, "bleedwatch doctor"


def this_program() -> Path:
    """Return where the running ``bleedwatch`` is installed.

    Raises
    ------
    ConfigError
        If its Python lies in a folder that is hidden from services.
    """
    python = Path(sys.executable).resolve()
    if _is_hidden(python):
        raise ConfigError("python_hidden", path=str(python))
    return Path(sysconfig.get_path("scripts")) / "bleedwatch"


def target_in(root: Path, target: str) -> Path:
    """Return where a file lies below ``root``."""
    return root / target.lstrip("/")


def _configured(root: Path) -> Config | None:
    """Return the configuration that is there; None where there is none yet."""
    path = target_in(root, str(DEFAULT_PATH))
    return load_config(path) if path.exists() else None


def _inlet(config: Config | None) -> InletSettings | None:
    """Return the inlet as it is configured; None where it is off."""
    inlet = config.inlet_settings if config else None
    return inlet if inlet and inlet.senders else None


def _archives(config: Config | None) -> tuple[str, ...]:
    """Return the hosts that results are sent to, the worklist's, and where is fetched from."""
    hosts = {channel.address for channel in config.deliver.channels} if config else set()
    if config and config.worklist:
        hosts.add(config.worklist.host)
    if config and config.prior:
        hosts.add(config.prior.archive.address)
    return tuple(sorted(hosts))


def _drop_ins(root: Path, *, server: bool) -> dict[str, str | None]:
    """Return each drop-in's content; None where the configuration turns its service off."""
    config = _configured(root)
    inlet, archives = _inlet(config), _archives(config)
    named = config.infer.server_settings if config else None
    if server and named is None:
        raise ConfigError("server_not_configured", path=str(target_in(root, str(DEFAULT_PATH))))
    opened = named is not None and (server or target_in(root, SERVER).exists())
    return {
        SERVER: _opened_to_server(named.host) if named and opened else None,
        SENDERS: _opened_to(inlet) if inlet else None,
        ARCHIVES: _opened_to_archives(archives) if archives else None,
    }


def _drop_in_step(path: Path, content: str | None) -> Step | None:
    if content is not None:
        return _install_step(path, content)
    return Step(Action.REMOVE, path, "the configuration turns it off") if path.exists() else None


def _opened_to_server(host: str) -> str:
    """Write the drop-in that gives the agent's unit a network, for one address."""
    return (
        "# Written by `bleedwatch service install --server` from infer.server.\n"
        "[Service]\nPrivateNetwork=no\nRestrictAddressFamilies=AF_INET AF_INET6\n"
        f"{_allowed(AGENT_UNIT, host)}"
    )


def _allowed(unit: str, host: str) -> str:
    """Write the line that lets a unit reach a host; a name has to be looked up."""
    if _is_address(host):
        return f"IPAddressAllow={host}\n"
    return f"# {host} is a name: `systemctl edit {unit}`, IPAddressAllow= its address\n"


def _opened_to_archives(hosts: Iterable[str]) -> str:
    """Write the drop-in that opens the delivery's unit to archives."""
    lines = (_allowed(DELIVER_UNIT, host) for host in hosts)
    return (
        "# Written by `bleedwatch service install` from [deliver] in the configuration.\n"
        f"[Service]\n{''.join(lines)}"
    )


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _opened_to(inlet: InletSettings) -> str:
    """Write the drop-in that opens the inlet's unit to its folder and its senders."""
    folder = str(inlet.folder).replace("\\", r"\\").replace('"', r"\"").replace("%", "%%")
    networks = sorted({str(sender.network) for sender in inlet.senders})
    allowed = "".join(f"IPAddressAllow={network}\n" for network in networks)
    return (
        "# Written by `bleedwatch service install` from [inlet] in the configuration.\n"
        f'[Service]\nReadWritePaths="{folder}"\n{allowed}'
    )


def _check_not_packaged(root: Path) -> None:
    """Leave alone what dpkg has installed: its files would be hidden, or taken from under it."""
    unit = target_in(root, DEBIAN_UNIT)
    if unit.exists():
        raise ConfigError("units_of_debian", path=str(unit))


def _check_program(program: Path) -> None:
    if not re.fullmatch(r"/[\w./+-]+", str(program)):
        raise ConfigError("program_path_unfit", path=str(program))
    if _is_hidden(program):
        raise ConfigError("program_hidden", path=str(program))


def _is_hidden(path: Path) -> bool:
    return any(path.is_relative_to(folder) for folder in HIDDEN)


def _content(name: str, program: Path) -> str:
    text = (PACKAGED_FILES / name).read_text(encoding="utf-8")
    return text.replace(PACKAGED_PROGRAM, str(program))


def _install_step(path: Path, content: str) -> Step:
    if path.is_symlink():
        raise ConfigError("unit_is_link", path=str(path), to=str(path.readlink()), unit=path.name)
    if not path.exists():
        return Step(Action.WRITE, path, "new", content)
    if path.read_text(encoding="utf-8") == content:
        return Step(Action.KEEP, path, "as it should be")
    if path.name == DEFAULT_PATH.name:
        return Step(Action.KEEP, path, "this box's own configuration")
    return Step(Action.REPLACE, path, "differs from this version's", content)


def _uninstall_step(name: str, path: Path) -> Step | None:
    if not path.exists():
        return None
    if path.name == DEFAULT_PATH.name:
        packaged = (PACKAGED_FILES / name).read_text(encoding="utf-8")
        if path.read_text(encoding="utf-8") != packaged:
            return Step(Action.KEEP, path, "this box's own configuration")
    return Step(Action.REMOVE, path, "was installed")


def _write(path: Path, content: str) -> None:
    """Write a file that every account may read, whatever the umask."""
    for folder in reversed(path.parents):
        if not folder.exists():
            folder.mkdir()
            folder.chmod(0o755)
    beside = path.with_name(f".{path.name}.new")
    beside.write_text(content, encoding="utf-8")
    beside.chmod(0o644)
    beside.replace(path)


def _systemctl(root: Path) -> str:
    return "systemctl" if root == Path("/") else f"systemctl --root={root}"
