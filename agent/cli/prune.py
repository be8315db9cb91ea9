"""``bleedwatch prune``: delete now what retention would delete."""

from __future__ import annotations

import dataclasses
import json
from typing import Annotated

import typer
from rich.console import Console

from agent.cli.options import AsJson, ConfigPath
from agent.config import DEFAULT_PATH, load_config
from agent.store.agent_store import AgentStore
from agent.store.database import Database
from agent.wiring import system_clock


def prune(
    config: ConfigPath = DEFAULT_PATH,
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be forgotten; forget nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Forget the series that the store keeps no longer.

    The configuration says how long, and how much (`store.keep_…`). The running agent does the
    same, a little every minute. Never forgotten: what is under way, undelivered, or a suspicion
    that is not acknowledged. The freed space is used again by the store; its file does not
    shrink.

    Example: bleedwatch prune --dry-run
    """
    settings = load_config(config)
    keep = settings.store.keep
    with Database.existing(settings.store_path) as database:
        store = AgentStore(database, system_clock)
        estimate = store.queries.forgettable(keep, system_clock().utc)
        forgotten = 0
        while not dry_run and (some := store.forget(keep)):
            forgotten += some
    if as_json:
        facts = dataclasses.asdict(estimate) | {"forgotten": forgotten}
        typer.echo(json.dumps(facts, indent=2))
        return
    out = Console(highlight=False, soft_wrap=True)
    out.print(f"kept are {keep.days:g} days and {keep.bytes / 2**20:.0f} MiB")
    out.print(f"in the store: {estimate.n_series} series, {estimate.used_bytes / 1e6:.1f} MB")
    if dry_run:
        about = f"about {estimate.forgettable_bytes / 1e6:.1f} MB"
        out.print(f"would be forgotten: {estimate.n_forgettable} series, {about}")
    else:
        out.print(f"forgotten: {forgotten} series")
