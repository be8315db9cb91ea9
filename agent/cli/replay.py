"""``bleedwatch replay``: analyse an existing folder once."""

from __future__ import annotations

import json
import logging
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from agent.assemble.completeness import Completion
from agent.cli.tables import reports_table
from agent.config import DEFAULT_PATH, Config, load_config
from agent.errors import FolderUnreachable
from agent.records import Arrival
from agent.report import SeriesReport
from agent.watch.filesystem import files_in, folder_identity
from agent.wiring import build_journeys, open_log, open_store

REPLAYED_SERIES = 10_000


def replay(
    folder: Annotated[Path, typer.Argument(help="A folder of DICOM files, at any depth.")],
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", help=f"The agent's TOML file, such as {DEFAULT_PATH}."),
    ] = None,
    *,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON, one object a series.")
    ] = False,
) -> None:
    """Analyse the series in a folder once and print the results. The agent's store is not touched.

    Example: bleedwatch replay /srv/ct-export/2026-11-23 --json
    """
    with tempfile.TemporaryDirectory(prefix="bleedwatch-replay-") as state_folder:
        places = {"export_folder": folder.absolute(), "state_folder": Path(state_folder)}
        base = load_config(config) if config else Config(export_folder=folder)
        reports = replayed(base.model_copy(update=places))
    out = Console(soft_wrap=as_json, highlight=False)
    if as_json:
        out.print_json(json.dumps([report.model_dump(mode="json") for report in reports]))
    elif reports:
        out.print(reports_table(reports))
    else:
        out.print(f"no CT series in {folder}", markup=False)


def replayed(config: Config) -> list[SeriesReport]:
    """Take every file of the export folder through the agent's own journeys, and stop.

    Raises
    ------
    FolderUnreachable
        If the folder cannot be listed.
    """
    with open_store(config) as store:
        journeys = build_journeys(config, store, open_log(json=False, level=logging.WARNING))
        folder_identity(config.export_folder)
        half_written = journeys.take(_arrivals(config.export_folder))
        for arrival in half_written:
            store.notice("not_whole", f"{arrival.path.name}: half-written")
        journeys.close_all(Completion("quiet", "the folder was read once"))
        while journeys.work_once():
            pass
        rows = store.worklist(limit=REPLAYED_SERIES)
        return sorted((r.report for r in rows if r.report), key=lambda report: report.series_uid)


def _arrivals(folder: Path) -> Iterator[Arrival]:
    def denied(path: str, error: OSError) -> None:
        raise FolderUnreachable(f"{path}: {error.strerror}", hint="let this account read it")

    for path, version in sorted(files_in(str(folder), denied)):
        yield Arrival(Path(path), version.size_bytes, version.mtime_ns, time.monotonic())
