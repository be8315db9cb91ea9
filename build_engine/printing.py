"""How the builder's commands print: for a person, or as JSON."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.console import Console

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def print_json(value: object) -> None:
    """Print a value as JSON; what JSON has no word for as text."""
    typer.echo(json.dumps(value, indent=2, default=str))


def out(*, stderr: bool = False) -> Console:
    """Return where to print to for a person."""
    return Console(stderr=stderr, highlight=False, soft_wrap=True)
