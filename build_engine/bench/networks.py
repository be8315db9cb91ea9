"""``bleedwatch bench networks``: what a bundle's networks, and the head generator, cost here."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final

import numpy as np
import typer

from agent.config import PACKAGED_ENGINES, InferConfig
from agent.infer.bundle import load_bundle
from agent.infer.onnx_backend import OnnxBackend
from agent.records import Subtype
from build_engine.heads.processes import head_makers
from build_engine.printing import AsJson, out, print_json, table
from build_engine.synth.head import HeadRecipe, make_head

WARM_UPS: Final = 2
USUAL_KJI_MM: Final = (5.0, 1.0, 1.0)
"""A usual scan's slices, at the slice network's pixels."""

SHIPPED: Final = PACKAGED_ENGINES / InferConfig().bundle


def networks(
    bundle: Annotated[
        Path, typer.Argument(help="Bundle folder. Left out, the shipped one.")
    ] = SHIPPED,
    *,
    threads: Annotated[int, typer.Option(help="CPU threads of the networks.", min=1)] = 2,
    runs: Annotated[int, typer.Option(help="How often each is measured.", min=1)] = 15,
    as_json: AsJson = False,
) -> None:
    """Time the slice network, the volume network and the head generator (on one core).

    Heads are generated as for training, on the volume network's grid and on a usual scan's.

    Example: bleedwatch bench networks --threads 4
    """
    loaded = load_bundle(bundle)
    backend = OnnxBackend(loaded, threads=threads)
    slabs = np.random.default_rng(0).random(loaded.contract.slices.shape, dtype=np.float32)
    block = np.zeros(loaded.contract.volume.shape, dtype=np.float32)
    timed_s = {
        "slice network, a slab": _median_s(lambda _: list(backend.run_slices([slabs])), runs)
        * loaded.contract.reading.runs_per_slab
        / loaded.contract.slices.batch,
        "volume network, a head": _median_s(lambda _: backend.run_volume(block), runs),
    }
    with head_makers(1) as maker:
        for grid_mm in (loaded.contract.volume.voxel_kji_mm, USUAL_KJI_MM):
            name = f"generator, a head at {' x '.join(f'{step:g}' for step in grid_mm)} mm"
            timed_s[name] = maker.submit(_seconds_a_head, grid_mm, runs).result()
    if as_json:
        print_json(timed_s)
        return
    timed = table("Of", numbers=("Takes", "Throughput"))
    for name, seconds in timed_s.items():
        timed.add_row(name, f"{1000 * seconds:.1f} ms", f"{1 / seconds:.1f} /s")
    out().print(f"{loaded.contract.name}, {threads} threads, medians of {runs} runs")
    out().print(timed)


def _seconds_a_head(grid_kji_mm: tuple[float, float, float], runs: int) -> float:
    kinds = (None, *Subtype)
    return _median_s(lambda n: make_head(HeadRecipe(n, kinds[n % len(kinds)]), grid_kji_mm), runs)


def _median_s(work: Callable[[int], object], runs: int) -> float:
    taken_s = []
    for run in range(WARM_UPS + runs):
        started_s = time.perf_counter()
        work(run)
        taken_s.append(time.perf_counter() - started_s)
    return statistics.median(taken_s[WARM_UPS:])
