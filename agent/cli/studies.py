"""``bleedwatch studies``: what came, and what came of it."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from agent.cli.options import AsJson, ConfigPath, moment
from agent.cli.stores import opened
from agent.cli.tables import TEST, WORDS, ending, summary
from agent.config import DEFAULT_PATH
from agent.records import State
from agent.store.view import SeriesView

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
    views = list(map(SeriesView.of, rows))
    if as_json:
        typer.echo(json.dumps([view.model_dump(mode="json") for view in views], indent=2))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("Last slice (UTC)", no_wrap=True)
    table.add_column("Series", no_wrap=True)
    table.add_column("State", no_wrap=True)
    table.add_column("Slices", justify="right")
    table.add_column("Findings or reason", overflow="fold")
    for view in views:
        finished = view.report is not None and view.report.state == view.state.value
        table.add_row(
            f"{view.last_slice_utc:%Y-%m-%d %H:%M:%S}",
            ending(view.series_uid),
            f"{TEST}{WORDS[view.state.value]}" if view.test else WORDS[view.state.value],
            str(view.slices),
            escape(summary(view.report)) if finished and view.report else "",
        )
    Console(highlight=False).print(table)
