"""``bleedwatch bench soak``: a real agent for as long as it takes, with faults at random."""

from __future__ import annotations

import json
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
from typing import Annotated, Final, TypeAlias

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from build_engine.console_client import ConsoleClient, Snapshot
from build_engine.local_agent import LocalAgent, local_agent
from build_engine.simulate import ExportFile, axial_files, chosen_preset, head_for
from build_engine.synth.dicom import SyntheticStudy
from build_engine.synth.head import HeadRecipe, SynthHead
from build_engine.synth.presets import GE_32X5, ScannerPreset

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

    ``latency_s`` runs from its last file on disk to the last result on a client.
    """

    fault: str
    slices_sent: int
    results: tuple[int, ...]
    latency_s: float

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
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Send studies to a real agent, with faults: kills, copies, half files, strangers' files.

    Exit code 1 if a study was lost or doubled.

    Example: bleedwatch bench soak --minutes 60
    """
    out = Console(stderr=as_json, highlight=False)
    seed = secrets.randbits(32) if seed is None else seed
    scanner = chosen_preset(preset)
    results: Results = {}
    with out.status("generating a head …") as status:
        head = head_for(scanner, HeadRecipe(1, None))
        with (
            TemporaryDirectory(prefix="bleedwatch-soak-") as scratch,
            _agent(scratch, results) as agent,
        ):
            end_s, chance = time.monotonic() + 60 * minutes, random.Random(seed)  # noqa: S311
            sent: list[Sent] = []
            memory_mb: dict[int, list[float]] = {}
            while time.monotonic() < end_s and len(sent) != studies:
                sent.append(_send(agent, results, (head, scanner), chance))
                memory_mb.setdefault(_pid(agent), []).append(agent.memory_mb())
                _clear(agent.export_folder, sent[:-KEPT_STUDIES])
                status.update(f"{len(sent)} studies sent …")
            outcomes = [_outcome(results, each) for each in sent]
    growth_mb = max(map(_growth_mb, memory_mb.values()), default=0.0)
    if as_json:
        facts = {
            "seed": seed,
            "memory_growth_mb": growth_mb,
            "studies": list(map(asdict, outcomes)),
        }
        Console(soft_wrap=True).print_json(json.dumps(facts))
    else:
        out.print(f"[dim]seed {seed}: --seed {seed} makes the same faults again[/]")
        out.print(_table(outcomes))
        out.print(f"memory of the agent: at most {growth_mb:+.0f} MB after its first studies")
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
    while time.monotonic() < end_s and _outcome(results, sent).lost:
        agent.check()
        time.sleep(LOOK_S)


def _outcome(results: Results, sent: Sent) -> Outcome:
    found = results.get(sent.series_uid, {})
    slices = tuple(found[revision][0] for revision in sorted(found))
    latency_s = found[max(found)][1] - sent.last_on_disk_s if found else ANSWER_S
    return Outcome(sent.fault, sent.slices, slices, latency_s)


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
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("Fault")
    for column in ("Sent", "Finished once", "Revised", "Lost", "Doubled", "p50", "p95"):
        table.add_column(column, justify="right")
    for fault in (*FAULTS, "all"):
        own = [outcome for outcome in outcomes if fault in (outcome.fault, "all")]
        if own:
            table.add_row(fault, *_figures(own))
    return table


def _figures(outcomes: Sequence[Outcome]) -> tuple[str, ...]:
    lost = sum(outcome.lost for outcome in outcomes)
    doubled = sum(outcome.doubled for outcome in outcomes)
    once = sum(len(outcome.results) == 1 and not outcome.lost for outcome in outcomes)
    revised = sum(len(outcome.results) > 1 and not outcome.doubled for outcome in outcomes)
    p50_s, p95_s = np.quantile([outcome.latency_s for outcome in outcomes], (0.5, 0.95))
    counts = len(outcomes), once, revised, lost, doubled
    return (*map(str, counts), f"{p50_s:.2f} s", f"{p95_s:.2f} s")
