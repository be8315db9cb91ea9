"""``bleedwatch studies``: what came, and what came of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.text import Text

from agent.cli.options import AsJson, ConfigPath, moment
from agent.cli.stores import opened
from agent.cli.tables import ending, latest_summary, series_words, state_words
from agent.config import DEFAULT_PATH
from agent.exam import Place
from agent.records import State
from agent.report import to_the_second
from agent.store.examinations import ExaminationRow
from agent.store.queries import Queries
from agent.store.search import Search
from agent.store.view import ExaminationView, SeriesView
from agent.wiring import system_clock

MOST_ROWS: Final = 50

MOST_FOUND: Final = 1000
"""Examinations that are looked through where words and states are asked for. Ours."""

WIDTHS: Final = (20, 17, 21, 6)
"""Of the columns, 70 with what parts them: a terminal has 80."""


def studies(  # noqa: PLR0913 - each is an option
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[WORD]...", help="Only with all of these in name, ID, accession or a date."
        ),
    ] = None,
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

    Without words, --state and --since, what waits for an answer comes first.

    Example: bleedwatch studies --state not_analysed --since 7d
    """
    with opened(config) as queries:
        rows = _chosen(queries, tuple(words or ()), tuple(state or ()), since, limit)
    views = list(map(ExaminationView.of, rows[:limit]))
    if as_json:
        typer.echo(json.dumps([view.model_dump(mode="json") for view in views], indent=2))
        return
    out = Console(highlight=False)
    _print_row(out, ("Last slice (UTC)", "Series" if series else "Examination", "State", "Slices"))
    for view in views:
        *cells, said = _examination(view)
        _print_row(out, cells, said)
        for one in view.series if series else ():
            *cells, said = _series(one)
            _print_row(out, cells, said)
    if len(rows) > limit:
        out.print(f"… and more: --limit {2 * limit} shows twice as many")


def _chosen(
    queries: Queries,
    words: tuple[str, ...],
    states: tuple[State, ...],
    since: datetime | None,
    limit: int,
) -> list[ExaminationRow]:
    """Return the examinations asked for, one more than ``limit`` where there are more."""
    if words:
        found, _ = queries.found(Search(words), MOST_FOUND)
        return [
            row
            for row in found
            if (not states or row.examination.state in states)
            and (since is None or row.last_utc >= since)
        ][: limit + 1]
    if states or since:
        return queries.examinations(limit + 1, states=states, since=since)
    return queries.listed(limit + 1, system_clock().utc)


def _print_row(out: Console, cells: Sequence[str], said: str = "") -> None:
    """Print a line of at most 80 columns, and what is said of it beneath."""
    texts = [Text.from_markup(cell) for cell in cells]
    for text, width in zip(texts, WIDTHS, strict=True):
        text.pad_right(max(0, width - text.cell_len))
    line = Text("  ").join(texts)
    line.rstrip()
    out.print(line, soft_wrap=True)
    if said:
        out.print(Padding(said, (0, 0, 0, 4)))


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
