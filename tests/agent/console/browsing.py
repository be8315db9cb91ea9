"""The console's process and a real browser, in a test's hands."""

from __future__ import annotations

import shutil
import socket
from dataclasses import dataclass
from io import BytesIO
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Literal

import pytest
from PIL import Image

from agent.records import Instant
from agent.report import SeriesReport
from agent.wiring import system_clock
from tests.agent.reports import add_result, live, receive, report
from tests.agent.stored import Store
from tests.program import Order, until

CHROMIUM = shutil.which("chromium")

HEADLESS = shutil.which("chromium-headless-shell") or CHROMIUM
"""The same pages for half of the processor time: Chromium itself lays out windows nobody sees."""

QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)

THEMES: tuple[Literal["dark", "light"], ...] = ("dark", "light")

VIEWS = {"axial": 90, "coronal": 120, "sagittal": 150}
"""Grey of each picture of a suspicion."""

IN_A_BROWSER = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]


@dataclass
class Console:
    """The console's process, and the store it reads."""

    folder: Path
    port: int
    store: Store
    process: BaseProcess | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def start(self) -> None:
        config = self.folder / "agent.toml"
        config.write_text(
            f'export_folder = "{self.folder}"\nstate_folder = "{self.folder}"\n'
            f"[console]\nport = {self.port}\n[alert]\nrepeat_s = [1.0]\n"
        )
        log = self.folder / "log"
        self.process = Order(("console", "--config", str(config)), log, log).begin()
        until(self.answers)

    def answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self) -> None:
        assert self.process
        self.process.kill()
        self.process.join()

    def empty(self) -> None:
        """Forget everything, as if nothing had run yet."""
        answers = "outbox acknowledgements taken_back verdicts pictures volumes slices results"
        read = "extents readings signed_reports"
        others = "transitions notices files agent selftests totals requests series"
        for table in f"{read} {answers} {others}".split():
            self.store.sql(f"DELETE FROM {table}")


def suspect(
    console: Console, uid: str = "1.2.3.4", name: str = "DOE^JANE", **changes: object
) -> None:
    conclude(console, report(uid, **changes), name)


def conclude(
    console: Console,
    suspicion: SeriesReport,
    name: str = "DOE^JANE",
    pictures: dict[str, bytes] | None = None,
) -> None:
    """Conclude a suspicion; its pictures, if none are given, are a grey each."""
    drawn = pictures or {view: png(grey) for view, grey in VIEWS.items()}
    receive(console.store, system_clock, suspicion.series_uid, name)
    add_result(console.store, suspicion, drawn)
    alive(console)


def alive(console: Console) -> None:
    """Let the agent live for as long as a test does, however slow."""
    now = system_clock()
    live(console.store, lambda: Instant(now.utc, now.monotonic_s + 600.0))


def png(grey: int) -> bytes:
    picture = BytesIO()
    Image.new("L", (64, 64), grey).save(picture, "PNG")
    return picture.getvalue()
