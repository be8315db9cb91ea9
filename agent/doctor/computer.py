"""The computer itself: Python and packages, the time, systemd's view of the services."""

from __future__ import annotations

import ctypes
import platform
import subprocess
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, requires, version
from typing import Final

from packaging.requirements import Requirement

from agent.doctor.verdict import NotChecked, Verdict, note, well, wrong

TIME_ERROR: Final = 5
"""What adjtimex(2) returns while no time source has the clock in hand."""

TIMEX_BYTES: Final = 512
"""More than ``struct timex`` takes on any platform; all zero, it asks and sets nothing."""

ANSWER_S: Final = 10.0
"""How long systemd may take to answer [s]."""

EXIT_CONFIG: Final = "78"

PROPERTIES: Final = (
    "LoadState",
    "ActiveState",
    "SubState",
    "UnitFileState",
    "Result",
    "ExecMainStatus",
    "NRestarts",
)


def packages() -> Verdict:
    """Check that every package that Bleedwatch needs is installed, in a version that will do."""
    try:
        needed = [Requirement(line) for line in requires("bleedwatch") or ()]
    except PackageNotFoundError:
        return wrong("Bleedwatch is not installed as a package", "pip install it again")
    needed = [one for one in needed if one.marker is None or one.marker.evaluate({"extra": ""})]
    unmet = list(_unmet(needed))
    if unmet:
        return wrong("; ".join(unmet), "install Bleedwatch again, in an environment of its own")
    python = platform.python_version()
    return well(
        f"Python {python}, bleedwatch {version('bleedwatch')}, {len(needed)} more as needed"
    )


def time_source() -> Verdict:
    """Check that something keeps the clock right: NTP, PTP or the like."""
    state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(TIMEX_BYTES))
    if state == TIME_ERROR:
        return note(
            "the kernel knows of none: the clock may drift from the scanner's",
            "`timedatectl set-ntp true`, with the hospital's time server",
        )
    return well("the clock is kept right")


def unit(name: str) -> Verdict:
    """Check that systemd knows a service, starts it with the computer and has it running."""
    known = _properties(name)
    if known["LoadState"] == "masked":
        return wrong("masked: it cannot be started", f"`systemctl unmask {name}`")
    if known["LoadState"] != "loaded":
        return wrong(f"not installed ({known['LoadState']})", "`bleedwatch service install`")
    state = ", ".join(dict.fromkeys((known["ActiveState"], known["SubState"])))
    if known["ActiveState"] != "active":
        return wrong(
            f"{state}{_why(known)}", f"`journalctl -u {name} -n 9`, `systemctl start {name}`"
        )
    if known["UnitFileState"] != "enabled":
        told = f"{state}, but will not start with the computer: {known['UnitFileState']}"
        return wrong(told, f"`systemctl enable {name}`")
    if known["NRestarts"] != "0":
        return note(f"{state}; restarts: {known['NRestarts']}", f"`journalctl -u {name}`")
    return well(state)


def _why(known: dict[str, str]) -> str:
    """Say why a unit does not run, where systemd knows more than that."""
    if known["ExecMainStatus"] == EXIT_CONFIG:
        return ": its configuration, store or bundle cannot be used"
    return "" if known["Result"] == "success" else f": {known['Result']}"


def _properties(name: str) -> dict[str, str]:
    command = ["systemctl", "show", name, f"--property={','.join(PROPERTIES)}"]
    try:
        asked = subprocess.run(  # noqa: S603 - fixed words
            command, capture_output=True, text=True, check=True, timeout=ANSWER_S
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise NotChecked("no_systemd") from error
    return dict.fromkeys(PROPERTIES, "") | dict(
        line.split("=", 1) for line in asked.stdout.splitlines() if "=" in line
    )


def _unmet(needed: Iterable[Requirement]) -> Iterable[str]:
    for one in needed:
        try:
            found = version(one.name)
        except PackageNotFoundError:
            yield f"{one.name} is missing"
            continue
        if not one.specifier.contains(found, prereleases=True):
            yield f"{one.name} is {found}, {one.specifier} is needed"
