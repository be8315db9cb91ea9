"""``bleedwatch bench soak``: a real agent for as long as it takes, with faults at random."""

from __future__ import annotations

import random
import secrets
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Final, TypeAlias

import numpy as np
import typer
from rich.table import Table

from build_engine.play.console_client import ConsoleClient, Snapshot
from build_engine.play.local_agent import LocalAgent, local_agent
from build_engine.play.simulate import ExportFile, axial_files, chosen_preset, head_for
from build_engine.printing import COLOURS, AsJson, Png, blank, out, print_json, table, to_plot
from build_engine.synth.dicom import SyntheticStudy
from build_engine.synth.head import HeadRecipe, SynthHead
from build_engine.synth.presets import GE_32X5, ScannerPreset

if TYPE_CHECKING:
    from matplotlib.figure import Figure

READY_S: Final = 60.0
ANSWER_S: Final = 120.0
KEPT_STUDIES: Final = 10
"""So many stay in the export folder; a scanner's is emptied too."""

AGAIN: Final = "again"
"""Folder into which studies are sent a second time."""

LOOK_S: Final = 0.1

FAULTS: Final = {
    "none": 4,
    "agent killed": 2,
    "sent again": 2,
    "half a file for a while": 2,
    "a stranger's file": 1,
    "out of order": 1,
}
"""What befalls a study, and how often, in parts of all."""

COUNTED: Final = "Sent", "Finished once", "Revised", "Lost", "Doubled", "p50", "p95"

WARM_UP: Final = 5
"""Studies after which the agent has its size: what it keeps of every kind is there by then."""

Results: TypeAlias = dict[str, dict[int, tuple[int, float]]]
"""Series UID → revision → slices in the result, and when it reached this client [s]."""


@dataclass(frozen=True, slots=True)
class Sent:
    """One study that was sent, and the fault that befell it."""

    series_uid: str
    patient_id: str
    fault: str
    slices: int
    last_on_disk_s: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a study: the slices in each of its results, oldest first.

    ``latency_s`` runs from its last file on disk, ``at_s`` after the soak began, to the last result
    on a client.
    """

    fault: str
    slices_sent: int
    results: tuple[int, ...]
    latency_s: float
    at_s: float

    @property
    def lost(self) -> bool:
        """Whether slices that were sent are not in the last result."""
        return not self.results or self.results[-1] < self.slices_sent

    @property
    def doubled(self) -> bool:
        """Whether a second result came though no slice was new."""
        return len(set(self.results)) < len(self.results)


def soak(
    *,
    studies: Annotated[
        int | None, typer.Option(help="Studies to send; left out, as the minutes allow.", min=1)
    ] = None,
    minutes: Annotated[
        float, typer.Option(help="How long to go on, unless the studies are all sent.", min=0.1)
    ] = 10.0,
    preset: Annotated[str, typer.Option(help="Scanner to play.")] = GE_32X5.name,
    seed: Annotated[
        int | None, typer.Option(help="Makes the same faults again. Left out, new ones.", min=0)
    ] = None,
    png: Png = None,
    as_json: AsJson = False,
) -> None:
    """Send studies to a real agent, with faults: kills, copies, half files, strangers' files.

    Exit code 1 if a study was lost or doubled.

    Example: bleedwatch bench soak --minutes 60 --png soak.png
    """
    plot = to_plot(png)
    seed = secrets.randbits(32) if seed is None else seed
    scanner = chosen_preset(preset)
    results: Results = {}
    with out(stderr=True).status("generating a head …") as status:
        head = head_for(scanner, HeadRecipe(1, None))
        with (
            TemporaryDirectory(prefix="bleedwatch-soak-") as scratch,
            _agent(scratch, results) as agent,
        ):
            began_s, chance = time.monotonic(), random.Random(seed)  # noqa: S311
            sent: list[Sent] = []
            memory_mb: dict[int, list[float]] = {}
            while time.monotonic() < began_s + 60 * minutes and len(sent) != studies:
                sent.append(_send(agent, results, (head, scanner), chance))
                memory_mb.setdefault(_pid(agent), []).append(agent.memory_mb())
                _clear(agent.export_folder, sent[:-KEPT_STUDIES])
                status.update(f"{len(sent)} studies sent …")
            outcomes = [_outcome(results, each, began_s) for each in sent]
    growth_mb = max(map(_growth_mb, memory_mb.values()), default=0.0)
    if plot:
        plot.save(drawn(outcomes))
    if as_json:
        studies_told = list(map(asdict, outcomes))
        print_json({"seed": seed, "memory_growth_mb": growth_mb, "studies": studies_told})
    else:
        out().print(f"[dim]seed {seed}: --seed {seed} makes the same faults again[/]")
        out().print(_table(outcomes))
        out().print(f"memory of the agent: at most {growth_mb:+.0f} MB after its first studies")
    wrong = any(outcome.lost or outcome.doubled for outcome in outcomes)
    raise typer.Exit(1 if wrong else 0)


@contextmanager
def _agent(scratch: str, results: Results) -> Iterator[LocalAgent]:
    """Run an agent, and note what its console shows."""
    with (
        local_agent(Path(scratch) / "box") as agent,
        ConsoleClient(agent.port, lambda snapshot: _note(results, snapshot)) as client,
    ):
        agent.wait_for("agent ready", lambda s: client.well(s) or None, READY_S)
        yield agent


def _send(
    agent: LocalAgent,
    results: Results,
    scan: tuple[SynthHead, ScannerPreset],
    chance: random.Random,
) -> Sent:
    """Send one study with one fault, and wait until all of its slices are in a result."""
    fault = chance.choices(list(FAULTS), list(FAULTS.values()))[0]
    now = datetime.now(timezone.utc)
    study = SyntheticStudy(chance.getrandbits(32), "DEMO^SOAK", f"SOAK-{secrets.token_hex(4)}", now)
    files = list(axial_files(*scan, study))
    if fault == "out of order":
        chance.shuffle(files)
    spoilt = chance.randrange(len(files))
    for n, file in enumerate(files):
        half = fault == "half a file for a while" and n == spoilt
        _write(agent.export_folder, file, len(file.content) // 2 if half else None)
        if fault == "agent killed" and n == spoilt:
            agent.agent.kill()
            agent.agent.start()
        if fault == "a stranger's file" and n == spoilt:
            (agent.export_folder / f"{secrets.token_hex(4)}.dcm").write_bytes(
                chance.randbytes(9999)
            )
        time.sleep(chance.expovariate(scan[1].slices_per_s))
    if fault == "half a file for a while":
        time.sleep(chance.uniform(0.0, 12.0))
        _write(agent.export_folder, files[spoilt], None)
    sent = Sent(study.series_uid, study.patient_id, fault, len(files), time.monotonic())
    _wait(agent, results, sent)
    if fault == "sent again":
        for file in files:
            _write(agent.export_folder / AGAIN, file, None)
    return sent


def _clear(export_folder: Path, sent: Sequence[Sent]) -> None:
    for study in sent:
        for folder in (export_folder, export_folder / AGAIN):
            shutil.rmtree(folder / study.patient_id, ignore_errors=True)


def _write(folder: Path, file: ExportFile, n_bytes: int | None) -> None:
    path = folder / file.name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(file.content[:n_bytes])


def _wait(agent: LocalAgent, results: Results, sent: Sent) -> None:
    end_s = time.monotonic() + ANSWER_S
    while time.monotonic() < end_s and _outcome(results, sent, 0.0).lost:
        agent.check()
        time.sleep(LOOK_S)


def _outcome(results: Results, sent: Sent, began_s: float) -> Outcome:
    revisions = results.get(sent.series_uid, {})
    slices = tuple(revisions[revision][0] for revision in sorted(revisions))
    latency_s = revisions[max(revisions)][1] - sent.last_on_disk_s if revisions else ANSWER_S
    at_s = sent.last_on_disk_s - began_s
    return Outcome(sent.fault, sent.slices, slices, latency_s, at_s)


def _note(results: Results, snapshot: Snapshot) -> None:
    """Take note of each result that the console shows for the first time."""
    for shown in snapshot.series:
        if shown.report is not None:
            slices = shown.report.geometry.slices if shown.report.geometry else 0
            seen = slices, snapshot.received_monotonic_s
            results.setdefault(shown.series_uid, {}).setdefault(shown.report.revision, seen)


def _pid(agent: LocalAgent) -> int:
    return agent.agent.process.pid


def _growth_mb(memory_mb: Sequence[float]) -> float:
    """How much one process grew after its first studies [MB]."""
    return memory_mb[-1] - memory_mb[min(WARM_UP, len(memory_mb)) - 1]


def _table(outcomes: Sequence[Outcome]) -> Table:
    counts = table("Fault", numbers=COUNTED)
    for fault in (*FAULTS, "all"):
        own = [outcome for outcome in outcomes if fault in (outcome.fault, "all")]
        if own:
            counts.add_row(fault, *_figures(own))
    return counts


def _figures(outcomes: Sequence[Outcome]) -> tuple[str, ...]:
    lost = sum(outcome.lost for outcome in outcomes)
    doubled = sum(outcome.doubled for outcome in outcomes)
    once = sum(len(outcome.results) == 1 and not outcome.lost for outcome in outcomes)
    revised = sum(len(outcome.results) > 1 and not outcome.doubled for outcome in outcomes)
    p50_s, p95_s = np.quantile([outcome.latency_s for outcome in outcomes], (0.5, 0.95))
    counts = len(outcomes), once, revised, lost, doubled
    return (*map(str, counts), f"{p50_s:.2f} s", f"{p95_s:.2f} s")


def drawn(outcomes: Sequence[Outcome]) -> Figure:
    """Draw each study's latency over time, its fault by its colour, and mark what went wrong."""
    figure, (place,) = blank(1, width_each=10.0)
    for fault, colour in zip(FAULTS, COLOURS, strict=False):
        own = [outcome for outcome in outcomes if outcome.fault == fault]
        if own:
            times, latencies_s = _points(own)
            place.plot(times, latencies_s, "o", color=colour, label=f"{fault} ({len(own)})")
    wrong = [outcome for outcome in outcomes if outcome.lost or outcome.doubled]
    place.plot(*_points(wrong), "rx", ms=12, mew=2, label=f"lost or doubled ({len(wrong)})")
    for share, style in ((0.5, "--"), (0.95, ":")):
        at_s = float(np.quantile([outcome.latency_s for outcome in outcomes], share))
        place.axhline(at_s, ls=style, color="0.2", label=f"p{100 * share:.0f}: {at_s:.2f} s")
    place.set(xlabel="since the beginning [min]", ylim=(0, None))
    place.set_ylabel("last file on disk → last result [s]")
    place.legend(fontsize="small", loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def _points(outcomes: Sequence[Outcome]) -> tuple[list[float], list[float]]:
    times_min = [outcome.at_s / 60 for outcome in outcomes]
    return times_min, [outcome.latency_s for outcome in outcomes]
