"""Checks of the computer: Python and packages, the time, the services as systemd sees them."""

from __future__ import annotations

import ctypes
import platform
import subprocess
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, requires, version
from typing import Final

from packaging.requirements import Requirement

from agent.doctor.result import CheckResult, NotChecked, note, well, wrong

TIME_ERROR: Final = 5
"""What adjtimex(2) returns while the clock is not synchronised (TIME_ERROR)."""

TIMEX_BYTES: Final = 512
"""More than ``struct timex`` takes on any platform [bytes]; zeroed, it only reads."""

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


def packages() -> CheckResult:
    """Check that every required package is installed, in a version that is allowed."""
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


def time_source() -> CheckResult:
    """Check that the clock is synchronised, by NTP, PTP or the like."""
    state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(TIMEX_BYTES))
    if state == TIME_ERROR:
        return note(
            "the kernel knows of none: the clock may drift from the scanner's",
            "`timedatectl set-ntp true`, with the hospital's time server",
        )
    return well("the clock is kept right")


def unit(name: str) -> CheckResult:
    """Check that a unit is installed, enabled and running."""
    properties = _properties(name)
    if properties["LoadState"] == "masked":
        return wrong("masked: it cannot be started", f"`systemctl unmask {name}`")
    if properties["LoadState"] != "loaded":
        return wrong(f"not installed ({properties['LoadState']})", "`bleedwatch service install`")
    state = ", ".join(dict.fromkeys((properties["ActiveState"], properties["SubState"])))
    if properties["ActiveState"] != "active":
        return wrong(
            f"{state}{_why(properties)}", f"`journalctl -u {name} -n 9`, `systemctl start {name}`"
        )
    if properties["UnitFileState"] != "enabled":
        found = f"{state}, but will not start with the computer: {properties['UnitFileState']}"
        return wrong(found, f"`systemctl enable {name}`")
    if properties["NRestarts"] != "0":
        return note(f"{state}; restarts: {properties['NRestarts']}", f"`journalctl -u {name}`")
    return well(state)


def _why(properties: dict[str, str]) -> str:
    """Return why a unit does not run, as far as systemd knows; "" if it does not."""
    if properties["ExecMainStatus"] == EXIT_CONFIG:
        return ": its configuration, store or bundle cannot be used"
    return "" if properties["Result"] == "success" else f": {properties['Result']}"


def _properties(name: str) -> dict[str, str]:
    command = ["systemctl", "show", name, f"--property={','.join(PROPERTIES)}"]
    try:
        shown = subprocess.run(  # noqa: S603 - fixed words
            command, capture_output=True, text=True, check=True, timeout=ANSWER_S
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise NotChecked("no_systemd") from error
    return dict.fromkeys(PROPERTIES, "") | dict(
        line.split("=", 1) for line in shown.stdout.splitlines() if "=" in line
    )


def _unmet(needed: Iterable[Requirement]) -> Iterable[str]:
    for one in needed:
        try:
            installed = version(one.name)
        except PackageNotFoundError:
            yield f"{one.name} is missing"
            continue
        if not one.specifier.contains(installed, prereleases=True):
            yield f"{one.name} is {installed}, {one.specifier} is needed"
