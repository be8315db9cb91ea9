"""How the builder's commands print: for a person, as JSON, or as a plot."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console
from rich.table import Table

from agent.errors import ConfigError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Png = Annotated[
    Path | None, typer.Option("--png", dir_okay=False, help="PNG file for a plot of it.")
]

COLOURS: Final = (
    "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "0.6",
)  # fmt: skip
"""Told apart by the colour-blind too. Source: Okabe and Ito, Color Universal Design, 2008."""


def print_json(value: object) -> None:
    """Print a value as JSON; what JSON has no word for as text."""
    typer.echo(json.dumps(value, indent=2, default=str))


def out(*, stderr: bool = False) -> Console:
    """Return where to print to for a person."""
    return Console(stderr=stderr, highlight=False, soft_wrap=True)


def table(*words: str, numbers: Sequence[str]) -> Table:
    """Begin a table: columns of words, then columns of numbers."""
    begun = Table(box=None, pad_edge=False, header_style="bold")
    for column in words:
        begun.add_column(column, no_wrap=True)
    for column in numbers:
        begun.add_column(column, justify="right")
    return begun


@dataclass(frozen=True, slots=True)
class Plot:
    """A PNG file that is to be."""

    path: Path

    def save(self, figure: Figure) -> None:
        """Write the figure; ConfigError if that cannot be done."""
        try:
            figure.savefig(self.path, dpi=120)
        except OSError as error:
            raise ConfigError(
                "output_unwritable", path=str(self.path), why=str(error.strerror)
            ) from error


def to_plot(png: Path | None) -> Plot | None:
    """Make sure, before anything is measured, that it can be plotted; None if it need not be.

    Raises
    ------
    ConfigError
        matplotlib is not installed, or the file's folder is not there.
    """
    if png is None:
        return None
    try:
        import matplotlib  # noqa: ICN001, F401, PLC0415 - of an extra
    except ImportError as error:
        raise ConfigError("matplotlib_missing", why=str(error)) from error
    if not png.absolute().parent.is_dir():
        raise ConfigError("picture_folder_missing", path=str(png))
    return Plot(png)


def blank(n_wide: int, width_each: float = 6.0) -> tuple[Figure, Sequence[Axes]]:
    """Begin a figure of so many plots beside one another [inches]."""
    from matplotlib.figure import Figure as New  # noqa: PLC0415 - of an extra

    figure = New(figsize=(width_each * n_wide, 3.8), layout="constrained")
    return figure, list(figure.subplots(1, n_wide, squeeze=False)[0])
