"""The export folder to the files worth reading."""

from agent.watch.watcher import Watcher

__all__ = ["Watcher"]
