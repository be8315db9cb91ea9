"""The audit log of what a command does. Beside ``stores``: who only reads loads none of it."""

from __future__ import annotations

from agent.config import Config
from agent.console.audit import AuditLog
from agent.store.console_store import ConsoleStore
from agent.store.database import Database
from agent.wiring import system_clock


def audit_of(settings: Config, database: Database) -> AuditLog:
    """Return the audit log; the page shows where it cannot be written."""
    notice = ConsoleStore(database, system_clock).notice
    return AuditLog(settings.audit_path, system_clock, notice)
