"""The store: a journal in SQLite of every series, result, delivery and acknowledgement."""

from agent.store.rows import (
    Acknowledgement,
    AgentStatus,
    Delivery,
    FileNote,
    Keep,
    Notice,
    Selftest,
    SeriesProgress,
    SeriesRow,
    Transition,
)
from agent.store.store import Store

__all__ = [
    "Acknowledgement",
    "AgentStatus",
    "Delivery",
    "FileNote",
    "Keep",
    "Notice",
    "Selftest",
    "SeriesProgress",
    "SeriesRow",
    "Store",
    "Transition",
]
