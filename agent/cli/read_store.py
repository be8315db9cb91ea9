"""Commands that read the store: ``status``, ``studies``, ``show``."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from agent.cli.options import AsJson, ConfigPath
from agent.cli.tables import TEST, WORDS, place, reports_table, summary
from agent.config import DEFAULT_PATH, load_config
from agent.errors import ConfigError
from agent.store import AgentStatus, SeriesRow, Store, Transition
from agent.store.liveness import agent_problem
from agent.wiring import boot_id, open_store, system_clock

MOST_ROWS = 50


def status(config: ConfigPath = DEFAULT_PATH, *, as_json: AsJson = False) -> None:
    """Say whether the agent is running, on what, and what is under way. Exit code 1 if it is not.

    Example: bleedwatch status
    """
    with _store(config) as store:
        now, agent = system_clock(), store.agent_status()
        problem = agent_problem(agent, now, boot_id(), store.free_bytes())
        undelivered = len(store.undelivered())
    out = _out()
    if as_json:
        facts = {"problem": problem, "agent": _plain(agent), "undelivered": undelivered}
        out.print_json(json.dumps(facts, default=str))
    else:
        out.print("[green]● running[/]" if problem is None else f"[bold red]▲ {escape(problem)}[/]")
        for name, value in _status_lines(agent):
            out.print(f"  {name:<12}{value}", markup=False)
        out.print(f"  {'undelivered':<12}{undelivered}", markup=False)
    raise typer.Exit(0 if problem is None else 1)


def studies(config: ConfigPath = DEFAULT_PATH, *, as_json: AsJson = False) -> None:
    """List recent series, those that wait for an acknowledgement first.

    Example: bleedwatch studies
    """
    with _store(config) as store:
        rows = store.worklist(limit=MOST_ROWS)
    if as_json:
        _out().print_json(json.dumps([_row_json(row) for row in rows]))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("Last slice (UTC)", "Series", "State", "Slices", "Findings or reason"):
        table.add_column(column, overflow="fold")
    for row in rows:
        finished = row.report is not None and row.report.state == row.state.value
        table.add_row(
            f"{row.last_slice.utc:%Y-%m-%d %H:%M:%S}",
            row.uid,
            f"{TEST}{WORDS[row.state.value]}" if row.test else WORDS[row.state.value],
            str(row.slices),
            escape(summary(row.report)) if finished and row.report else "",
        )
    _out().print(table)


def show(
    study: Annotated[
        str, typer.Argument(help="UID of a study or of one series, or enough of either end.")
    ],
    config: ConfigPath = DEFAULT_PATH,
    *,
    as_json: AsJson = False,
) -> None:
    """Show a study's series: result, findings, timings, history and acknowledgement of each.

    Example: bleedwatch show 1.2.840.113619.2
    """
    with _store(config) as store:
        found = [
            (row, store.history(row.uid), store.transitions(row.uid)) for row in store.find(study)
        ]
    if not found:
        raise ConfigError(f"no study or series {study} in the store", hint="`bleedwatch studies`")
    if as_json:
        facts = [
            _row_json(row)
            | {
                "history": [report.model_dump(mode="json") for report in history],
                "transitions": [_plain(transition) for transition in transitions],
            }
            for row, history, transitions in found
        ]
        _out().print_json(json.dumps(facts, default=str))
        return
    for row, _, transitions in found:
        _show(row)
        _out().print(_transitions_table(transitions))


def _transitions_table(transitions: list[Transition]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("At (UTC)", "State", "Detail"):
        table.add_column(column)
    for transition in transitions:
        table.add_row(
            f"{transition.at.utc:%H:%M:%S.%f}"[:-3],
            WORDS[transition.state.value],
            escape(transition.detail),
        )
    return table


def _show(row: SeriesRow) -> None:
    out = _out()
    out.print(f"{row.uid}   {TEST if row.test else ''}{WORDS[row.state.value]}")
    report = row.report
    if report is None:
        return
    out.print(reports_table([report]))
    for finding in report.findings:
        low_ml, high_ml = finding.volume_interval_ml
        out.print(
            f"  {finding.subtype}, {place(finding) or 'place not known'}: "
            f"{finding.volume_ml:.1f} mL ({low_ml:.1f} to {high_ml:.1f}), "
            f"slice {finding.key_slice}",
            markup=False,
        )
    timings = ", ".join(f"{name} {value:.2f} s" for name, value in report.timings_s.items())
    out.print(
        f"  {report.engine or 'no engine'}; complete by {report.completed_by}; {timings}",
        markup=False,
    )
    if row.acknowledged:
        who, at = row.acknowledged.who, row.acknowledged.at
        out.print(f"  acknowledged by {who}, {at.utc:%Y-%m-%d %H:%M:%S} UTC", markup=False)


def _status_lines(agent: AgentStatus | None) -> list[tuple[str, str]]:
    if agent is None:
        return []
    return [
        ("folder", agent.folder),
        ("bundle", agent.bundle),
        ("backend", agent.backend),
        ("started", f"{agent.started.utc:%Y-%m-%d %H:%M:%S} UTC"),
        ("receiving", str(agent.receiving)),
        ("queued", str(agent.queued)),
    ]


def _row_json(row: SeriesRow) -> dict[str, Any]:
    return {
        "series_uid": row.uid,
        "test": row.test,
        "study_uid": row.identity.study_uid,
        "state": row.state.value,
        "slices": row.slices,
        "revision": row.revision,
        "last_slice_utc": row.last_slice.utc.isoformat(),
        "report": row.report.model_dump(mode="json") if row.report else None,
        "acknowledged": _plain(row.acknowledged),
    }


def _plain(record: Any) -> Any:  # noqa: ANN401 - any of the store's row dataclasses
    if record is None:
        return None
    return json.loads(json.dumps(dataclasses.asdict(record), default=str))


def _store(config: Path) -> Store:
    settings = load_config(config)
    if not settings.store_path.exists():
        raise ConfigError(f"no store at {settings.store_path}", hint="start the agent first")
    return open_store(settings)


def _out() -> Console:
    return Console(highlight=False)
