"""The only place that constructs: configuration in; store, journeys and watcher out."""

from __future__ import annotations

import logging
import os
import sys
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import TextIO, cast

import structlog
from structlog.typing import FilteringBoundLogger
from threadpoolctl import threadpool_limits

from agent.assemble.protocol import load_profiles
from agent.config import Config
from agent.infer.bundle import load_bundle
from agent.infer.onnx_backend import OnnxBackend
from agent.infer.signature import load_public_key
from agent.intake import Intake
from agent.journeys import Journeys
from agent.pipeline import Engine
from agent.records import Instant
from agent.store import Store
from agent.watch import Watcher

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def system_clock() -> Instant:
    """Now, on both clocks."""
    return Instant(datetime.now(timezone.utc), time.monotonic())


def boot_id() -> str:
    """Name the computer's current boot: monotonic times of another one mean nothing."""
    return BOOT_ID.read_text().strip()


class LogStream:
    """stderr, but for one thing: a log that cannot be written ends nothing else.

    ``problem`` is why the last line could not be written, None when all is well.
    """

    def __init__(self, descriptor: int = 2) -> None:
        """Write to an open file; by itself, to stderr."""
        self._descriptor = descriptor
        self._line = ""
        self.problem: str | None = None

    def write(self, text: str) -> None:
        """Take text in; it is written when it is flushed."""
        self._line += text

    def flush(self) -> None:
        """Write what was taken in. What cannot be written is lost, and said to be."""
        line, self._line = self._line.encode(errors="backslashreplace"), ""
        try:
            cut_off = os.write(self._descriptor, line) < len(line)
            self.problem = "the log cannot be written: cut off" if cut_off else None
        except OSError as error:
            self.problem = f"the log cannot be written: {error.strerror}"


def open_log(stream: LogStream, *, json: bool, level: int = logging.INFO) -> FilteringBoundLogger:
    """Open the log: JSON lines for a journal, aligned text for a person."""
    renderer = (
        structlog.processors.JSONRenderer()
        if json
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    log: FilteringBoundLogger = structlog.wrap_logger(
        structlog.PrintLogger(cast("TextIO", stream)),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
    )
    return log


def open_store(config: Config) -> Store:
    """Open the store, making its folder where that is not there yet."""
    config.state_folder.mkdir(parents=True, exist_ok=True)
    return Store(config.store_path, system_clock)


def build_journeys(config: Config, store: Store, log: FilteringBoundLogger) -> Journeys:
    """Load bundle and profiles, start the backend, and join them to the store.

    Raises
    ------
    BundleError
        If the bundle is not what its manifest says, or lacks a profile's operating point.
    SignatureError
        If the configuration names a key, and the bundle is not signed with it.
    ConfigError
        If a profile or the key cannot be read.
    """
    # numpy's matrices here are small: a second pool of threads beside ONNX Runtime's only makes
    # both wait for cores (measured on a busy machine: 9 s instead of 0.7 s for the volume stage).
    threadpool_limits(limits=1, user_api="blas")
    key = load_public_key(config.infer.public_key) if config.infer.public_key else None
    bundle = load_bundle(config.bundle_folder, key)
    profiles = load_profiles(config.protocols_folder)
    for profile in profiles:
        bundle.operating_point(profile.operating_point)
    backend = OnnxBackend(bundle, threads=config.infer.threads)
    engine = Engine(bundle, backend, profiles)
    return Journeys(engine, store, Intake(store, config.read.limits, log), system_clock, log)


def build_watcher(config: Config, store: Store) -> Watcher:
    """Watch the export folder for what the store has not settled yet."""
    return Watcher(
        config.export_folder,
        rescan_s=config.watch.rescan_s,
        polling=config.watch.polling,
        monotonic=time.monotonic,
        known=store.settled_files(),
    )
