"""``bleedwatch model``: train, export and evaluate the networks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

from build_engine.judge.cli import evaluate

model = typer.Typer(help="Train, export and evaluate the networks.", no_args_is_help=True)

RealData = Annotated[
    Path | None,
    typer.Option("--data", help="Folder of real heads, with phe_sich/ and ct_ich/ in it."),
]
Work = Annotated[Path, typer.Option(help="Folder for cases and weights; kept between runs.")]
Config = Annotated[
    Path, typer.Argument(help="Training TOML, such as build_engine/train/default.toml.")
]


@model.command()
def train(config: Config, work: Work, data: RealData = None) -> None:
    """Train both networks (needs the `train` extra); a run that was stopped goes on.

    Example: bleedwatch model train build_engine/train/default.toml --work /scratch/training
    """
    from build_engine.train.config import load_config  # noqa: PLC0415 - torch is optional
    from build_engine.train.gather import real_data  # noqa: PLC0415
    from build_engine.train.run import train as run  # noqa: PLC0415

    chosen = load_config(config)
    with Progress(
        "[progress.description]{task.description}",
        BarColumn(),
        MofNCompleteColumn(),
        "loss {task.fields[loss]:.3f}",
        TimeRemainingColumn(),
    ) as progress:
        bars = {
            name: progress.add_task(name, total=stage.steps, loss=float("nan"))
            for name, stage in (("slices", chosen.slices), ("volume", chosen.volume))
        }

        def report(name: str, step: int, total: int, loss: float) -> None:
            progress.update(bars[name], completed=step, total=total, loss=loss)

        run(chosen, None if data is None else real_data(data), work, report)
    Console().print(f"weights and curves are in {work}; write a bundle with `model export`")


@model.command()
def export(
    config: Config,
    work: Work,
    to: Annotated[Path, typer.Option(help="Folder of bundles.")] = Path("engines"),
    data: RealData = None,
) -> None:
    """Write trained networks as a bundle, choosing its operating point (`train` extra).

    Example: bleedwatch model export build_engine/train/default.toml --work /scratch/training
    """
    from build_engine.train.config import load_config  # noqa: PLC0415
    from build_engine.train.gather import real_data  # noqa: PLC0415
    from build_engine.train.run import export as run  # noqa: PLC0415

    Console().print(
        f"wrote {run(load_config(config), None if data is None else real_data(data), work, to)}"
    )


model.command()(evaluate)
