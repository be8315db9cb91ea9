"""The technologist's page: a process of its own that reads the store."""

from agent.console.app import Surroundings, create_app
from agent.console.server import serve

__all__ = ["Surroundings", "create_app", "serve"]
