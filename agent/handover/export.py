"""Export of a study for a radiologist or an engineer: results as JSON, key slices as PNG."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agent.handover.facts import examination_facts, series_facts
from agent.handover.new_folder import new_folder
from agent.store.queries import Queries
from agent.store.rows import SeriesRow
from agent.store.view import ExaminationView, SeriesView


def export(
    queries: Queries, rows: Sequence[SeriesRow], folder: Path, *, with_identity: bool
) -> list[Path]:
    """Write these series into a new folder, readable by its owner only.

    Raises as ``new_folder``.
    """
    with new_folder(folder) as made:
        for number, examination in enumerate(queries.examinations_with(rows), 1):
            facts = examination_facts(ExaminationView.of(examination))
            _write_json(made / f"examination-{number}.json", facts)
        for number, row in enumerate(rows, 1):
            _write(queries, row, made / f"series-{number}", with_identity=with_identity)
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
