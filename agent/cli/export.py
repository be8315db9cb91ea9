"""``bleedwatch export``: a study's results as files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from agent.cli.audits import audit_of
from agent.cli.options import AsJson, ConfigPath, Study, account
from agent.cli.stores import series_named
from agent.config import DEFAULT_PATH, load_config
from agent.handover.export import export as write
from agent.store.database import Database
from agent.store.queries import Queries


def export(
    study: Study,
    to: Annotated[Path, typer.Option("--to", help="A folder that is not there yet.")],
    config: ConfigPath = DEFAULT_PATH,
    *,
    with_identity: Annotated[
        bool,
        typer.Option(
            "--with-identity", help="Also whose study it is, who saw it, and every reason in words."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write a study's results as files, without whose it is.

    Results are JSON, key slices PNG. UIDs and the times at which the box did something are in
    it. The slice shows the head as it is.

    Exit code 1: no such study, or the folder is there already; nothing was written.

    Example: bleedwatch export 1.2.840.113619.2 --to /tmp/for-the-radiologist
    """
    settings = load_config(config)
    with Database.existing(settings.store_path) as database:
        queries = Queries(database)
        rows = series_named(queries, study)
        written = write(queries, rows, to, with_identity=with_identity)
        audit = audit_of(settings, database)
        what = "result-written-with-identity" if with_identity else "result-written"
        for row in rows:
            audit.handed_over(account(), row.identity.study_uid, (row.uid, row.revision), what)
    if as_json:
        typer.echo(json.dumps({"written": list(map(str, written)), "identity": with_identity}))
        return
    out = Console(highlight=False, soft_wrap=True)
    for path in written:
        out.print(f"wrote {path}", markup=False)
    if with_identity:
        out.print("[bold]the patient's identity is in it[/]")
