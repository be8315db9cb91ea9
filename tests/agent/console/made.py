"""What the page's application is made from, for tests of its HTTP."""

from __future__ import annotations

from pathlib import Path

from agent.console.app import Context
from agent.console.audit import AuditLog
from agent.console.authorization import LOOPBACK, AccessPolicy
from agent.console.settings import PageSettings
from agent.log import LogStream, open_log
from agent.records import Clock
from agent.wiring import boot_id, system_clock
from tests.agent.stored import Store


def context_of(
    store: Store,
    audit_path: Path | None = None,
    *,
    clock: Clock = system_clock,
    boot: str | None = None,
    policy: AccessPolicy = LOOPBACK,
    **settings: object,
) -> Context:
    """Serve this store as a loopback page does, but for what is said otherwise."""
    audit = AuditLog(audit_path or store.path.with_name("audit.log"), clock, store.console.notice)
    log = open_log(LogStream(), json=True)
    return Context(
        store.console, clock, boot or boot_id(), audit, log, PageSettings(**settings), policy
    )
