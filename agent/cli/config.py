"""``bleedwatch config``: what is set, where it comes from, and whether it can be used."""

from __future__ import annotations

import dataclasses
import json

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from agent.cli.options import AsJson, ConfigPath
from agent.config import DEFAULT_PATH, Setting, load_config, load_settings
from agent.wiring import system_clock

config_app = typer.Typer(
    help="The configuration: what is set, where, and can it be used.",
    no_args_is_help=True,
)


@config_app.command()
def show(config: ConfigPath = DEFAULT_PATH, *, as_json: AsJson = False) -> None:
    """Print every setting in force, and where it comes from: file, environment or default.

    Example: bleedwatch config show
    """
    if as_json:
        _out().print_json(load_config(config).model_dump_json())
        return
    _out().print(_table(load_settings(config), with_default=False))


@config_app.command()
def diff(config: ConfigPath = DEFAULT_PATH, *, as_json: AsJson = False) -> None:
    """Print the settings that are not at their default, and where they come from.

    Example: bleedwatch config diff
    """
    changed = [one for one in load_settings(config) if one.value != one.default]
    if as_json:
        _out().print_json(json.dumps(list(map(dataclasses.asdict, changed))))
        return
    _out().print(_table(changed, with_default=True))


@config_app.command()
def check(config: ConfigPath = DEFAULT_PATH, *, as_json: AsJson = False) -> None:
    """Check the configuration, and that what it names is there. Exit code 1 if something is not.

    A key that is unknown or has no usable value, or a page that would not be served, is exit code
    78. `bleedwatch doctor` checks more.

    Example: bleedwatch config check
    """
    settings = load_config(config)
    settings.console.address.checked_certificate(system_clock())
    missing = {
        name: str(path)
        for name, path in (
            ("export_folder", settings.export_folder),
            ("bundle", settings.bundle_folder),
            ("protocols", settings.protocols_folder),
        )
        if not path.is_dir()
    }
    if as_json:
        _out().print_json(json.dumps({"missing": missing}))
    else:
        for name, path in missing.items():
            _out().print(f"{name}: {path} is not a folder", markup=False)
        if not missing:
            _out().print(f"{config}: good", markup=False)
    raise typer.Exit(1 if missing else 0)


def _table(settings: list[Setting] | tuple[Setting, ...], *, with_default: bool) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("Setting", "Value", *(["Default"] if with_default else []), "From"):
        table.add_column(column, overflow="fold")
    for one in settings:
        cells = [one.name, _text(one.value), one.origin]
        if with_default:
            cells.insert(2, _text(one.default))
        table.add_row(*map(escape, cells))
    return table


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _out() -> Console:
    return Console(soft_wrap=True, highlight=False)
