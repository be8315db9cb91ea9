"""What benchmarks share: their options, a folder that goes again, a study that is no patient's."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated

import typer

from agent.errors import InputError
from build_engine.play.console_client import Alert
from build_engine.synth.dicom import SyntheticStudy

Runs = Annotated[int, typer.Option(help="How often each is measured.", min=1)]
Folder = Annotated[
    Path | None, typer.Option(help="Where the files go: the disk to be measured. Left out, /tmp.")
]


def fresh_study() -> SyntheticStudy:
    """Return a study that was never there before."""
    now = datetime.now(timezone.utc)
    return SyntheticStudy(secrets.randbits(32), "DEMO^BENCH", "DEMO-BENCH", now)


def analysed(alert: Alert) -> Alert:
    """Return an alert whose way may be measured; InputError if its series was not analysed."""
    if alert.report.state == "not_analysed":
        raise InputError("played_not_analysed", why=alert.report.text or "")
    return alert


@contextmanager
def scratch_folder(folder: Path | None) -> Iterator[Path]:
    """Make a folder below ``folder`` that is removed again."""
    with tempfile.TemporaryDirectory(prefix="bleedwatch-bench-", dir=folder) as scratch:
        yield Path(scratch)
