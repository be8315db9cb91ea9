"""Series as people read them in a terminal."""

from __future__ import annotations

from typing import Final

from rich.markup import escape
from rich.table import Table

from agent.report import EngineReport, FindingReport, SeriesReport

WORDS = {
    "receiving": "[cyan]… receiving[/]",
    "analysing": "[cyan]… analysing[/]",
    "suspected": "[bold red]▲ SUSPECTED[/]",
    "not_suspected": "[green]✓ not suspected[/]",
    "not_analysed": "[yellow]? not analysed[/]",
}
"""A word, a shape and a colour for each state: never colour alone."""

ENDING: Final = 16
"""Characters at the end of a UID that tell it from others."""

TEST = "[bold magenta]TEST[/] "
"""What stands before the state of a self-test's series."""


def place(finding: FindingReport) -> str:
    """Say where a finding is: "left basal ganglia"; "" where it is not known."""
    return " ".join(word for word in (finding.side, finding.region) if word)


def summary(report: SeriesReport) -> str:
    """Say in one line what was found, or why nothing can be said."""
    if report.state == "not_analysed":
        return f"{report.text} → {report.what_to_do}"
    if report.state == "not_suspected":
        return ""
    found = [
        f"{finding.subtype} {place(finding)} {finding.volume_ml:.1f} mL".replace("  ", " ")
        for finding in report.findings[:3]
    ]
    if len(report.findings) > len(found):
        found.append(f"and {len(report.findings) - len(found)} more")
    return "; ".join((*found, *(caveat.text for caveat in report.caveats)))


def reports_table(reports: list[SeriesReport]) -> Table:
    """Lay reports out, one a line."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("Series", "Result", "Score", "mL", "Shift mm", "Slices", "Findings or reason"):
        table.add_column(column, overflow="fold")
    for report in reports:
        table.add_row(
            report.series_uid[-16:],
            WORDS[report.state],
            _number(report.score, 3),
            _number(report.total_volume_ml, 1),
            _number(report.midline_shift_mm, 1),
            str(report.geometry.slices) if report.geometry else "",
            escape(summary(report)),
        )
    return table


def ending(uid: str) -> str:
    """Give the end of a UID, which tells it from others and which ``show`` takes."""
    return uid if len(uid) <= ENDING else f"…{uid[-ENDING:]}"


def span(seconds: float | None) -> str:
    """Say how long something takes in the largest unit that fits; "" where it is not known."""
    if seconds is None:
        return ""
    for unit, length_s in (("days", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length_s:
            return f"{seconds / length_s:.0f} {unit}"
    return f"{seconds:.0f} s"


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def engine_words(engine: EngineReport) -> str:
    """Say in one line which networks ran, and on what."""
    return f"{engine.bundle} {engine.version}, {engine.backend}, {engine.device}"
