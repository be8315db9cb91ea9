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
        return wrong("program_not_installed")
    needed = [one for one in needed if one.marker is None or one.marker.evaluate({"extra": ""})]
    unmet = list(_unmet(needed))
    if unmet:
        return wrong("packages_unmet", unmet="; ".join(unmet))
    python = platform.python_version()
    return well("packages_met", python=python, version=version("bleedwatch"), n_more=len(needed))


def time_source() -> CheckResult:
    """Check that the clock is synchronised, by NTP, PTP or the like."""
    state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(TIMEX_BYTES))
    if state == TIME_ERROR:
        return note("no_time_source")
    return well("clock_kept")


def unit(name: str) -> CheckResult:
    """Check that a unit is installed, enabled and running."""
    properties = _properties(name)
    if properties["LoadState"] == "masked":
        return wrong("unit_masked", unit=name)
    if properties["LoadState"] != "loaded":
        return wrong("unit_not_installed", load_state=properties["LoadState"])
    state = ", ".join(dict.fromkeys((properties["ActiveState"], properties["SubState"])))
    if properties["ActiveState"] != "active":
        return wrong("unit_not_running", unit=name, state=f"{state}{_why(properties)}")
    if properties["UnitFileState"] != "enabled":
        return wrong(
            "unit_not_enabled", unit=name, state=state, unit_file_state=properties["UnitFileState"]
        )
    if properties["NRestarts"] != "0":
        return note("unit_restarted", unit=name, state=state, n_restarts=properties["NRestarts"])
    return well("unit_running", state=state)


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
