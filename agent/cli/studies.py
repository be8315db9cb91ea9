"""``bleedwatch studies``: what came, and what came of it."""

from __future__ import annotations

import dataclasses
import json
from datetime import datetime
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from agent.cli.options import AsJson, ConfigPath, moment
from agent.cli.stores import opened
from agent.cli.tables import TEST, WORDS, ending, summary
from agent.config import DEFAULT_PATH
from agent.records import State
from agent.store.rows import SeriesRow

MOST_ROWS: Final = 50


def studies(
    config: ConfigPath = DEFAULT_PATH,
    *,
    state: Annotated[
        list[State] | None, typer.Option(help="Only these; may be given several times.")
    ] = None,
    since: Annotated[
        datetime | None,
        typer.Option(parser=moment, metavar="WHEN", help="Only since 90min, 2h, 7d, 2026-11-23 …"),
    ] = None,
    limit: Annotated[int, typer.Option(help="No more than so many.", min=1)] = MOST_ROWS,
    as_json: AsJson = False,
) -> None:
    """List the latest series.

    Without --state and --since, every suspicion that waits for an acknowledgement comes first.

    Example: bleedwatch studies --state not_analysed --since 7d
    """
    with opened(config) as queries:
        chosen = state or since
        rows = (
            queries.latest(limit, states=state or (), since=since)
            if chosen
            else queries.worklist(limit)
        )
    if as_json:
        typer.echo(json.dumps([row_json(row) for row in rows], indent=2))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("Last slice (UTC)", no_wrap=True)
    table.add_column("Series", no_wrap=True)
    table.add_column("State", no_wrap=True)
    table.add_column("Slices", justify="right")
    table.add_column("Findings or reason", overflow="fold")
    for row in rows:
        finished = row.report is not None and row.report.state == row.state.value
        table.add_row(
            f"{row.last_slice.utc:%Y-%m-%d %H:%M:%S}",
            ending(row.uid),
            f"{TEST}{WORDS[row.state.value]}" if row.test else WORDS[row.state.value],
            str(row.slices),
            escape(summary(row.report)) if finished and row.report else "",
        )
    Console(highlight=False).print(table)


def row_json(row: SeriesRow) -> dict[str, Any]:
    """Give one series for JSON, by its UID alone."""
    return {
        "series_uid": row.uid,
        "test": row.test,
        "study_uid": row.identity.study_uid,
        "state": row.state.value,
        "slices": row.slices,
        "revision": row.revision,
        "last_slice_utc": row.last_slice.utc.isoformat(),
        "report": row.report.model_dump(mode="json") if row.report else None,
        "acknowledged": plain(row.acknowledged),
    }


def plain(record: Any) -> Any:  # noqa: ANN401 - any of the store's row dataclasses
    """Give one of the store's records for JSON."""
    if record is None:
        return None
    return json.loads(json.dumps(dataclasses.asdict(record), default=str))
