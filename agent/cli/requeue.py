"""``bleedwatch requeue``: have the agent read and analyse a study again."""

from __future__ import annotations

import time
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.markup import escape

from agent.cli.options import AsJson, ConfigPath, Study
from agent.cli.outputs import RequeuedSeries, RequeueOutput
from agent.cli.stores import series_named
from agent.cli.tables import WORDS
from agent.config import DEFAULT_PATH, load_config
from agent.errors import RequestRefused
from agent.reasons import Reason
from agent.report import ReasonReport, reason_report
from agent.store.console_store import ConsoleStore
from agent.store.database import Database
from agent.store.liveness import agent_problem
from agent.store.queries import Queries
from agent.store.rows import SeriesRow
from agent.wiring import boot_id, system_clock

WAIT_S: Final = 120.0
"""How long an answer is waited for: no series takes longer than its deadline [s]."""

LOOK_S: Final = 0.2


def requeue(
    study: Study,
    config: ConfigPath = DEFAULT_PATH,
    *,
    wait: Annotated[bool, typer.Option(help="Wait for the answers.")] = True,
    as_json: AsJson = False,
) -> None:
    """Have the agent read and analyse a study again.

    After a new bundle, or when what kept a series from being analysed is mended. What was not
    analysed, or set aside, is tried anew. Any other series has the same result as before, and
    alerts nobody again, unless its files or the bundle have changed.

    Exit code 1: it is under way already, not known, or cannot be read; what was stands.

    Example: bleedwatch requeue 1.2.840.113619.2
    """
    with Database.existing(load_config(config).store_path) as database:
        store, queries = ConsoleStore(database, system_clock), Queries(database)
        rows = series_named(queries, study)
        asked = [row for row in rows if store.request(row.uid)]
        if not asked:
            raise RequestRefused("under_way_already")
        problem = _waited(queries, asked) if wait else _problem(queries)
        outcomes = tuple(_outcome(queries, row) for row in asked)
    if as_json:
        typer.echo(RequeueOutput(problem=problem, series=outcomes).model_dump_json(indent=2))
    else:
        _print(outcomes, problem)
    raise typer.Exit(1 if any(one.not_read for one in outcomes) else 0)


def _waited(queries: Queries, asked: list[SeriesRow]) -> ReasonReport | None:
    """Wait until the agent has answered; returns what keeps it from that, if anything does."""
    deadline_s = time.monotonic() + WAIT_S
    uids = {row.uid for row in asked}
    with Console(stderr=True).status("the agent reads it again …"):
        while (problem := _problem(queries)) is None and uids & set(queries.requested()):
            if time.monotonic() > deadline_s:
                break
            time.sleep(LOOK_S)
    return problem


def _problem(queries: Queries) -> ReasonReport | None:
    now, free_bytes = system_clock(), queries.free_bytes()
    problem = agent_problem(queries.agent_status(), now, boot_id(), free_bytes)
    return reason_report(problem) if problem else None


def _outcome(queries: Queries, before: SeriesRow) -> RequeuedSeries:
    """Say what came of asking for one series."""
    after = queries.series(before.uid) or before
    if before.uid in queries.requested():
        outcome, not_read = Reason("waits_for_agent"), False
    elif after.revision > before.revision:
        outcome, not_read = Reason("new_result", revision=after.revision), False
    else:
        outcome = queries.transitions(before.uid)[-1].reason or Reason("nothing_new")
        not_read = outcome.code != "nothing_new"
    return RequeuedSeries(
        series_uid=before.uid,
        state=after.state,
        outcome=reason_report(outcome),
        not_read=not_read,
    )


def _print(outcomes: tuple[RequeuedSeries, ...], problem: ReasonReport | None) -> None:
    out = Console(highlight=False)
    for one in outcomes:
        out.print(f"{one.series_uid}   {WORDS[one.state.value]}", soft_wrap=True)
        out.print(f"  {one.outcome.text}", markup=False)
    if problem:
        out.print(f"[yellow]{escape(problem.text)}[/]: it is done as soon as that is mended")
