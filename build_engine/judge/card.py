"""A model card: an evaluation's tables and figures in one folder."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from build_engine.judge.evaluate import Place, StudyResult
from build_engine.judge.figures import draw_evaluation, draw_failures
from build_engine.judge.tables import Judgement, Table, as_markdown


def write_card(
    folder: Path,
    name: str,
    tables_and_results: tuple[list[Table], list[StudyResult]],
    judgement: Judgement,
) -> None:
    """Write ``name``'s tables as Markdown and JSON, and its figures as PNG, into ``folder``.

    The JSON also tells of every head by itself.
    """
    folder.mkdir(parents=True, exist_ok=True)
    found, results = tables_and_results
    text = "\n".join([f"## {name}", "", *map(as_markdown, found)])
    (folder / f"{name}.md").write_text(text, encoding="utf-8")
    (folder / f"{name}.json").write_text(_json(found, results), encoding="utf-8")
    draw_evaluation(results, judgement, folder / f"{name}.png")
    draw_failures(results, judgement, folder / f"{name}-failures.png")


def _json(found: list[Table], results: list[StudyResult]) -> str:
    heads = [_head(result) for result in results]
    return json.dumps({"tables": [asdict(table) for table in found], "heads": heads}, indent=1)


def _head(result: StudyResult) -> dict[str, object]:
    known = result.known
    return {
        "name": known.name,
        "protocol": known.protocol,
        "look_alike": known.look_alike.value if known.look_alike else None,
        "kinds": [kind.word for kind in known.kinds],
        "bleed": known.bleed.word if known.bleed else None,
        "age_years": known.age_years,
        "score": round(result.score, 4),
        "true_ml": result.true_ml,
        "found_ml": result.found_ml,
        "dice": result.dice,
        "truth": _place(result.truth),
        "found": _place(result.found),
        "true_midline_shift_mm": known.midline_shift_mm,
        "found_midline_shift_mm": result.found_shift_mm,
        "seconds": round(result.seconds, 3),
    }


def _place(place: Place | None) -> dict[str, str | None] | None:
    if place is None:
        return None
    return {
        "subtype": place.subtype.word,
        "side": place.side.value if place.side else None,
        "region": place.region.name.lower() if place.region else None,
    }
