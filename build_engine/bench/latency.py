"""``bleedwatch bench latency``: from the last slice on disk to the alert, stage by stage."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import numpy as np
import typer
from rich.console import Console

from agent.config import PACKAGED_ENGINES, InferConfig
from agent.infer.bundle import load_bundle
from agent.infer.onnx_backend import OnnxBackend
from agent.records import Subtype
from build_engine.bench.processor import after_last_slice_ms
from build_engine.bench.setting import Folder, Runs, analysed, fresh_study, scratch_folder
from build_engine.play.console_client import Alert, ConsoleClient
from build_engine.play.local_agent import LocalAgent, local_agent
from build_engine.play.simulate import axial_files, chosen_preset, head_for, play
from build_engine.printing import COLOURS, AsJson, Png, blank, out, print_json, table, to_plot
from build_engine.synth.head import HeadRecipe, SynthHead
from build_engine.synth.presets import GE_32X5, THIN_0_625, ScannerPreset, Stretch

if TYPE_CHECKING:
    from matplotlib.figure import Figure

READY_S: Final = 60.0
ALERT_S: Final = 120.0


@dataclass(frozen=True, slots=True)
class Latency:
    """One alert, in steps that follow one another and add up to ``total_s``.

    ``complete_s`` runs from the last slice on disk to the decision that it was the last, and holds
    the few milliseconds of the store's commit too. ``waited_s`` is until the networks' thread takes
    the series: it ends the batch under way first.
    """

    complete_s: float
    waited_s: float
    evidence_s: float
    slice_network_s: float
    volume_network_s: float
    measuring_s: float
    report_s: float
    delivered_s: float
    total_s: float


@dataclass(frozen=True, slots=True)
class LatencyRow:
    """All runs of one kind of series.

    ``processor_ms`` is the processor's time after the last slice by stage, the networks taken out.
    """

    preset: str
    slices: int
    thickness_mm: float
    per_s: float
    peak_memory_mb: float
    processor_ms: dict[str, float]
    completed_by: tuple[str, ...]
    run_by: tuple[str, ...]
    runs: tuple[Latency, ...]


STEPS: Final = {
    "complete_s": "last slice on disk → found complete",
    "waited_s": "→ taken, once the slabs under way have run",
    "evidence_s": "→ whether a whole head was seen",
    "slice_network_s": "→ the slabs that are left: slice network",
    "volume_network_s": "→ volume network",
    "measuring_s": "→ measured",
    "report_s": "→ pictures and report",
    "delivered_s": "→ alert on a client",
}
TOTAL: Final = "last slice on disk → alert on a client"


def latency(  # noqa: PLR0913 - a command's parameters are its options
    *,
    preset: Annotated[
        list[str] | None, typer.Option(help="Scanner to play; left out, one thick and one thin.")
    ] = None,
    rate: Annotated[float | None, typer.Option(help="Slices per second.", min=0.1)] = None,
    slices: Annotated[int | None, typer.Option(help="Slices per series.", min=1)] = None,
    runs: Runs = 5,
    png: Png = None,
    as_json: AsJson = False,
    folder: Folder = None,
    engines: Annotated[Path, typer.Option(help="Engines folder.")] = PACKAGED_ENGINES,
    plans: Annotated[
        Path | None,
        typer.Option(
            help="Folder of an agent's plans, to measure what is in use; left out, ONNX Runtime."
        ),
    ] = None,
) -> None:
    """Measure the time from the last slice on disk to the alert on a client of the console.

    Real agent and console processes on a temporary folder, played to at a scanner's pace.

    Example: bleedwatch bench latency --preset ge-32x5 --rate 20 --runs 10 --png latency.png
    """
    plot = to_plot(png)
    shown = out(stderr=True)
    names = preset or [GE_32X5.name, THIN_0_625.name]
    rows = []
    for scanner in (_adapted(chosen_preset(name), rate, slices) for name in names):
        with shown.status(f"{scanner.name}: generating a head …"):
            head = head_for(scanner, HeadRecipe(1, Subtype.SUBDURAL))
        with scratch_folder(folder) as scratch:
            local = partial(local_agent, scratch, engines=engines, plans=plans)
            row = _latency_row(shown, (head, scanner), runs, local)
        with shown.status(f"{scanner.name}: counting processor time …"):
            rows.append(replace(row, processor_ms=_processor_ms(head, scanner, engines)))
    if plot:
        plot.save(_drawn(rows))
    if as_json:
        print_json([asdict(row) for row in rows])
        return
    for row in rows:
        _print_latency(row)


def _adapted(scanner: ScannerPreset, rate: float | None, slices: int | None) -> ScannerPreset:
    if slices:
        stretch = Stretch(slices, scanner.stretches[0].thickness_mm)
        scanner = replace(scanner, stretches=(stretch,))
    return replace(scanner, slices_per_s=rate or scanner.slices_per_s)


def _latency_row(
    shown: Console,
    scan: tuple[SynthHead, ScannerPreset],
    runs: int,
    local: Callable[[], AbstractContextManager[LocalAgent]],
) -> LatencyRow:
    """Measure one kind of series by an agent of its own; its processor time is still to come."""
    scanner = scan[1]
    with (
        local() as agent,
        ConsoleClient(agent.port, lambda _: None) as client,
        shown.status(f"{scanner.name}: playing {runs} series …"),
    ):
        agent.wait_for("agent ready", lambda s: client.well(s) or None, READY_S)
        alerts = [_one_alert(agent, client, scan) for _ in range(runs)]
        peak_memory_mb = agent.peak_memory_mb()
    return LatencyRow(
        preset=scanner.name,
        slices=len(scanner.thicknesses_mm),
        thickness_mm=scanner.thicknesses_mm[0],
        per_s=scanner.slices_per_s,
        peak_memory_mb=round(peak_memory_mb, 1),
        processor_ms={},
        completed_by=tuple(sorted({str(alert.report.completed_by) for _, alert in alerts})),
        run_by=tuple(
            sorted({alert.report.engine.words for _, alert in alerts if alert.report.engine})
        ),
        runs=tuple(_latency(last_s, alert) for last_s, alert in alerts),
    )


def _processor_ms(head: SynthHead, scanner: ScannerPreset, engines: Path) -> dict[str, float]:
    """Count what the stages take around the shipped bundle's networks."""
    bundle = load_bundle(engines / InferConfig().bundle)
    with scratch_folder(None) as folder:
        files = axial_files(head, scanner, fresh_study())
        play(folder, files, float("inf"), lambda: None)
        paths = [folder / file.name for file in files]
        backend = OnnxBackend(bundle, threads=InferConfig().threads)
        return after_last_slice_ms(paths, bundle.contract, backend)


def _one_alert(
    agent: LocalAgent, client: ConsoleClient, scan: tuple[SynthHead, ScannerPreset]
) -> tuple[float, Alert]:
    """Play one series: when its last slice was on disk, and what came of it."""
    head, scanner = scan
    study = fresh_study()
    files = axial_files(head, scanner, study)
    played = play(agent.export_folder, files, scanner.slices_per_s, agent.check)
    last_s = played.last_on_disk_monotonic_s
    alert = agent.wait_for("result", lambda s: client.alert(study.series_uid, last_s, s), ALERT_S)
    shutil.rmtree(agent.export_folder / study.patient_id)
    return last_s, alert


def _latency(last_s: float, alert: Alert) -> Latency:
    """Tell the steps of one alert; InputError if the series was not analysed."""
    timings_s = analysed(alert).report.timings_s
    analysed_s = timings_s["total"] - timings_s["completeness"]
    steps_s = {
        "waited_s": timings_s["waited"],
        "evidence_s": timings_s["assemble"] + timings_s["evidence"],
        "slice_network_s": timings_s["slice_stage"],
        "volume_network_s": timings_s["volume_stage"],
        "measuring_s": timings_s["measure"],
    }
    return Latency(
        complete_s=alert.committed_monotonic_s - last_s - analysed_s,
        **steps_s,
        report_s=analysed_s - sum(steps_s.values()),
        delivered_s=alert.received_monotonic_s - alert.committed_monotonic_s,
        total_s=alert.received_monotonic_s - last_s,
    )


def _print_latency(row: LatencyRow) -> None:
    shown = out()
    shown.print(
        f"\n[bold]{row.slices} slices of {row.thickness_mm:g} mm, {row.per_s:g} a second[/] "
        f"({row.preset}, {len(row.runs)} runs, found complete by {' and '.join(row.completed_by)})"
    )
    steps = table("Step", numbers=("p50", "p95"))
    for step, words in {**STEPS, "total_s": TOTAL}.items():
        p50_s, p95_s = np.quantile([getattr(run, step) for run in row.runs], (0.5, 0.95))
        style = "bold" if words == TOTAL else None
        steps.add_row(words, f"{p50_s:.2f} s", f"{p95_s:.2f} s", style=style)
    shown.print(steps)
    parts = ", ".join(f"{stage} {ms:.0f}" for stage, ms in row.processor_ms.items())
    whole_ms = sum(row.processor_ms.values())
    what = "processor time after the last slice, without the networks"
    shown.print(f"{what}: {whole_ms:.0f} ms ({parts})")
    shown.print(f"peak memory of the agent: {row.peak_memory_mb:.0f} MB")
    shown.print(f"run by {' and '.join(row.run_by)}", markup=False)


def _drawn(rows: Sequence[LatencyRow]) -> Figure:
    """Draw each run as a bar of its parts, and their p50 and p95."""
    figure, places = blank(len(rows))
    for place, row in zip(places, rows, strict=True):
        numbers = np.arange(1, len(row.runs) + 1)
        below_s = np.zeros(len(row.runs))
        for (step, words), colour in zip(STEPS.items(), COLOURS, strict=False):
            part_s = np.array([getattr(run, step) for run in row.runs])
            place.bar(numbers, part_s, bottom=below_s, color=colour, label=words)
            below_s += part_s
        for share, style in ((0.5, "--"), (0.95, ":")):
            at_s = float(np.quantile([run.total_s for run in row.runs], share))
            place.axhline(at_s, ls=style, color="0.2", label=f"p{100 * share:.0f}")
        place.set(title=f"{row.preset}, {row.slices} slices", xlabel="run", xticks=numbers)
        place.set_ylabel("last slice on disk → alert [s]")
    places[-1].legend(fontsize="small", loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure
