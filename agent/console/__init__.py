"""The technologist's page: a process of its own that reads the store."""

from agent.console.address import Address
from agent.console.app import Surroundings, create_app
from agent.console.audit import AuditLog
from agent.console.server import serve

__all__ = ["Address", "AuditLog", "Surroundings", "create_app", "serve"]
