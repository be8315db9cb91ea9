"""Commands that run the agent and the console."""

from __future__ import annotations

import os
import sys
import threading

from agent import daemon
from agent.cli.options import ConfigPath
from agent.config import DEFAULT_PATH, load_config
from agent.console.app import Context
from agent.console.audit import AuditLog
from agent.console.server import serve
from agent.log import LogStream, open_log
from agent.notify import Supervisor, stop_on_signals
from agent.store.console_store import ConsoleStore
from agent.wiring import boot_id, open_database, system_clock


def run(config: ConfigPath = DEFAULT_PATH) -> None:
    """Watch the export folder and analyse what comes.

    Example: bleedwatch run --config /etc/bleedwatch/agent.toml
    """
    stop = threading.Event()
    supervisor = Supervisor(os.environ.get("NOTIFY_SOCKET"))
    with stop_on_signals(stop):
        stream = LogStream()
        log = open_log(stream, json=not sys.stderr.isatty())
        daemon.run(load_config(config), log, stream, stop, supervisor)


def console(config: ConfigPath = DEFAULT_PATH) -> None:
    """Serve the technologist's page, with or without the agent.

    Example: bleedwatch console --config /etc/bleedwatch/agent.toml
    """
    settings = load_config(config)
    with open_database(settings) as database:
        store = ConsoleStore(database, system_clock)
        log = open_log(LogStream(), json=not sys.stderr.isatty())
        audit = AuditLog(settings.audit_path, system_clock, store.notice)
        log.info("opened", store=str(settings.store_path))
        context = Context(store, system_clock, boot_id(), audit, log, settings.page)
        serve(context, settings.console.address)
