"""Series as tables for a terminal."""

from __future__ import annotations

from typing import Final

from rich.markup import escape
from rich.table import Table

from agent.exam import Place
from agent.records import State
from agent.report import SeriesReport
from agent.store.view import ExaminationView, SeriesView

WORDS = {
    "receiving": "[cyan]… receiving[/]",
    "analysing": "[cyan]… analysing[/]",
    "suspected": "[bold red]▲ SUSPECTED[/]",
    "not_suspected": "[green]✓ not suspected[/]",
    "not_analysed": "[yellow]? not analysed[/]",
}
"""Each state by word, shape and colour: never by colour alone."""

NEEDS_NOBODY: Final = "[dim]– not analysed[/]"  # noqa: RUF001 - it is read by people
"""Of what was not to be analysed."""

ENDING: Final = 16
"""Characters at the end of a UID that distinguish it from others. Ours."""

TEST = "[bold magenta]TEST[/] "
"""Put before the state of a self-test's series."""

EARLIER = "[dim]earlier[/] "
"""Put before the state of an examination that was fetched from an archive."""


def state_words(view: ExaminationView) -> str:
    """Say how an examination stands, and whether it is no patient's who is scanned now."""
    words = NEEDS_NOBODY if view.needs_nobody else WORDS[view.state.value]
    mark = TEST if view.test else EARLIER if view.fetched else ""
    return f"{mark}{words}"


def series_words(view: SeriesView) -> str:
    """Say how a series stands; what stands aside needs nobody."""
    ended = view.state is State.NOT_ANALYSED
    return NEEDS_NOBODY if ended and view.place is Place.ASIDE else WORDS[view.state.value]


def latest_summary(view: SeriesView, *, needs_nobody: bool = False) -> str:
    """Return in one line the latest result of a series, "" while a newer one is on its way.

    Where it needs nobody, without what to do.
    """
    report = view.report
    if report is None or report.state != view.state.value:
        return ""
    return (report.text or "") if needs_nobody else summary(report)


def summary(report: SeriesReport) -> str:
    """Return in one line what was found, or why the series was not analysed."""
    if report.state == "not_analysed":
        return f"{report.text} → {report.what_to_do}"
    if report.state == "not_suspected":
        return ""
    findings = [
        f"{finding.subtype} {finding.where} {finding.volume_ml:.1f} mL".replace("  ", " ")
        for finding in report.findings[:3]
    ]
    if len(report.findings) > len(findings):
        findings.append(f"and {len(report.findings) - len(findings)} more")
    return "; ".join((*findings, *(caveat.text for caveat in report.caveats)))


def reports_table(reports: list[SeriesReport]) -> Table:
    """Return a table of reports, one a row."""
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
    """Return the end of a UID, by which ``show`` finds it."""
    return uid if len(uid) <= ENDING else f"…{uid[-ENDING:]}"


def span(seconds: float | None) -> str:
    """Format a duration in the largest unit that fits; "" where it is not known."""
    if seconds is None:
        return ""
    for unit, length_s in (("days", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length_s:
            return f"{seconds / length_s:.0f} {unit}"
    return f"{seconds:.0f} s"


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"
