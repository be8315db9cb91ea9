"""The ``bleedwatch`` program: thin commands over the rooms that do the work."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.metadata import entry_points

import typer
from rich.console import Console
from rich.markup import escape

from agent.cli.config import config_app
from agent.cli.doctor import doctor
from agent.cli.read_store import show, status, studies
from agent.cli.replay import replay
from agent.cli.selftest import selftest
from agent.cli.serve import console, run
from agent.cli.service import service_app
from agent.errors import AgentError, BundleError, ConfigError, StoreError

EXIT_CONFIG = 78
"""sysexits' EX_CONFIG: systemd is told not to restart on it."""

COMMAND_GROUP = "bleedwatch.commands"
"""Entry points by which other packages add commands: functions, or Typer programs of several."""


def build_app() -> typer.Typer:
    """Put the program together from the agent's commands and those that other packages add."""
    app = typer.Typer(
        name="bleedwatch",
        help="Watches a CT scanner's export folder and alerts to suspected intracranial "
        "hemorrhage. Not a medical device.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
    )
    for command in (run, console, doctor, selftest, status, studies, show, replay):
        app.command()(command)
    app.add_typer(config_app, name="config")
    app.add_typer(service_app, name="service")
    for entry in sorted(entry_points(group=COMMAND_GROUP), key=lambda entry: entry.name):
        try:
            added = entry.load()
        except (ImportError, AttributeError) as error:
            added = _unavailable(entry.name, error)
        if isinstance(added, typer.Typer):
            app.add_typer(added, name=entry.name)
        else:
            app.command(entry.name)(added)
    return app


def _unavailable(name: str, error: Exception) -> Callable[[], None]:
    """Stand in for a command that cannot be loaded: the agent must start without it."""

    def command() -> None:
        raise ConfigError(f"{name}: {error}", hint="install Bleedwatch again") from error

    command.__doc__ = f"Not available: {error}."
    return command


def main() -> None:
    """Run the program; a failure that has a name is two lines on stderr, not a traceback."""
    try:
        build_app()()
    except AgentError as error:
        stderr = Console(stderr=True, highlight=False, soft_wrap=True)
        stderr.print(f"[bold red]bleedwatch:[/] {escape(str(error))}")
        if error.hint:
            stderr.print(f"  → {error.hint}", markup=False)
        configuration = isinstance(error, ConfigError | StoreError | BundleError)
        sys.exit(EXIT_CONFIG if configuration else 1)
