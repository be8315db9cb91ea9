"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

ConfigPath = Annotated[Path, typer.Option("--config", "-c", help="The agent's TOML file.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
