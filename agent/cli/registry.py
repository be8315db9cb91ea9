"""``bleedwatch registry``: what came of a time's examinations, for a registry of AI results."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from agent.cli.audits import audit_of
from agent.cli.options import AsJson, ConfigPath, account, moment
from agent.cli.outputs import RegistryOutput
from agent.config import DEFAULT_PATH, load_config
from agent.handover.registry_export import export_registry
from agent.store.database import Database
from agent.store.queries import Queries
from agent.wiring import system_clock

Since = Annotated[
    datetime, typer.Option(parser=moment, metavar="WHEN", help="From 2026-10-01, 90d … on.")
]
Until = Annotated[
    datetime | None,
    typer.Option(parser=moment, metavar="WHEN", help="Before then; by itself, until now."),
]


def registry(
    since: Since,
    to: Annotated[Path, typer.Option("--to", help="A folder that is not there yet.")],
    until: Until = None,
    config: ConfigPath = DEFAULT_PATH,
    *,
    as_json: AsJson = False,
) -> None:
    """Write a time's results for a registry, without identities.

    As CSV and as FHIR R4: a line for each examination that has an answer, for a registry such as
    Assess-AI. Nothing in it identifies a person: of dates there is the month, and no text that a
    person wrote.

    Exit code 1: nothing came then, or the folder is there already; nothing was written.

    Example: bleedwatch registry --since 2026-10-01 --until 2026-11-01 --to october
    """
    settings, end = load_config(config), until or system_clock().utc
    with Database.existing(settings.store_path) as database:
        n = export_registry(Queries(database), since, end, settings.registry_key_path, to)
        audit = audit_of(settings, database)
        audit.registry_exported(account(), n, since, end)
    if as_json:
        output = RegistryOutput(n_examinations=n, folder=str(to), since_utc=since, until_utc=end)
        typer.echo(output.model_dump_json(indent=2))
        return
    typer.echo(f"wrote {n} examinations to {to}, without identities")
