"""The ``bleedwatch`` program: thin commands over the packages that do the work."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable
from importlib.metadata import entry_points, version
from typing import Annotated, Final

import typer

from agent.cli.completion import completed
from agent.errors import AgentError, BundleError, ConfigError, RequestRefused, StoreError

EXIT_CONFIG = 78
"""EX_CONFIG of sysexits.h; RestartPreventExitStatus= keeps systemd from restarting on it."""

COMMAND_GROUP = "bleedwatch.commands"
"""The group of entry points that are the commands: functions or Typer apps (pyproject.toml)."""

SEE: Final = "See what is going on"
SERVICE: Final = "Service"
BY_HAND: Final = "Run by hand"
MODEL: Final = "Model and engines"
MEASURE: Final = "Measure"

PANELS: Final = {
    SEE: ("status", "studies", "show", "files", "feedback", "registry", "doctor"),
    SERVICE: (
        "selftest",
        "upgrade",
        "prune",
        "support-bundle",
        "deliver",
        "config",
        "service",
        "user",
        "schema",
    ),
    BY_HAND: ("requeue", "export", "replay", "read", "run", "console", "inlet", "demo", "simulate"),
    MODEL: ("engine", "model", "protocol"),
    MEASURE: ("bench",),
}
"""The panels of the help, and the order of commands in each."""

OTHERS: Final = "Others"

PROGRAM: Final = "bleedwatch"
VERSION: Final = "--version"

COMPLETION, IN_BASH = "_BLEEDWATCH_COMPLETE", "complete_bash"
"""The variable by which a shell asks what it can complete, and what bash sets it to: bash shows
names alone, others, whom Typer answers, their help too."""

EXIT_CODES: Final = (
    "Exit code 0: done, and well. 1: something is wrong, or it cannot be done. 2: the command line "
    "is not understood. 78: the configuration, the store or the bundle cannot be used."
)


def build_app(asked: str | None = None) -> typer.Typer:
    """Put the program together: of the command asked for alone if it is one, else of all.

    Loading them all takes a second, most of it for what a single command does not need; where it is
    the version that is asked for, none is loaded.
    """
    app = typer.Typer(
        name=PROGRAM,
        help="Watches a CT scanner's export folder and alerts to suspected intracranial "
        "hemorrhage. Not a medical device.",
        epilog="Every command has --help, with an example. " + EXIT_CODES,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="markdown",
    )
    app.callback()(_program)
    places = {name: panel for panel, names in PANELS.items() for name in names}
    entries = {entry.name: entry for entry in entry_points(group=COMMAND_GROUP)}
    in_order = [name for name in places if name in entries]
    others = sorted(entries.keys() - places.keys())
    wanted = [*in_order, *others] if asked != VERSION else []
    for name in [asked] if asked in entries else wanted:
        panel = places.get(name, OTHERS)
        try:
            command = entries[name].load()
        except (ImportError, AttributeError) as error:
            command = _unavailable(name, error)
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=name, rich_help_panel=panel)
        else:
            app.command(name, rich_help_panel=panel)(command)
    _tell_exit_codes(app)
    return app


def _say_version(asked: bool) -> None:  # noqa: FBT001 - Typer calls it so
    if asked:
        typer.echo(f"bleedwatch {version('bleedwatch')}")
        raise typer.Exit


def _program(
    *,
    _version: Annotated[
        bool,
        typer.Option(
            VERSION, callback=_say_version, is_eager=True, help="Say which version this is."
        ),
    ] = False,
) -> None:
    """Keep a single command's name, and answer what concerns no command."""


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
        raise ConfigError("command_unavailable", command=name, why=str(error)) from error

    command.__doc__ = f"Not available: {error}."
    return command


def program() -> None:
    """Run the program as a process of its own.

    What is loaded stays to the end: looking for garbage in it, again and again and at last when the
    process ends, took a third of a short command's time.
    """
    gc.disable()
    main(_keep)


def _keep() -> None:
    gc.freeze()
    gc.enable()


def main(loaded: Callable[[], None] = lambda: None) -> None:
    """Run the program; a failure that has a name is two lines on stderr, not a traceback.

    ``loaded`` is called when the command is, before it runs.
    """
    try:
        _run(loaded)
    except AgentError as error:
        _tell(error)
        configuration = isinstance(error, ConfigError | StoreError | BundleError)
        sys.exit(EXIT_CONFIG if configuration else 1)


def _tell(error: AgentError) -> None:
    from rich.console import Console  # noqa: PLC0415 - a TAB and --version need none of it
    from rich.markup import escape  # noqa: PLC0415

    stderr = Console(stderr=True, highlight=False, soft_wrap=True)
    stderr.print(f"[bold red]bleedwatch:[/] {escape(str(error))}")
    if error.what_to_do:
        stderr.print(f"  → {error.what_to_do}", markup=False)


def _run(loaded: Callable[[], None]) -> None:
    """Run the command; name a package that an extra of the installation would bring."""
    if os.environ.get(COMPLETION) == IN_BASH:
        typer.echo("\n".join(completed(os.environ)))
        sys.exit()
    asked = sys.argv[1] if len(sys.argv) > 1 else None
    try:
        app = build_app(asked)
        loaded()
        app(prog_name=PROGRAM)
    except ModuleNotFoundError as error:
        raise RequestRefused(
            "package_missing", command=asked or "", package=error.name or ""
        ) from error
