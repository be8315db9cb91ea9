"""The technologist's page: a process of its own that reads the store."""

from agent.console.address import Address
from agent.console.app import create_app
from agent.console.audit import AuditLog
from agent.console.server import serve

__all__ = ["Address", "AuditLog", "create_app", "serve"]
