"""``engine bench``: what both networks take on this card, and how near that is to its limit."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.table import Table

from agent.config import DEFAULT_PATH, load_config
from agent.infer.plan import Precision
from build_engine.compile.plans import TIMINGS
from build_engine.compile.site import ConfigPath, site_of, taken_gpu
from build_engine.compile.timing_cache import TimingCache
from build_engine.printing import AsJson, out, print_json, table

if TYPE_CHECKING:
    from build_engine.compile.timing import BenchRow

PRECISIONS: Final[tuple[Precision, ...]] = ("fp32", "fp16")


def bench(
    config: ConfigPath = DEFAULT_PATH,
    *,
    bundle: Annotated[
        str | None, typer.Option(help="name/version; left out, the one in use.")
    ] = None,
    precision: Annotated[Precision | None, typer.Option(help="Left out, each.")] = None,
    batch: Annotated[
        list[int], typer.Option(help="Slabs at once; may be given several times.", min=1)
    ] = [1, 4, 8, 16],  # noqa: B006 - typer copies it
    to: Annotated[Path | None, typer.Option(help="PNG file for a plot.")] = None,
    as_json: AsJson = False,
) -> None:
    """Compile and time both networks; nothing is kept but TensorRT's timings.

    Latency is from host memory to host memory, throughput with two lanes in turn. The share of the
    card's limit is what its arithmetic or its memory would need at least, by what takes longer.

    Example: bleedwatch engine bench --batch 8 --precision fp16 --to bench.png
    """
    settings = load_config(config)
    with taken_gpu(settings) as gpu, out(stderr=True).status("compiling and timing …"):
        from build_engine.compile.timing import RUNS, Bencher  # noqa: PLC0415 - of the gpu extra

        site, machine = site_of(settings, gpu, bundle), gpu.machine
        bencher = Bencher(site.bundle, gpu, TimingCache(site.plans_folder / TIMINGS, site.key))
        rows = list(bencher.rows((precision,) if precision else PRECISIONS, tuple(batch)))
    if to is not None:
        _plot(rows, to, machine.gpu)
    if as_json:
        print_json({"machine": machine.model_dump(), "rows": list(map(asdict, rows))})
    else:
        out().print(f"{machine.gpu}, TensorRT {machine.tensorrt}, medians of {RUNS} runs")
        out().print(_table(rows))


def _table(rows: list[BenchRow]) -> Table:
    timed = table(
        "Network", "Precision", numbers=("Batch", "Latency", "Throughput", "Of the limit")
    )
    for row in rows:
        timed.add_row(
            row.network,
            row.precision,
            str(row.batch),
            f"{row.latency_ms:.2f} ms",
            f"{row.per_s:.0f} /s",
            f"{row.share:.0%}" if row.share is not None else "not known",
        )
    return timed


def _plot(rows: list[BenchRow], path: Path, title: str) -> None:
    from matplotlib.figure import Figure  # noqa: PLC0415 - takes a second to load

    figure = Figure(figsize=(8, 3.4), layout="constrained")
    latency, throughput = figure.subplots(1, 2)
    for precision in dict.fromkeys(row.precision for row in rows):
        some = [row for row in rows if (row.network, row.precision) == ("slice", precision)]
        batches = [row.batch for row in some]
        latency.plot(batches, [row.latency_ms for row in some], "o-", label=f"slice, {precision}")
        throughput.plot(batches, [row.per_s for row in some], "o-", label=f"slice, {precision}")
    for row in rows:
        if row.network == "volume":
            label = f"volume, {row.precision}"
            latency.axhline(row.latency_ms, ls=":", color="0.4")
            latency.text(1, row.latency_ms, label, va="bottom", fontsize="small")
    latency.set(xlabel="slabs at once", ylabel="latency [ms]", ylim=(0, None), title=title)
    throughput.set(xlabel="slabs at once", ylabel="slabs a second", ylim=(0, None))
    throughput.legend()
    figure.savefig(path, dpi=120)
