"""``bleedwatch support-bundle``: one archive to hand over."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from agent.cli.audits import audit_of
from agent.cli.options import AsJson, ConfigPath, account
from agent.cli.stores import opened, series_named
from agent.config import DEFAULT_PATH, load_config
from agent.doctor import examine
from agent.handover.support import add_doctor, add_study, write_archive
from agent.infer import tensorrt_api
from agent.log import LogStream, open_log
from agent.store.database import Database
from agent.store.rows import SeriesRow
from agent.wiring import boot_id, system_clock


def support_bundle(
    config: ConfigPath = DEFAULT_PATH,
    *,
    to: Annotated[
        Path | None,
        typer.Option("--to", help="ZIP file that is not there yet. Left out, one in this folder."),
    ] = None,
    with_study: Annotated[
        str | None,
        typer.Option(
            "--with-study", metavar="STUDY", help="Add its images, without whose they are."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Put all but patient data into one ZIP file, to hand over.

    Doctor's lines, configuration without secrets, what the store holds in numbers, the latest
    series by UID, timings, the services' log as events and numbers, versions.

    With --with-study, images keep only what analysing them takes. What is burned into a picture
    stays, and a face can be drawn from thin slices: look at them before they leave the house.

    Exit code 1: the file is there already or cannot be written, or there is no such study.

    Example: sudo bleedwatch support-bundle --to /tmp/bleedwatch.zip
    """
    now = system_clock()
    path = to or Path(f"bleedwatch-support-{now.utc:%Y%m%dT%H%M%S}.zip")
    silent = open_log(LogStream(), json=False, level=logging.CRITICAL)
    out = Console(highlight=False, soft_wrap=True)
    left_out: list[str] = []
    with ExitStack() as stack:
        queries = stack.enter_context(opened(config)) if with_study else None
        rows = series_named(queries, with_study) if queries and with_study else []
        stack.enter_context(out.status("asking the store, the journal and doctor …"))
        write_archive(path, config, now, boot_id())
        if queries:
            left_out = add_study(path, queries, rows)
            _audit(config, rows)
        add_doctor(path, examine(config, lambda gpu: tensorrt_api.load(silent, gpu)))
    if as_json:
        typer.echo(json.dumps({"path": str(path), "left_out": left_out}))
        return
    for line in left_out:
        out.print(line, markup=False)
    out.print(f"wrote {path}, {path.stat().st_size / 1e6:.1f} MB", markup=False)


def _audit(config: Path, rows: Sequence[SeriesRow]) -> None:
    """Record that images were written, whose remain where they were."""
    settings = load_config(config)
    with Database.existing(settings.store_path) as database:
        audit = audit_of(settings, database)
        for row in rows:
            series = row.uid, row.revision
            audit.handed_over(account(), row.identity.study_uid, series, "images-written")
