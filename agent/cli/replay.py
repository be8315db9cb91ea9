"""``bleedwatch replay``: analyse an existing folder once."""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from agent.cli.options import AsJson
from agent.cli.outputs import NotWholeFile, ReplayOutput
from agent.cli.tables import reports_table
from agent.config import DEFAULT_PATH, Config, load_config
from agent.errors import FolderUnreachable
from agent.log import LogStream, open_log
from agent.reasons import Reason, english
from agent.records import Arrival
from agent.report import SeriesReport, reason_report
from agent.store.agent_store import AgentStore
from agent.watch.filesystem import files_in, folder_identity
from agent.wiring import open_database, system_clock
from agent.wiring.agent import build_agent

REPLAYED_SERIES = 10_000


@dataclass(frozen=True)
class Replayed:
    """What came of a folder. ``not_whole`` are the files that were left out, and why."""

    reports: list[SeriesReport]
    not_whole: dict[Path, Reason]


def replay(
    folder: Annotated[Path, typer.Argument(help="A folder of DICOM files, at any depth.")],
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", help=f"The agent's TOML file, such as {DEFAULT_PATH}."),
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Analyse a folder once; the agent's store is not touched.

    Example: bleedwatch replay /srv/ct-export/2026-11-23 --json
    """
    with tempfile.TemporaryDirectory(prefix="bleedwatch-replay-") as state_folder:
        base = load_config(config) if config else Config(export_folder=folder)
        here = {
            "export_folder": folder.absolute(),
            "state_folder": Path(state_folder),
            "store": base.store.model_copy(update={"slices_mb": 0}),  # nobody scrolls through them
        }
        outcome = replayed(base.model_copy(update=here))
    out = Console(highlight=False)
    if as_json:
        out.print_json(_output(outcome).model_dump_json())
        return
    if outcome.reports:
        out.print(reports_table(outcome.reports))
    elif not outcome.not_whole:
        out.print(f"no CT series in {folder}", markup=False, soft_wrap=True)
    for path, reason in outcome.not_whole.items():
        out.print(f"left out: {english(reason)} (in {path.parent})", markup=False, soft_wrap=True)


def _output(outcome: Replayed) -> ReplayOutput:
    return ReplayOutput(
        series=tuple(outcome.reports),
        not_whole=tuple(
            NotWholeFile(path=str(path), reason=reason_report(reason))
            for path, reason in outcome.not_whole.items()
        ),
    )


def replayed(config: Config) -> Replayed:
    """Take every file of the export folder the way it has in the agent, and stop.

    Raises
    ------
    FolderUnreachable
        If the folder cannot be listed.
    """
    with open_database(config) as database:
        store = AgentStore(database, system_clock)
        log = open_log(LogStream(), json=False, level=logging.WARNING)
        agent = build_agent(config, store, log)
        folder_identity(config.export_folder)
        unread = agent.intake.read_once(_arrivals(config.export_folder))
        not_whole = {path: why.reason for path, why in unread.items()}
        while agent.analyst.work_once():
            pass
        rows = store.queries.worklist(limit=REPLAYED_SERIES)
        reports = sorted((r.report for r in rows if r.report), key=lambda each: each.series_uid)
        return Replayed(reports, not_whole)


def _arrivals(folder: Path) -> Iterator[Arrival]:
    def denied(path: str, error: OSError) -> None:
        raise FolderUnreachable("folder_unlistable", folder=path, why=str(error.strerror))

    for path, version in sorted(files_in(str(folder), denied)):
        yield Arrival(Path(path), version.size_bytes, version.mtime_ns, time.monotonic())
