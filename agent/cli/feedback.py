"""``bleedwatch feedback``: people's answers to the results, for whoever monitors the model."""

from __future__ import annotations

import csv
import json
import sys
from datetime import datetime, timedelta
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from agent.cli.options import AsJson, ConfigPath
from agent.cli.outputs import FeedbackLine
from agent.cli.stores import opened
from agent.cli.tables import WORDS
from agent.config import DEFAULT_PATH
from agent.records import State
from agent.report import to_the_second
from agent.store.queries import Queries
from agent.store.rows import SeriesRow
from agent.wiring import system_clock


def feedback(
    config: ConfigPath = DEFAULT_PATH,
    since: Annotated[
        datetime | None, typer.Option(help="First day; by itself, 30 days ago.")
    ] = None,
    *,
    as_json: AsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV, a line a series.")] = False,
) -> None:
    """Show people's answers to the results: right, wrong, why.

    No patient is named, but notes are free text: read them before they leave the house.

    Example: bleedwatch feedback --since 2026-11-01 --csv > november.csv
    """
    begin = since.astimezone() if since else system_clock().utc - timedelta(days=30)
    with opened(config) as queries:
        answers = [_line(row, queries) for row in queries.feedback_since(begin)]
    if as_json:
        Console().print_json(json.dumps([line.model_dump(mode="json") for line in answers]))
    elif as_csv:
        _print_csv(answers)
    else:
        _print_table(answers)


def _line(row: SeriesRow, queries: Queries) -> FeedbackLine:
    drawn = queries.drawings([row.uid])[-1:]
    report, given, verdict = row.report, row.acknowledged, row.verdict
    findings = report.findings if report else ()
    return FeedbackLine(
        series_uid=row.uid,
        last_slice_utc=row.last_slice.utc.replace(microsecond=0),
        state=State(report.state) if report else row.state,
        engine=report.engine if report else None,
        score=report.score if report else None,
        subtypes="+".join(dict.fromkeys(finding.subtype for finding in findings)),
        total_volume_ml=report.total_volume_ml if report else None,
        acknowledged_by=given.who if given else None,
        dismissed_because=given.dismissed_because if given else None,
        note=given.note if given else None,
        verdict=None if verdict is None else "agree" if verdict.agrees else "disagree",
        verdict_by=verdict.who if verdict else None,
        verdict_note=verdict.note if verdict else None,
        drawn_ml=round(drawn[0].volume_ml, 2) if drawn else None,
        drawn_by=drawn[0].who if drawn else None,
    )


def _print_csv(answers: list[FeedbackLine]) -> None:
    if answers:
        writer = csv.DictWriter(sys.stdout, FeedbackLine.model_fields)
        writer.writeheader()
        for line in answers:
            engine = {"engine": line.engine.words if line.engine else None}
            cells = line.model_dump(mode="json") | engine
            writer.writerow({name: _harmless(value) for name, value in cells.items()})


def _harmless(value: object) -> object:
    """Keep a spreadsheet from taking text for a formula. Source: OWASP, CSV Injection."""
    formula = isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r"))
    return f"'{value}" if formula else value


def _print_table(answers: list[FeedbackLine]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("Last slice (UTC)", "Series", "Result", "Score", "Answered", "Verdict"):
        table.add_column(column, overflow="fold")
    for line in answers:
        dismissed = line.dismissed_because
        answered = f"dismissed: {dismissed}" if dismissed else "acknowledged"
        table.add_row(
            to_the_second(line.last_slice_utc),
            line.series_uid,
            WORDS[line.state.value],
            "" if line.score is None else f"{line.score:.2f}",
            escape(f"{answered} by {line.acknowledged_by}") if line.acknowledged_by else "",
            escape(f"{line.verdict}, {line.verdict_by}") if line.verdict else "",
        )
    out = Console(highlight=False)
    out.print(table)
    judged = [line.verdict for line in answers if line.verdict]
    agreed = sum(verdict == "agree" for verdict in judged)
    out.print(f"{len(answers)} series; {agreed} of {len(judged)} verdicts agree")
