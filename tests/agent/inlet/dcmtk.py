"""DCMTK's programs, and an inlet for them to call."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import structlog
from structlog.testing import LogCapture

from agent.console.audit import AuditLog
from agent.inlet.drawings import take_drawing
from agent.inlet.limits import InletLimits
from agent.inlet.server import Told, serving
from agent.inlet.settings import InletSettings, sender_of
from agent.reasons import Reason
from agent.store.console_store import ConsoleStore
from agent.store.database import Database
from agent.store.step_store import StepStore
from agent.wiring import system_clock
from tests.agent.doctor.scratch import free_port

OF_THE_SYSTEM = os.pathsep.join(
    folder for folder in os.environ["PATH"].split(os.pathsep) if not folder.startswith(sys.prefix)
)
"""pynetdicom brings programs of the same names."""

LIMITS = InletLimits(4, 2**20, 4 * 2**20, kept_days=7, kept_bytes=2**30, free_bytes=0)


def dcmtk(program: str, *words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run one of DCMTK's programs to its end."""
    path = shutil.which(program, path=OF_THE_SYSTEM)
    assert path, f"{program} is missing: apt-get install dcmtk"
    command = [path, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@dataclass(frozen=True)
class Inlet:
    """An inlet that runs in this process, and what it has told."""

    settings: InletSettings
    told: LogCapture
    noticed: list[Reason]
    audit_path: Path
    store_path: Path

    @property
    def port(self) -> str:
        return str(self.settings.port)

    def calls(self, called: str = "BLEEDWATCH", calling: str = "CT1") -> list[str]:
        """Say whom DCMTK's programs call, and as whom; address and port follow."""
        return ["-aet", calling, "-aec", called, "127.0.0.1", self.port]

    def events(self) -> list[str]:
        return [entry["event"] for entry in self.told.entries]

    def files(self) -> dict[str, bytes]:
        """Return the received files by name."""
        return {path.name: path.read_bytes() for path in self.settings.folder.glob("*/*.dcm")}


def _draw(store: ConsoleStore, file: bytes, sender: str) -> Reason | None:
    return take_drawing(file, sender, store)


@contextmanager
def inlet_in(
    folder: Path, *senders: str, store_path: Path | None = None, **changes: object
) -> Iterator[Inlet]:
    """Serve an inlet whose received images lie in ``folder``."""
    senders = senders or ("CT1@127.0.0.1",)
    settings = InletSettings(
        folder=folder / "received",
        senders=tuple(map(sender_of, senders)),
        ae_title="BLEEDWATCH",
        host="127.0.0.1",
        port=free_port(),
        metrics_port=free_port(),
        limits=LIMITS,
    )
    settings = replace(settings, **changes)  # type: ignore[arg-type]
    told = LogCapture()
    log = structlog.wrap_logger(None, processors=[told], wrapper_class=structlog.BoundLogger)
    noticed: list[Reason] = []
    audit = AuditLog(folder / "audit.log", system_clock, lambda *_: None)
    store_path = store_path or folder / "store.sqlite"
    with Database(store_path) as database:
        record = StepStore(database, system_clock).record
        draw = partial(_draw, ConsoleStore(database, system_clock))
        hears = Told(noticed.append, audit.received, record, draw)
        with serving(settings, system_clock, hears, log):
            yield Inlet(settings, told, noticed, folder / "audit.log", store_path)
