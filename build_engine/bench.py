"""``bleedwatch bench``: how long an alert takes, and how fast files are read, on this machine."""

from __future__ import annotations

import json
import secrets
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated, Final

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from agent.assemble.dicom_file import read_slices
from agent.assemble.limits import ReadLimits
from agent.assemble.series import GrowingSeries
from agent.config import PACKAGED_ENGINES
from agent.errors import ConfigError
from agent.records import Subtype
from build_engine.bench_completeness import completeness
from build_engine.bench_networks import networks
from build_engine.bench_soak import soak
from build_engine.console_client import Alert, ConsoleClient
from build_engine.local_agent import LocalAgent, local_agent
from build_engine.simulate import axial_files, chosen_preset, head_for, play
from build_engine.synth.dicom import SyntheticStudy
from build_engine.synth.head import HeadRecipe, SynthHead
from build_engine.synth.presets import GE_32X5, THIN_0_625, ScannerPreset, Stretch

READY_S: Final = 60.0
ALERT_S: Final = 120.0

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Runs = Annotated[int, typer.Option(help="How often each is measured.", min=1)]
Folder = Annotated[
    Path | None, typer.Option(help="Where the files go: the disk to be measured. Left out, /tmp.")
]

app = typer.Typer(
    help="Measure this machine: latency, reading, networks, soak.", no_args_is_help=True
)
app.command()(networks)
app.command()(completeness)
app.command()(soak)


@dataclass(frozen=True, slots=True)
class Latency:
    """One alert, in steps that add up to ``total_s``; the networks' are parts of ``analysed_s``.

    ``complete_s`` runs from the last slice on disk to the decision that it was the last, and holds
    the few milliseconds of the store's commit too.
    """

    complete_s: float
    analysed_s: float
    slice_network_s: float
    volume_network_s: float
    measuring_s: float
    delivered_s: float
    total_s: float


@dataclass(frozen=True, slots=True)
class LatencyRow:
    """All runs of one kind of series."""

    preset: str
    slices: int
    thickness_mm: float
    per_s: float
    peak_memory_mb: float
    completed_by: tuple[str, ...]
    run_by: tuple[str, ...]
    runs: tuple[Latency, ...]


STEPS: Final = {
    "complete_s": "last slice on disk → found complete",
    "analysed_s": "→ alert in the store",
    "slice_network_s": "    of which slice network",
    "volume_network_s": "    of which volume network",
    "measuring_s": "    of which measuring",
    "delivered_s": "→ alert on a client",
    "total_s": "last slice on disk → alert on a client",
}


@app.callback()
def bench() -> None:
    """Measure this machine: latency, reading, networks, soak."""


@app.command()
def latency(  # noqa: PLR0913 - a command's parameters are its options
    *,
    preset: Annotated[
        list[str] | None, typer.Option(help="Scanner to play; left out, one thick and one thin.")
    ] = None,
    rate: Annotated[float | None, typer.Option(help="Slices per second.", min=0.1)] = None,
    slices: Annotated[int | None, typer.Option(help="Slices per series.", min=1)] = None,
    runs: Runs = 5,
    as_json: Json = False,
    folder: Folder = None,
    engines: Annotated[
        Path, typer.Option(help="Engines folder, whose plans in use are measured.")
    ] = PACKAGED_ENGINES,
) -> None:
    """Measure the time from the last slice on disk to the alert on a client of the console.

    Real agent and console processes on a temporary folder, played to at a scanner's pace.

    Example: bleedwatch bench latency --preset ge-32x5 --rate 20 --runs 10
    """
    out = Console(stderr=as_json, highlight=False)
    names = preset or [GE_32X5.name, THIN_0_625.name]
    rows = []
    for scanner in (_adapted(chosen_preset(name), rate, slices) for name in names):
        with _scratch(folder) as scratch:
            rows.append(_latency_row(out, scanner, runs, (scratch, engines)))
    if as_json:
        Console(soft_wrap=True).print_json(json.dumps([asdict(row) for row in rows]))
        return
    for row in rows:
        _print_latency(out, row)


@app.command()
def ingest(*, runs: Runs = 5, as_json: Json = False, folder: Folder = None) -> None:
    """Compare reading 300 uncompressed slices into a volume with what dcm2niix takes for it.

    Both read the same files from the same disk, in turn. dcm2niix also starts up and writes the
    volume; the agent's reader also checks every file, and digests its pixels.

    Example: bleedwatch bench ingest --runs 9
    """
    out = Console(stderr=as_json, highlight=False)
    dcm2niix = shutil.which("dcm2niix")
    if dcm2niix is None:
        raise ConfigError("dcm2niix is not installed", hint="pip install dcm2niix")
    with _scratch(folder) as scratch:
        with out.status("generating 300 slices …"):
            head = head_for(THIN_0_625, HeadRecipe(1, None))
            files = axial_files(head, THIN_0_625, _fresh_study())
            play(scratch / "in", files, float("inf"), lambda: None)
        paths = [scratch / "in" / file.name for file in files]
        ours_s, theirs_s = [], []
        for _ in range(runs):
            ours_s.append(_timed_reading_s(paths))
            theirs_s.append(_timed_dcm2niix_s(dcm2niix, scratch))
    ours, theirs = statistics.median(ours_s), statistics.median(theirs_s)
    if as_json:
        Console(soft_wrap=True).print_json(
            json.dumps({"bleedwatch_s": ours_s, "dcm2niix_s": theirs_s})
        )
        return
    out.print(f"300 slices of 512², medians of {runs} runs in turn")
    out.print(f"  bleedwatch  {ours:6.2f} s")
    out.print(f"  dcm2niix    {theirs:6.2f} s")
    out.print(f"  ratio       {ours / theirs:6.2f}")


def _adapted(scanner: ScannerPreset, rate: float | None, slices: int | None) -> ScannerPreset:
    if slices:
        stretch = Stretch(slices, scanner.stretches[0].thickness_mm)
        scanner = replace(scanner, stretches=(stretch,))
    return replace(scanner, slices_per_s=rate or scanner.slices_per_s)


def _latency_row(
    out: Console, scanner: ScannerPreset, runs: int, folders: tuple[Path, Path]
) -> LatencyRow:
    """Measure one kind of series; ``folders`` are one for the agent, and its engines'."""
    scratch, engines = folders
    with out.status(f"{scanner.name}: generating a head …"):
        head = head_for(scanner, HeadRecipe(1, Subtype.SUBDURAL))
    with (
        local_agent(scratch, engines=engines) as agent,
        ConsoleClient(agent.port, lambda _: None) as client,
        out.status(f"{scanner.name}: playing {runs} series …"),
    ):
        agent.wait_for("agent ready", lambda s: client.well(s) or None, READY_S)
        alerts = [_one_alert(agent, client, (head, scanner)) for _ in range(runs)]
        peak_memory_mb = agent.peak_memory_mb()
    return LatencyRow(
        preset=scanner.name,
        slices=len(scanner.thicknesses_mm),
        thickness_mm=scanner.thicknesses_mm[0],
        per_s=scanner.slices_per_s,
        peak_memory_mb=round(peak_memory_mb, 1),
        completed_by=tuple(sorted({str(alert.report.completed_by) for _, alert in alerts})),
        run_by=tuple(sorted({str(alert.report.engine) for _, alert in alerts})),
        runs=tuple(_latency(last_s, alert) for last_s, alert in alerts),
    )


def _one_alert(
    agent: LocalAgent, client: ConsoleClient, scan: tuple[SynthHead, ScannerPreset]
) -> tuple[float, Alert]:
    """Play one series: when its last slice was on disk, and what came of it."""
    head, scanner = scan
    study = _fresh_study()
    files = axial_files(head, scanner, study)
    played = play(agent.export_folder, files, scanner.slices_per_s, agent.check)
    last_s = played.last_on_disk_monotonic_s
    alert = agent.wait_for("result", lambda s: client.alert(study.series_uid, last_s, s), ALERT_S)
    shutil.rmtree(agent.export_folder / study.patient_id)
    return last_s, alert


def _latency(last_s: float, alert: Alert) -> Latency:
    timings_s = alert.report.timings_s
    analysed_s = timings_s["total"] - timings_s["completeness"]
    return Latency(
        complete_s=alert.committed_monotonic_s - last_s - analysed_s,
        analysed_s=analysed_s,
        slice_network_s=timings_s.get("slice_stage", 0.0),
        volume_network_s=timings_s.get("volume_stage", 0.0),
        measuring_s=timings_s.get("measure", 0.0),
        delivered_s=alert.received_monotonic_s - alert.committed_monotonic_s,
        total_s=alert.received_monotonic_s - last_s,
    )


def _print_latency(out: Console, row: LatencyRow) -> None:
    out.print(
        f"\n[bold]{row.slices} slices of {row.thickness_mm:g} mm, {row.per_s:g} a second[/] "
        f"({row.preset}, {len(row.runs)} runs, found complete by {' and '.join(row.completed_by)})"
    )
    table = Table(box=None, padding=(0, 3, 0, 0), header_style="dim")
    table.add_column("")
    table.add_column("p50", justify="right")
    table.add_column("p95", justify="right")
    for step, words in STEPS.items():
        p50_s, p95_s = np.quantile([getattr(run, step) for run in row.runs], (0.5, 0.95))
        style = "bold" if step == "total_s" else None
        table.add_row(words, f"{p50_s:.2f} s", f"{p95_s:.2f} s", style=style)
    out.print(table)
    out.print(f"peak memory of the agent: {row.peak_memory_mb:.0f} MB")
    out.print(f"run by {' and '.join(row.run_by)}", markup=False)


def _fresh_study() -> SyntheticStudy:
    now = datetime.now(timezone.utc)
    return SyntheticStudy(secrets.randbits(32), "DEMO^BENCH", "DEMO-BENCH", now)


@contextmanager
def _scratch(folder: Path | None) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="bleedwatch-bench-", dir=folder) as scratch:
        yield Path(scratch)


def _timed_reading_s(paths: Sequence[Path]) -> float:
    began_s = time.monotonic()
    series, limits = GrowingSeries(), ReadLimits()
    for path in paths:
        for read in read_slices(path, limits):
            series.add(read.header, read.hu)
    series.volume()
    return time.monotonic() - began_s


def _timed_dcm2niix_s(dcm2niix: str, scratch: Path) -> float:
    shutil.rmtree(scratch / "out", ignore_errors=True)
    (scratch / "out").mkdir()
    command = [dcm2niix, "-z", "n", "-b", "n", "-o", str(scratch / "out"), str(scratch / "in")]
    began_s = time.monotonic()
    subprocess.run(command, check=True, capture_output=True)  # noqa: S603 - found on the PATH
    return time.monotonic() - began_s
