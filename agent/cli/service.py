"""``bleedwatch service``: install and remove agent and console as services of systemd."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from agent.cli.options import AsJson
from agent.service import (
    Step,
    carry_out,
    commands_after_install,
    install_steps,
    this_program,
    uninstall_steps,
)

service_app = typer.Typer(help="Agent and console as services of systemd.", no_args_is_help=True)

DryRun = Annotated[bool, typer.Option("--dry-run", help="Show every file, and write none.")]
Root = Annotated[
    Path, typer.Option("--root", file_okay=False, help="Below this folder, as for an image.")
]


@service_app.command()
def install(
    root: Root = Path("/"),
    *,
    program: Annotated[
        Path | None,
        typer.Option("--program", help="`bleedwatch` as the services will find it: this one."),
    ] = None,
    server: Annotated[
        bool,
        typer.Option("--server", help="Open the agent's unit to infer.server, and to it alone."),
    ] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Write units, account and configuration; a configuration that is there stays as it is.

    Calling it again is no harm: it writes what differs. Nothing is started; the commands that do
    are printed.

    Example: sudo bleedwatch service install --dry-run
    """
    steps = install_steps(root.absolute(), program or this_program(), server=server)
    if not dry_run:
        carry_out(steps)
    _print(steps, commands_after_install(root.absolute()), dry_run=dry_run, as_json=as_json)


@service_app.command()
def uninstall(root: Root = Path("/"), *, dry_run: DryRun = False, as_json: AsJson = False) -> None:
    """Remove what `install` wrote; a changed configuration, the store and the account stay.

    Example: sudo bleedwatch service uninstall
    """
    steps = uninstall_steps(root.absolute())
    if not dry_run:
        carry_out(steps)
    after = ("systemctl daemon-reload",) if root.absolute() == Path("/") else ()
    _print(steps, after, dry_run=dry_run, as_json=as_json)


def _print(
    steps: tuple[Step, ...], after: tuple[str, ...], *, dry_run: bool, as_json: bool
) -> None:
    out = Console(highlight=False, soft_wrap=True)
    if as_json:
        files = [{"do": s.action.value, "path": str(s.path), "why": s.why} for s in steps]
        out.print_json(json.dumps({"dry_run": dry_run, "files": files, "next": after}))
        return
    for step in steps:
        out.print(f"{step.action.value:<8} {step.path}  ({step.why})", markup=False)
    if not steps:
        out.print("there is nothing to do")
    if dry_run:
        out.print("nothing was written: --dry-run")
    elif after:
        out.print("next, as root:", *(f"  {command}" for command in after), sep="\n", markup=False)
