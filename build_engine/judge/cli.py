"""``bleedwatch model evaluate``: what a bundle makes of heads whose truth is known."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table as RichTable

if TYPE_CHECKING:
    from agent.infer.bundle import Bundle
    from build_engine.heads.known import KnownHead
    from build_engine.judge.tables import Table


def evaluate(  # noqa: PLR0913 - a command's parameters are its options
    bundle: Annotated[Path, typer.Argument(help="Bundle folder, such as engines/default/2.0.0.")],
    *,
    sets: Annotated[
        list[str],
        typer.Option(
            "--set",
            help="generated, or phe_sich=FOLDER (its 15 held-out patients), laid_in=FOLDER (these "
            "patients' box-free parts with bleeds laid in), ct_ich=FOLDER (its 11 held-out "
            "patients) or bleed_free=FOLDER (DICOM).",
        ),
    ] = ["generated"],  # noqa: B006 - typer copies it
    heads: Annotated[int, typer.Option(help="How many generated heads.")] = 60,
    point: Annotated[str, typer.Option(help="Operating point.")] = "balanced",
    peer: Annotated[
        Path | None,
        typer.Option(help="BLAST-CT's weights, to run beside phe_sich: some 10 minutes a head."),
    ] = None,
    to: Annotated[
        Path | None, typer.Option(help="Folder for the model card: Markdown, JSON and PNG.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Evaluate a bundle on heads whose truth is known.

    Example: bleedwatch model evaluate engines/default/2.0.0 --heads 200 --to card
    """
    from agent.infer.bundle import load_bundle  # noqa: PLC0415 - keeps --help quick
    from agent.infer.onnx_backend import OnnxBackend  # noqa: PLC0415
    from build_engine.judge.evaluate import results  # noqa: PLC0415
    from build_engine.judge.tables import Judgement, slice_table, tables  # noqa: PLC0415

    loaded = load_bundle(bundle)
    backend = OnnxBackend(loaded, threads=os.cpu_count() or 1)
    judgement = Judgement(
        loaded.contract.operating_point(point).score,
        loaded.contract.interval,
        loaded.contract.certainty,
    )
    printed: dict[str, list[Table]] = {}
    for name, known in [(one.partition("=")[0], _heads(one, heads, loaded)) for one in sets]:
        judged = list(results(known, loaded.contract, backend))
        printed[name] = tables(judged, judgement)
        if peer is not None and name == "phe_sich":
            from build_engine.judge.compare import peer_results  # noqa: PLC0415 - needs torch

            theirs = list(peer_results((result.known for result in judged), peer))
            printed[name].append(slice_table({"Bleedwatch": judged, "BLAST-CT": theirs}))
        if to is not None:
            from build_engine.judge.card import write_card  # noqa: PLC0415 - of the train extra

            write_card(to, name, (printed[name], judged), judgement)
    if as_json:
        typer.echo(json.dumps({name: list(map(asdict, some)) for name, some in printed.items()}))
        return
    for name, some in printed.items():
        Console().rule(f"{bundle} on {name}")
        for table in some:
            _print(table)


def _heads(chosen: str, count: int, bundle: Bundle) -> Iterator[KnownHead]:
    from build_engine.heads import known as heads  # noqa: PLC0415

    name, _, folder = chosen.partition("=")
    if name == "generated" and not folder:
        return heads.generated_heads(count)
    in_folder: dict[str, Callable[[Path], Iterator[KnownHead]]] = {
        "phe_sich": heads.held_out_heads,
        "laid_in": partial(heads.laid_in_heads, contract=bundle.contract.slices),
        "ct_ich": heads.held_out_trauma_heads,
        "bleed_free": heads.bleed_free_heads,
    }
    if not folder or name not in in_folder:
        names = "=FOLDER, ".join(in_folder)
        raise typer.BadParameter(f"{chosen}: name generated, {names}=FOLDER", param_hint="--set")
    if not Path(folder).is_dir():
        raise typer.BadParameter(f"{folder} is not a folder", param_hint="--set")
    return in_folder[name](Path(folder))


def _print(table: Table) -> None:
    drawn = RichTable(*table.columns, title=table.title, title_justify="left")
    for row in table.rows:
        drawn.add_row(*row)
    Console().print(drawn)
