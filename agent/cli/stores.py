"""The store, opened for a command that only reads, and the audit log of what a command does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.config import Config, load_config
from agent.console.audit import AuditLog
from agent.errors import RequestRefused
from agent.store.console_store import ConsoleStore
from agent.store.database import Database
from agent.store.examinations import ExaminationRow
from agent.store.queries import Queries
from agent.store.rows import SeriesRow
from agent.wiring import system_clock


@contextmanager
def opened(config: Path) -> Iterator[Queries]:
    """Open the configured store to read it; raises as ``Database.existing``."""
    with Database.existing(load_config(config).store_path) as database:
        yield Queries(database)


def audit_of(settings: Config, database: Database) -> AuditLog:
    """Return the audit log; the page shows where it cannot be written."""
    notice = ConsoleStore(database, system_clock).notice
    return AuditLog(settings.audit_path, system_clock, notice)


def series_named(queries: Queries, study: str) -> list[SeriesRow]:
    """Return the series that a command's argument names.

    Raises
    ------
    RequestRefused
        If there is none.
    """
    rows = queries.find(study.strip("…"))  # as ``status`` prints it
    if not rows:
        raise RequestRefused("study_unknown", study=study)
    return rows


def examinations_named(queries: Queries, study: str) -> list[ExaminationRow]:
    """Return the examinations that a command's argument names; raises as ``series_named``."""
    return queries.examinations_with(series_named(queries, study))
