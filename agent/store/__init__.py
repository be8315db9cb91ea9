"""The store: a journal in SQLite of every series, result, delivery and acknowledgement."""

from agent.store.rows import (
    Acknowledgement,
    AgentStatus,
    DayCounts,
    Delivery,
    FileNote,
    Forgettable,
    Keep,
    Notice,
    Result,
    Selftest,
    SeriesProgress,
    SeriesRow,
    Transition,
    Verdict,
)
from agent.store.store import Store

__all__ = [
    "Acknowledgement",
    "AgentStatus",
    "DayCounts",
    "Delivery",
    "FileNote",
    "Forgettable",
    "Keep",
    "Notice",
    "Result",
    "Selftest",
    "SeriesProgress",
    "SeriesRow",
    "Store",
    "Transition",
    "Verdict",
]
