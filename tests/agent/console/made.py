"""What the page's application is made from, for tests of its HTTP."""

from __future__ import annotations

from pathlib import Path

from agent.console.access import LOOPBACK, Door
from agent.console.app import Surroundings
from agent.console.audit import AuditLog
from agent.console.settings import PageSettings
from agent.log import LogStream, open_log
from agent.records import Clock
from agent.wiring import boot_id, system_clock
from tests.agent.stored import Store


def around(
    store: Store,
    audit_path: Path | None = None,
    *,
    clock: Clock = system_clock,
    boot: str | None = None,
    door: Door = LOOPBACK,
    **settings: object,
) -> Surroundings:
    """Serve this store as a loopback page does, but for what is said otherwise."""
    audit = AuditLog(audit_path or store.path.with_name("audit.log"), clock, store.console.notice)
    log = open_log(LogStream(), json=True)
    return Surroundings(
        store.console, clock, boot or boot_id(), audit, log, PageSettings(**settings), door
    )
