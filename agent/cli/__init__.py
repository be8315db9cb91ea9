"""The ``bleedwatch`` program: thin commands over the rooms that do the work."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Final

import typer
from rich.console import Console
from rich.markup import escape

from agent.cli.config import config_app
from agent.cli.doctor import doctor
from agent.cli.export import export
from agent.cli.feedback import feedback
from agent.cli.prune import prune
from agent.cli.replay import replay
from agent.cli.requeue import requeue
from agent.cli.selftest import selftest
from agent.cli.serve import console, run
from agent.cli.service import service_app
from agent.cli.show import show
from agent.cli.status import status
from agent.cli.studies import studies
from agent.cli.support_bundle import support_bundle
from agent.cli.upgrade import upgrade
from agent.cli.user import user_app
from agent.errors import AgentError, BundleError, ConfigError, StoreError

EXIT_CONFIG = 78
"""sysexits' EX_CONFIG: systemd is told not to restart on it."""

COMMAND_GROUP = "bleedwatch.commands"
"""Entry points by which other packages add commands: functions, or Typer programs of several."""

SEE: Final = "See what is going on"
SERVICE: Final = "Service"
BY_HAND: Final = "Run by hand"
MODEL: Final = "Model and engines"
MEASURE: Final = "Measure"

PANELS: Final = {
    SEE: (status, studies, show, feedback, doctor),
    SERVICE: (selftest, upgrade, prune, support_bundle),
    BY_HAND: (requeue, export, replay, run, console),
}

PANEL_OF_ADDED: Final = {
    "demo": BY_HAND,
    "simulate": BY_HAND,
    "engine": MODEL,
    "model": MODEL,
    "protocol": MODEL,
    "bench": MEASURE,
}
"""Where the builder's commands stand in the help, and in which order."""

EXIT_CODES: Final = (
    "Exit code 0: done, and well. 1: something is wrong, or it cannot be done. 2: the command line "
    "is not understood. 78: the configuration, the store or the bundle cannot be used."
)


def build_app() -> typer.Typer:
    """Put the program together from the agent's commands and those that other packages add."""
    app = typer.Typer(
        name="bleedwatch",
        help="Watches a CT scanner's export folder and alerts to suspected intracranial "
        "hemorrhage. Not a medical device.",
        epilog="Every command has --help, with an example. " + EXIT_CODES,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="markdown",
    )
    for panel, commands in PANELS.items():
        for command in commands:
            app.command(rich_help_panel=panel)(command)
    app.add_typer(config_app, name="config", rich_help_panel=SERVICE)
    app.add_typer(service_app, name="service", rich_help_panel=SERVICE)
    app.add_typer(user_app, name="user", rich_help_panel=SERVICE)
    places = {name: place for place, name in enumerate(PANEL_OF_ADDED)}
    entries = entry_points(group=COMMAND_GROUP)
    for entry in sorted(entries, key=lambda entry: places.get(entry.name, len(places))):
        panel = PANEL_OF_ADDED.get(entry.name, "Others")
        try:
            added = entry.load()
        except (ImportError, AttributeError) as error:
            added = _unavailable(entry.name, error)
        if isinstance(added, typer.Typer):
            app.add_typer(added, name=entry.name, rich_help_panel=panel)
        else:
            app.command(entry.name, rich_help_panel=panel)(added)
    _tell_exit_codes(app)
    return app


def _tell_exit_codes(app: typer.Typer) -> None:
    """Say below each command's help how it ends: all end alike."""
    for command in app.registered_commands:
        command.epilog = EXIT_CODES
    for group in app.registered_groups:
        if group.typer_instance:
            _tell_exit_codes(group.typer_instance)


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
