"""Commands that run the agent and the console, and show their configuration."""

from __future__ import annotations

import json
import os
import sys
import threading

import typer
from rich.console import Console

from agent import daemon
from agent.cli.options import AsJson, ConfigPath
from agent.config import DEFAULT_PATH, load_config
from agent.console import serve
from agent.log import open_log
from agent.notify import Supervisor
from agent.wiring import boot_id, open_store, system_clock

config_app = typer.Typer(help="The configuration: what it is, and whether it can be used.")


def run(config: ConfigPath = DEFAULT_PATH) -> None:
    """Watch the export folder and analyse what comes, until told to stop.

    Example: bleedwatch run --config /etc/bleedwatch/agent.toml
    """
    stop = threading.Event()
    supervisor = Supervisor(os.environ.get("NOTIFY_SOCKET"))
    with daemon.stop_on_signals(stop):
        daemon.run(load_config(config), open_log(json=not sys.stderr.isatty()), stop, supervisor)


def console(config: ConfigPath = DEFAULT_PATH) -> None:
    """Serve the technologist's page. A process of its own: it stays up without the agent.

    Example: bleedwatch console --config /etc/bleedwatch/agent.toml
    """
    settings = load_config(config)
    with open_store(settings) as store:
        address = settings.console.host, settings.console.port
        serve(store, system_clock, boot_id(), address)


@config_app.command("show")
def config_show(config: ConfigPath = DEFAULT_PATH) -> None:
    """Print the configuration in force, defaults and environment included, as JSON."""
    settings = load_config(config)
    Console(soft_wrap=True).print_json(settings.model_dump_json())


@config_app.command("check")
def config_check(config: ConfigPath = DEFAULT_PATH, *, as_json: AsJson = False) -> None:
    """Check the configuration, and that what it names is there. Exit code 1 if something is not."""
    settings = load_config(config)
    missing = {
        name: str(path)
        for name, path in (
            ("export_folder", settings.export_folder),
            ("bundle", settings.bundle_folder),
            ("protocols", settings.protocols_folder),
        )
        if not path.is_dir()
    }
    out = Console(soft_wrap=True, highlight=False)
    if as_json:
        out.print_json(json.dumps({"missing": missing}))
    else:
        for name, path in missing.items():
            out.print(f"{name}: {path} is not a folder", markup=False)
        if not missing:
            out.print(f"{config}: good", markup=False)
    raise typer.Exit(1 if missing else 0)
