"""``bleedwatch inlet``: receive images by C-STORE into the watched folder."""

from __future__ import annotations

import os
import sys
import threading
from functools import partial

from structlog.typing import FilteringBoundLogger

from agent.cli.options import ConfigPath, needing_dicom
from agent.config import DEFAULT_PATH, Config, load_config
from agent.console.audit import AuditLog
from agent.errors import AgentError
from agent.log import LogStream, open_log, speak_by_log_alone
from agent.notify import Supervisor, stop_on_signals
from agent.reasons import Reason
from agent.records import PerformedStep
from agent.store.console_store import ConsoleStore
from agent.store.step_store import StepStore
from agent.wiring import open_database, system_clock


def inlet(config: ConfigPath = DEFAULT_PATH) -> None:
    """Receive images by C-STORE into the watched folder.

    Who may send is named in [inlet] of the configuration; without a name there it does not start.

    Example: bleedwatch inlet --config /etc/bleedwatch/agent.toml
    """
    with needing_dicom():
        from agent.inlet.server import Told, serving  # noqa: PLC0415 - of the dicom extra
    configured = load_config(config)
    settings = configured.inlet_settings
    stop = threading.Event()
    supervisor = Supervisor(os.environ.get("NOTIFY_SOCKET"))
    log = open_log(LogStream(), json=not sys.stderr.isatty())
    notice = partial(_notice, configured, log)
    audit = AuditLog(configured.audit_path, system_clock, lambda _, reason: notice(reason))
    speak_by_log_alone(log)
    told = Told(notice, audit.received, partial(_record, configured), partial(_draw, configured))
    with stop_on_signals(stop), serving(settings, system_clock, told, log):
        supervisor.ready(f"receiving as {settings.where}")
        log.info("inlet_listening", ae_title=settings.ae_title, port=settings.port)
        stop.wait()
        supervisor.stopping()


def _record(config: Config, step: PerformedStep) -> Reason | None:
    """Store a procedure step; returns why that cannot be."""
    try:
        with open_database(config) as database:
            return StepStore(database, system_clock).record(step)
    except (AgentError, OSError):
        return Reason("step_not_stored")


def _draw(config: Config, file: bytes, sender: str) -> Reason | None:
    """Store what somebody outlined; returns why that cannot be."""
    from agent.inlet.drawings import take_drawing  # noqa: PLC0415 - 60 MB, where it is asked for

    try:
        with open_database(config) as database:
            return take_drawing(file, sender, ConsoleStore(database, system_clock))
    except (AgentError, OSError):
        return Reason("drawing_not_stored")


def _notice(config: Config, log: FilteringBoundLogger, reason: Reason) -> None:
    """Have the page show something; images are received whether or not there is a store."""
    try:
        with open_database(config) as database:
            ConsoleStore(database, system_clock).notice("inlet", reason)
    except (AgentError, OSError):
        log.warning("notice_not_stored", exc_info=True)
