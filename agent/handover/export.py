"""Export of a study for a radiologist or an engineer: results as JSON, key slices as PNG."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agent.errors import RequestRefused
from agent.handover.facts import examination_facts, series_facts
from agent.store.queries import Queries
from agent.store.rows import SeriesRow
from agent.store.view import ExaminationView, SeriesView


def export(
    queries: Queries, rows: Sequence[SeriesRow], folder: Path, *, with_identity: bool
) -> list[Path]:
    """Write these series into a new folder, readable by its owner only.

    It is written elsewhere and then renamed, so that it is complete or not there.

    Raises
    ------
    RequestRefused
        If it is there already, or cannot be written.
    """
    if folder.exists():
        raise RequestRefused("folder_exists", folder=str(folder))
    try:
        with tempfile.TemporaryDirectory(dir=folder.absolute().parent) as scratch:
            made = Path(scratch) / folder.name
            made.mkdir(mode=0o700)
            for number, examination in enumerate(queries.examinations_with(rows), 1):
                facts = examination_facts(ExaminationView.of(examination))
                _write_json(made / f"examination-{number}.json", facts)
            for number, row in enumerate(rows, 1):
                _write(queries, row, made / f"series-{number}", with_identity=with_identity)
            made.rename(folder)
    except OSError as error:
        raise RequestRefused(
            "folder_unwritable", folder=str(folder), why=str(error.strerror)
        ) from error
    return sorted(folder.iterdir())


def _write_json(path: Path, facts: dict[str, Any]) -> None:
    path.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


def _write(queries: Queries, row: SeriesRow, name: Path, *, with_identity: bool) -> None:
    view = SeriesView.of(row).with_history(queries)
    facts = series_facts(view)
    if with_identity:
        facts = view.identified(row.identity, row.description).model_dump(mode="json")
    _write_json(name.with_suffix(".json"), facts)
    for result in view.results:
        picture = queries.picture(row.uid, result.report.revision, "axial")
        if picture:
            name.with_name(f"{name.name}-revision-{result.report.revision}.png").write_bytes(
                picture
            )
