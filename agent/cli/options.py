"""Options that several commands share, and how their values are parsed."""

from __future__ import annotations

import os
import pwd
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Annotated, Final

import typer

from agent.errors import ConfigError
from agent.wiring import system_clock

UNITS: Final = {"min": "minutes", "h": "hours", "d": "days"}

ConfigPath = Annotated[Path, typer.Option("--config", "-c", help="The agent's TOML file.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Study = Annotated[
    str, typer.Argument(help="UID of a study or of one series, or enough of either end.")
]


def moment(text: str) -> datetime:
    """Parse a moment: how long ago (90min, 2h, 7d), or a local date with or without a time."""
    ago = re.fullmatch(r"(\d+)(min|h|d)", text)
    try:
        if ago:
            return system_clock().utc - timedelta(**{UNITS[ago[2]]: int(ago[1])})
        return datetime.fromisoformat(text).astimezone(timezone.utc)
    except (ValueError, OverflowError) as error:
        raise typer.BadParameter(f"{text}: such as 90min, 2h, 7d or 2026-11-23") from error


def account() -> str:
    """Return the account that runs the command, by its number where it has no name, and sudo's."""
    number = os.geteuid()
    try:
        name = pwd.getpwuid(number).pw_name
    except KeyError:  # in a container, which any number may run
        name = f"uid {number}"
    sudo = os.environ.get("SUDO_USER")
    return f"{name} (sudo by {sudo})" if sudo else name


@contextmanager
def needing_dicom() -> Iterator[None]:
    """Import what the ``dicom`` extra brings; ConfigError names the package that is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise ConfigError("dicom_package_missing", package=error.name or "") from error
