"""The store, opened for a command that only reads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.config import load_config
from agent.errors import RequestRefused
from agent.store.database import Database
from agent.store.examinations import ExaminationRow
from agent.store.queries import Queries
from agent.store.rows import SeriesRow


@contextmanager
def opened(config: Path) -> Iterator[Queries]:
    """Open the configured store to read it; raises as ``Database.existing``."""
    with Database.existing(load_config(config).store_path) as database:
        yield Queries(database)


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
