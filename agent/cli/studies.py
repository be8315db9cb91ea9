"""``bleedwatch studies``: what came, and what came of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from agent.cli.options import AsJson, ConfigPath, moment
from agent.cli.stores import opened
from agent.cli.tables import ending, latest_summary, series_words, state_words
from agent.config import DEFAULT_PATH
from agent.exam import Place
from agent.records import State
from agent.report import to_the_second
from agent.store.view import ExaminationView, SeriesView
from agent.wiring import system_clock

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
    series: Annotated[
        bool, typer.Option("--series", help="Also each series, beneath its examination.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List the latest examinations, each once.

    Whatever was reconstructed of it is one examination.

    Without --state and --since, every suspicion that waits for an acknowledgement comes first.

    Example: bleedwatch studies --state not_analysed --since 7d
    """
    with opened(config) as queries:
        chosen = state or since
        rows = (
            queries.examinations(limit, states=state or (), since=since)
            if chosen
            else queries.listed(limit, system_clock().utc)
        )
    views = list(map(ExaminationView.of, rows))
    if as_json:
        typer.echo(json.dumps([view.model_dump(mode="json") for view in views], indent=2))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("Last slice (UTC)", no_wrap=True)
    table.add_column("Series" if series else "Examination", no_wrap=True)
    table.add_column("State", no_wrap=True)
    table.add_column("Slices", justify="right")
    table.add_column("Findings or reason", overflow="fold")
    for view in views:
        table.add_row(*_examination(view))
        for one in view.series if series else ():
            table.add_row(*_series(one))
    Console(highlight=False).print(table)


def _examination(view: ExaminationView) -> Iterator[str]:
    speaker = view.series[0]
    remark = [view.remark.text] if view.remark else []
    yield to_the_second(view.last_slice_utc)
    yield ending(view.examination_uid)
    yield state_words(view)
    yield str(speaker.slices)
    yield escape(
        "; ".join(filter(None, [*remark, latest_summary(speaker, needs_nobody=view.needs_nobody)]))
    )


def _series(view: SeriesView) -> Iterator[str]:
    thickness = "" if view.thickness_mm is None else f"  {view.thickness_mm:g} mm"
    yield f"  {view.last_slice_utc:%H:%M:%S}{thickness}"
    yield f"  {ending(view.series_uid)}"
    yield f"  {series_words(view)}"
    yield str(view.slices)
    aside = view.place is Place.ASIDE
    yield "" if view.place is Place.SPEAKS else escape(latest_summary(view, needs_nobody=aside))
