"""``bleedwatch upgrade``: the store brought to this program's version, or what that would do."""

from __future__ import annotations

import dataclasses
import json
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from agent.cli.options import AsJson, ConfigPath
from agent.config import DEFAULT_PATH, load_config
from agent.reasons import english, plain
from agent.store.upgrade import UpgradeCheck, backups_of, check
from agent.wiring import open_database


def upgrade(
    config: ConfigPath = DEFAULT_PATH,
    *,
    check_only: Annotated[
        bool, typer.Option("--check", help="Try it on a copy; the store is not touched.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Bring the store to this program's version.

    The next start of agent or console does the same. It is copied beside itself first; the
    copies of the latest three upgrades are kept. There is no way back but a copy: a program
    refuses a store that is newer than itself.

    Exit code 1: it would fail; 78: the store is newer than this program, or is no store.

    Example: bleedwatch upgrade --check
    """
    settings = load_config(config)
    checked = check(settings.store_path)
    if not check_only and checked.statements and checked.problem is None:
        with open_database(settings):
            pass
    if as_json:
        facts = dataclasses.asdict(checked) | {
            "problem": plain(checked.problem) if checked.problem else None,
            "backups": [str(path) for path in backups_of(settings.store_path)],
        }
        typer.echo(json.dumps(facts, indent=2))
    else:
        _print(checked, done=not check_only)
        for path in backups_of(settings.store_path):
            Console(soft_wrap=True).print(f"copy of before an upgrade: {path}", markup=False)
    raise typer.Exit(1 if checked.problem else 0)


def _print(checked: UpgradeCheck, *, done: bool) -> None:
    out = Console(highlight=False, soft_wrap=True)
    if checked.version is None:
        out.print("there is no store yet; the agent's first start makes one")
        return
    out.print(
        f"store: version {checked.version}, {checked.store_bytes / 1e6:.1f} MB; "
        f"this program: version {checked.program_version}; "
        f"{checked.free_bytes / 1e6:.0f} MB are free for a copy"
    )
    for statement in checked.statements:
        out.print(f"  {' '.join(statement.split())}", markup=False)
    if checked.problem:
        out.print(f"[bold red]✗[/] it would fail: {escape(english(checked.problem))}")
    elif not checked.statements:
        out.print("[green]✓[/] nothing is to be done; the store is whole")
    elif done:
        out.print("[green]✓[/] upgraded")
    else:
        out.print("[green]✓[/] it succeeds on a copy; the store is as it was")
