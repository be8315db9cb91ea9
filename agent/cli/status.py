"""``bleedwatch status``: whether the agent runs, what is under way, and how much comes."""

from __future__ import annotations

import time
from contextlib import nullcontext
from typing import Annotated, Final

import typer
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from agent.cli.options import AsJson, ConfigPath
from agent.cli.overview import AgentView, Overview, look
from agent.cli.stores import opened
from agent.cli.tables import WORDS, ending, span
from agent.config import DEFAULT_PATH
from agent.report import to_the_second
from agent.store.queries import Queries
from agent.wiring import boot_id, system_clock

LOOK_S: Final = 1.0
"""Between two looks at the store [s]."""


def status(
    config: ConfigPath = DEFAULT_PATH,
    *,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Look again every second, until Ctrl-C.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Say whether the agent runs, and what is under way.

    Also how much comes, and what waits: to be acknowledged, to be delivered.

    With --watch, into a pipe, each look is printed below the one before; with --json as one line.

    Exit code 1: the agent does not run, or cannot reach its folder; with --watch, at the last look.

    Example: bleedwatch status --watch
    """
    with opened(config) as queries:
        if watch:
            last = _watched(queries, as_json=as_json)
        else:
            last = look(queries, system_clock(), boot_id())
            _print(Console(highlight=False), last, as_json=as_json)
    raise typer.Exit(0 if last.problem is None else 1)


def _watched(queries: Queries, *, as_json: bool) -> Overview:
    """Show one look after another until Ctrl-C; returns the last one."""
    out = Console(highlight=False)
    last = look(queries, system_clock(), boot_id())
    on_terminal = out.is_terminal and not as_json
    try:
        with Live(console=out, auto_refresh=False) if on_terminal else nullcontext() as live:
            while True:
                if live:
                    live.update(_drawn(last), refresh=True)
                else:
                    _print(out, last, as_json=as_json, line=True)
                time.sleep(LOOK_S)
                last = look(queries, system_clock(), boot_id())
    except KeyboardInterrupt:
        pass
    return last


def _print(out: Console, overview: Overview, *, as_json: bool, line: bool = False) -> None:
    if as_json:
        typer.echo(overview.model_dump_json(indent=None if line else 2))
    else:
        out.print(_drawn(overview))


def _drawn(overview: Overview) -> RenderableType:
    problem = overview.problem
    title = "[green]● running[/]" if problem is None else f"[bold red]▲ {escape(problem.text)}[/]"
    parts: list[RenderableType] = [f"{title}   {to_the_second(overview.at_utc)}"]
    facts = Table.grid(padding=(0, 2))
    facts.add_column(no_wrap=True)
    facts.add_column(overflow="fold")
    for name, value in [*_of_agent(overview.agent), *_of_traffic(overview)]:
        facts.add_row(f"  {name}", escape(value))
    parts.append(facts)
    if overview.under_way:
        parts += ["", _under_way(overview)]
    if overview.latest:
        parts += ["", _latest(overview)]
    return Group(*parts)


def _of_agent(agent: AgentView | None) -> list[tuple[str, str]]:
    if agent is None:
        return []
    return [
        ("folder", agent.folder),
        ("networks", agent.engine.words),
        *([("degraded", agent.degraded.text)] if agent.degraded else []),
        ("started", to_the_second(agent.started_utc)),
        ("receiving", str(agent.receiving)),
        ("queued", str(agent.queued)),
    ]


def _of_traffic(overview: Overview) -> list[tuple[str, str]]:
    by_state = ", ".join(
        f"{number} {state.replace('_', ' ')}" for state, number in sorted(overview.today.items())
    )
    named = ", ".join(f"{kind} {number}" for kind, number in sorted(overview.notices.items()))
    return [
        ("last hour", f"{overview.last_hour} series"),
        ("today", by_state or "none"),
        ("not acknowledged", str(overview.unacknowledged)),
        ("undelivered", str(overview.undelivered)),
        *([("notices", f"{named} in the last hour")] if named else []),
    ]


def _under_way(overview: Overview) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("Under way", no_wrap=True)
    table.add_column("Stage", no_wrap=True)
    for column in ("Slices", "For", "Nothing new for"):
        table.add_column(column, justify="right", no_wrap=True)
    for one in overview.under_way:
        of_all = f" of {one.expected}" if one.expected else ""
        table.add_row(
            ending(one.series_uid),
            WORDS[one.state.value],
            f"{one.slices}{of_all}",
            span(one.stage_s),
            span(one.silent_s),
        )
    return table


def _latest(overview: Overview) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("Latest", no_wrap=True)
    table.add_column("Answer", no_wrap=True)
    for column in ("Took", "Ago"):
        table.add_column(column, justify="right", no_wrap=True)
    for one in overview.latest:
        took = "" if one.total_s is None else f"{one.total_s:.1f} s"
        table.add_row(ending(one.series_uid), WORDS[one.state.value], took, span(one.ago_s))
    return table
