"""``bleedwatch model``: train, export and evaluate the networks."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from build_engine.train.evaluate import StudyResult

model = typer.Typer(help="Train, export and evaluate the networks.", no_args_is_help=True)

RealData = Annotated[
    Path | None,
    typer.Option("--data", help="Folder of PHE-SICH-CT-IDS: NNNN_ct.nii.gz, boxes.json …"),
]
Work = Annotated[Path, typer.Option(help="Folder for cases and weights; kept between runs.")]
Config = Annotated[
    Path, typer.Argument(help="Training TOML, such as build_engine/train/default.toml.")
]


@model.command()
def train(config: Config, work: Work, data: RealData = None) -> None:
    """Train both networks (needs the ``train`` extra)."""
    from build_engine.train.config import load_config  # noqa: PLC0415 - torch is optional
    from build_engine.train.run import train as run  # noqa: PLC0415

    run(load_config(config), data, work, Console().print)


@model.command()
def export(
    config: Config,
    work: Work,
    to: Annotated[Path, typer.Option(help="Folder of bundles.")] = Path("engines"),
    data: RealData = None,
) -> None:
    """Write trained networks as a bundle, choosing its operating point (``train`` extra)."""
    from build_engine.train.config import load_config  # noqa: PLC0415
    from build_engine.train.run import export as run  # noqa: PLC0415

    Console().print(f"wrote {run(load_config(config), data, work, to)}")


@model.command()
def evaluate(
    bundle: Annotated[Path, typer.Argument(help="Bundle folder, such as engines/default/0.1.0.")],
    *,
    set_name: Annotated[str, typer.Option("--set", help="generated or phe_sich.")] = "generated",
    data: RealData = None,
    heads: Annotated[int, typer.Option(help="How many generated heads.")] = 60,
    point: Annotated[str, typer.Option(help="Operating point.")] = "balanced",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Evaluate a bundle on generated heads, or on the 15 real patients never trained on."""
    from agent.infer.bundle import load_bundle  # noqa: PLC0415 - keeps --help quick
    from build_engine.train.evaluate import summary  # noqa: PLC0415

    threshold = load_bundle(bundle).operating_point(point).score
    rows = summary(_results(bundle, set_name, data, heads), threshold)
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    table = Table(title=f"{bundle} on {set_name}, score ≥ {threshold}")
    table.add_column("measure")
    table.add_column("value")
    for name, value in rows.items():
        table.add_row(name, value)
    Console().print(table)


def _results(bundle: Path, set_name: str, data: Path | None, heads: int) -> list[StudyResult]:
    from agent.infer.bundle import load_bundle  # noqa: PLC0415
    from agent.infer.onnx_backend import OnnxBackend  # noqa: PLC0415
    from build_engine.train import evaluate as sets  # noqa: PLC0415
    from build_engine.train.data import held_out_patients  # noqa: PLC0415

    loaded = load_bundle(bundle)
    backend = OnnxBackend(loaded, threads=os.cpu_count() or 1)
    if set_name == "generated":
        seeds = range(sets.FIRST_TEST_SEED, sets.FIRST_TEST_SEED + heads)
        return list(sets.generated_results(seeds, loaded, backend))
    if set_name != "phe_sich" or data is None:
        raise typer.BadParameter("--set is generated, or phe_sich with --data")
    _, patients = held_out_patients(data)
    return [
        *sets.real_results(data, patients, loaded, backend),
        *sets.real_negative_results(data, patients, loaded, backend),
    ]
