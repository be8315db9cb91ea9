"""What the technologist sees, in a terminal: redrawn in place, or a line for each change."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from agent.records import State
from agent.report import FindingReport, SeriesReport
from build_engine.play.console_client import SeriesShown, Snapshot

WORDS: Final = {
    State.RECEIVING: ("… receiving", "cyan"),
    State.ANALYSING: ("… analysing", "cyan"),
    State.SUSPECTED: ("▲ SUSPECTED", "bold red"),
    State.NOT_SUSPECTED: ("✓ not suspected", "green"),
    State.NOT_ANALYSED: ("? not analysed", "yellow"),
}
"""A word, a shape and a colour for each state: never colour alone."""

MOST_FINDINGS: Final = 3


def state_text(state: State) -> Text:
    """Name a state."""
    word, style = WORDS[state]
    return Text(word, style)


def summary(report: SeriesReport) -> str:
    """Say what was found, or why nothing can be said."""
    if report.state == "not_analysed":
        return f"because {report.text}"
    lines = [_finding(finding) for finding in report.findings[:MOST_FINDINGS]]
    if len(report.findings) > MOST_FINDINGS:
        lines.append(f"and {len(report.findings) - MOST_FINDINGS} more")
    if report.state == "suspected" and report.midline_shift_mm is not None:
        lines.append(f"midline shift {report.midline_shift_mm:.0f} mm")
    return "\n".join((*lines, *(caveat.text for caveat in report.caveats)))


@contextmanager
def screen(out: Console) -> Iterator[Screen]:
    """Show snapshots on ``out``, as what it is written to allows."""
    if not out.is_terminal:
        yield Screen(out)
        return
    with Live(console=out, refresh_per_second=8) as live:
        yield LiveScreen(out, live)


class Screen:
    """Prints a line whenever the state of a series, or the agent's own, has changed."""

    def __init__(self, out: Console) -> None:
        """Print to ``out``."""
        self._out = out
        self._states: dict[str, State] = {}
        self._problem: str | None = None

    def show(self, snapshot: Snapshot) -> None:
        """Show what the console shows now."""
        if snapshot.problem != self._problem:
            self._problem = snapshot.problem
            self._out.print(snapshot.problem or "the agent is running", markup=False)
        for shown in snapshot.series:
            if self._states.get(shown.series_uid) is not shown.state:
                self._states[shown.series_uid] = shown.state
                detail = _detail(shown).replace("\n", "; ")
                words = f"{shown.patient_name:<20} {WORDS[shown.state][0]:<16} {detail}"
                self._out.print(words.rstrip(), markup=False, soft_wrap=True)


class LiveScreen(Screen):
    """Redraws the worklist in place."""

    def __init__(self, out: Console, live: Live) -> None:
        """Draw on ``live``."""
        super().__init__(out)
        self._live = live

    def show(self, snapshot: Snapshot) -> None:
        """Show what the console shows now."""
        self._live.update(_worklist(snapshot))


def _worklist(snapshot: Snapshot) -> RenderableType:
    table = Table(box=None, padding=(0, 3, 0, 0), show_header=False)
    for ratio in (None, None, 1, None):
        table.add_column(overflow="fold", ratio=ratio, no_wrap=ratio is None)
    for shown in snapshot.series:
        age = (
            ""
            if shown.last_slice_age_s is None
            else f"last slice {shown.last_slice_age_s:.0f} s ago"
        )
        table.add_row(
            state_text(shown.state),
            Text(shown.patient_name),
            Text(_detail(shown)),
            Text(age, "dim", justify="right"),
        )
    if snapshot.problem:
        return Group(Text(f"! {snapshot.problem}", "bold yellow"), table)
    return table


def _detail(shown: SeriesShown) -> str:
    if shown.report and shown.state not in (State.RECEIVING, State.ANALYSING):
        return summary(shown.report)
    expected = f" of {shown.expected}" if shown.expected else ""
    return f"{shown.slices}{expected} slice{'' if (shown.expected or shown.slices) == 1 else 's'}"


def _finding(finding: FindingReport) -> str:
    low_ml, high_ml = finding.volume_interval_ml
    volume = f"{finding.volume_ml:.1f} mL ({low_ml:.0f}–{high_ml:.0f})"  # noqa: RUF001
    return f"{finding.subtype}{', ' if finding.where else ''}{finding.where}: {volume}"
