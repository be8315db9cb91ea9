"""``bleedwatch demo``: a scanner, the agent and the console, on this machine, in one command."""

from __future__ import annotations

import secrets
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from agent.records import Side, State, Subtype
from build_engine.play.console_client import Alert, ConsoleClient
from build_engine.play.local_agent import LocalAgent, local_agent
from build_engine.play.screen import screen, state_text
from build_engine.play.simulate import ExportFile, axial_files, head_for, play
from build_engine.synth.dicom import SyntheticStudy
from build_engine.synth.head import HeadRecipe
from build_engine.synth.presets import CANON_32X5, GE_32X5

BLEED_ML: Final = 40.0

MISSING: Final = slice(15, 19)
"""Slices that the third study lacks: the middle of the head."""

PAUSE_S: Final = 3.0
"""Between two studies, so that one can look [s]."""

SHORT_PER_S: Final = 100.0
"""Pace of the short form [slices/s]."""

READY_S: Final = 60.0
ALERT_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class DemoStudy:
    """A study to play, and what must come of it. ``truth`` says what was generated."""

    study: SyntheticStudy
    truth: str
    files: tuple[ExportFile, ...]
    per_s: float
    expected: State


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a study, and how long after its last slice a client had it."""

    played: DemoStudy
    alert: Alert
    latency_s: float

    @property
    def as_expected(self) -> bool:
        """Whether the answer is the one that the generated head calls for."""
        return State(self.alert.report.state) is self.played.expected


def demo(
    *,
    keep_running: Annotated[
        bool, typer.Option(help="Leave agent and console running until Ctrl-C.")
    ] = False,
    short: Annotated[
        bool, typer.Option(help="Play fast and without pauses, as for a test.")
    ] = False,
    port: Annotated[int, typer.Option(help="The console's port; 0 is any free one.")] = 0,
) -> None:
    """Show it at work: three generated heads, agent and console.

    Everything lies in a temporary folder, which is removed at the end. Exit code 1 if an answer is
    not the one that was to be expected.

    Example: bleedwatch demo --keep-running
    """
    out = Console(highlight=False)
    try:
        with (
            tempfile.TemporaryDirectory(prefix="bleedwatch-demo-") as folder,
            local_agent(Path(folder) / "agent", port) as agent,
        ):
            outcomes = _run(out, agent, short=short)
            _print_summary(out, outcomes)
            if keep_running:
                _stay(out, agent)
    except KeyboardInterrupt:
        out.print("\nstopped")
        raise typer.Exit(130) from None
    raise typer.Exit(0 if all(outcome.as_expected for outcome in outcomes) else 1)


def _run(out: Console, agent: LocalAgent, *, short: bool) -> list[Outcome]:
    out.print("[bold]Bleedwatch demo.[/] Generated heads; not a medical device.")
    with out.status("generating three studies …"):
        studies = demo_studies(short=short)
    outcomes = []
    with screen(out) as shown, ConsoleClient(agent.port, shown.show) as client:
        agent.wait_for("agent ready", lambda s: client.well(s) or None, READY_S)
        out.print(f"The technologist's page: [bold]{agent.address}[/]\n")
        for n, study in enumerate(studies):
            if n and not short:
                time.sleep(PAUSE_S)
            outcomes.append(play_study(agent, client, study))
    return outcomes


def demo_studies(*, short: bool) -> tuple[DemoStudy, ...]:
    """Generate a bleed, no bleed, and a head without a bleed and without some of its slices."""
    seed, now = secrets.randbits(32), datetime.now(timezone.utc)
    bleed, none, gapped = (
        SyntheticStudy(seed, f"DEMO^{name}", f"DEMO-{number:03d}", now)
        for number, name in enumerate(("BLEED LEFT", "NO BLEED", "SLICES MISSING"), 1)
    )
    recipes = HeadRecipe(1, Subtype.SUBDURAL, BLEED_ML, Side.LEFT), HeadRecipe(6, None)
    with ThreadPoolExecutor() as pool:
        bleeding, healthy = pool.map(partial(head_for, GE_32X5), recipes)
    whole = axial_files(healthy, GE_32X5, gapped)
    rest = whole[: MISSING.start] + whole[MISSING.stop :]
    ge_per_s, canon_per_s = (
        SHORT_PER_S if short else scanner.slices_per_s for scanner in (GE_32X5, CANON_32X5)
    )
    files = axial_files(bleeding, GE_32X5, bleed), axial_files(healthy, CANON_32X5, none), rest
    truths = f"subdural {BLEED_ML:.0f} mL", "no bleed", f"{len(whole) - len(rest)} missing"
    return (
        DemoStudy(bleed, truths[0], files[0], ge_per_s, State.SUSPECTED),
        DemoStudy(none, truths[1], files[1], canon_per_s, State.NOT_SUSPECTED),
        DemoStudy(gapped, truths[2], files[2], ge_per_s, State.NOT_ANALYSED),
    )


def play_study(agent: LocalAgent, client: ConsoleClient, study: DemoStudy) -> Outcome:
    """Export a study and wait for its answer; NoAnswer if none comes."""
    played = play(agent.export_folder, study.files, study.per_s, agent.check)
    last_s = played.last_on_disk_monotonic_s
    alert = agent.wait_for(
        study.study.patient_name,
        lambda s: client.alert(study.study.series_uid, last_s, s),
        ALERT_S,
    )
    return Outcome(study, alert, alert.received_monotonic_s - last_s)


def _print_summary(out: Console, outcomes: Sequence[Outcome]) -> None:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for column in ("Patient", "Generated", "Answer", "Volume"):
        table.add_column(column, no_wrap=True)
    table.add_column("Alert after", justify="right")
    for outcome in outcomes:
        report = outcome.alert.report
        volume_ml = report.total_volume_ml
        table.add_row(
            outcome.played.study.patient_name,
            outcome.played.truth,
            state_text(State(report.state)),
            f"{volume_ml:.1f} mL" if volume_ml else "",
            f"{outcome.latency_s:.2f} s",
        )
    out.print()
    out.print(table)
    out.print("[dim]Alert after: from the last slice on disk to a client of the console.[/]\n")
    wrong = [outcome for outcome in outcomes if not outcome.as_expected]
    for outcome in wrong:
        out.print(Text(_surprise(outcome), "bold red"), soft_wrap=True)
    if not wrong:
        out.print(f"[green]All {len(outcomes)} answers are as expected.[/]")


def _surprise(outcome: Outcome) -> str:
    got, expected = outcome.alert.report, outcome.played.expected.value.replace("_", " ")
    because = f", because {got.text}" if got.text else f" (score {got.score})"
    name = outcome.played.study.patient_name
    return f"✗ {name}: {expected} was to be expected, got {got.state.replace('_', ' ')}{because}"


def _stay(out: Console, agent: LocalAgent) -> None:
    out.print(f"\nThe page stays at [bold]{agent.address}[/]. The scanner's folder, to try more:")
    out.print(f"  bleedwatch simulate {agent.export_folder}", markup=False, soft_wrap=True)
    out.print("Ctrl-C ends it.")
    while True:
        agent.check()
        time.sleep(1.0)
