"""From the export folder to the files that are worth reading."""

from agent.watch.watcher import Watcher

__all__ = ["Watcher"]
