"""``bleedwatch show``: one study, with where each of its results comes from and went to."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from agent.cli.options import AsJson, ConfigPath, Study
from agent.cli.stores import examinations_named, opened
from agent.cli.tables import (
    WORDS,
    reports_table,
    series_words,
    state_words,
)
from agent.config import DEFAULT_PATH
from agent.errors import RequestRefused, legible
from agent.report import SeriesReport, to_the_second
from agent.store.queries import Queries
from agent.store.readings import standing
from agent.store.view import DeliveryView, ExaminationView, ResultView, SeriesView, TransitionView

NAMED_FILES: Final = 20
"""So many of a series' unread files are named. Ours: what one screen holds."""


def show(
    study: Study,
    config: ConfigPath = DEFAULT_PATH,
    *,
    image: Annotated[
        Path | None,
        typer.Option("--image", help="PNG file to write the latest suspicion's key slice into."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show one study: findings, timings, history, who has seen it.

    Example: bleedwatch show 1.2.840.113619.2 --image key.png
    """
    with opened(config) as queries:
        views = [
            _with_unread(ExaminationView.of(row).with_history(queries), queries)
            for row in examinations_named(queries, study)
        ]
        if image:
            _write_image(queries, views, image)
    if as_json:
        typer.echo(json.dumps([view.model_dump(mode="json") for view in views], indent=2))
        return
    out = Console(highlight=False)
    for view in views:
        _print_examination(out, view)
        for series in view.series:
            _print(out, series)
    if image:
        out.print(f"wrote {image}", markup=False)


def _with_unread(view: ExaminationView, queries: Queries) -> ExaminationView:
    """Name the files of each series that could not be read."""
    series = tuple(
        one.model_copy(
            update={
                "unread_files": tuple(
                    map(legible, queries.unread_files(one.series_uid, NAMED_FILES))
                )
            }
        )
        for one in view.series
    )
    return view.model_copy(update={"series": series})


def _write_image(queries: Queries, views: list[ExaminationView], path: Path) -> None:
    """Write of each examination the picture of the series that comes first in it."""
    pictures = {
        view.examination_uid: found[0]
        for view in views
        if (found := [picture for one in view.series for picture in _pictures(queries, one)])
    }
    if not pictures:
        raise RequestRefused("no_key_slice")
    if len(pictures) > 1:
        named = ", ".join(pictures)
        raise RequestRefused("several_key_slices", series_uids=named)
    try:
        with path.open("xb") as file:
            file.write(*pictures.values())
    except OSError as error:
        raise RequestRefused("file_unwritable", path=str(path), why=str(error.strerror)) from error


def _pictures(queries: Queries, view: SeriesView) -> list[bytes]:
    """Return the key slices of a series' results, the latest first."""
    revisions = [result.report.revision for result in view.results]
    drawn = (queries.picture(view.series_uid, each, "axial") for each in reversed(revisions))
    return [picture for picture in drawn if picture]


def _print_examination(out: Console, view: ExaminationView) -> None:
    n = len(view.series)
    out.print(f"[bold]examination[/]   {state_words(view)}   {n} series", soft_wrap=True)
    out.print(f"  of study {view.study_uid}", markup=False, soft_wrap=True)
    if view.remark:
        out.print(f"  {view.remark.text}", markup=False, soft_wrap=True)
    out.print()


def _print(out: Console, view: SeriesView) -> None:
    report = view.report
    out.print(f"[bold]{view.series_uid}[/]   {series_words(view)}", soft_wrap=True)
    if report is not None:
        out.print(reports_table([report]))
        for line in (*_findings(report), *_provenance(report)):
            out.print(f"  {line}", markup=False)
    for line in _read(view):
        out.print(f"  {line}", markup=False, soft_wrap=True)
    for path in view.unread_files:
        out.print(f"  not read   {path}", markup=False, soft_wrap=True)
    for table in (_timings_table(report), _results_table(view.results)):
        if table.row_count:
            out.print()
            out.print(table)
    out.print()
    out.print(_transitions_table(view.transitions))


def _findings(report: SeriesReport) -> Iterator[str]:
    for finding in report.findings:
        low_ml, high_ml = finding.volume_interval_ml
        volume = f"{finding.volume_ml:.1f} mL ({low_ml:.1f} to {high_ml:.1f})"
        where = finding.where or "place not known"
        yield f"{finding.subtype}, {where}: {volume}, slice {finding.key_slice + 1}"


def _read(view: SeriesView) -> Iterator[str]:
    """Return what radiologists read its findings as, and who signed reports on it."""
    for one in standing(view.readings):
        told = one.judgement
        what = "missed" if told.finding is None else f"finding {told.finding + 1}"
        more = (told.judged, told.subtype, told.side, told.instead)
        words = ", ".join(word.replace("_", " ") for word in more if word)
        yield f"read       {what}: {words}; {legible(one.who)}, {to_the_second(one.at_utc)}"
    for report in view.signed_reports:
        who = f"{legible(report.who)}, {to_the_second(report.at_utc)}"
        yield f"report     version {report.version} on revision {report.revision}; {who}"


def _provenance(report: SeriesReport) -> Iterator[str]:
    """Return what led to a result: networks, profile, operating point, completeness."""
    yield f"networks   {report.engine.words if report.engine else 'none ran'}"
    yield f"profile    {report.protocol or 'none fits'}"
    if report.operating_point:
        yield f"point      {report.operating_point}, score {report.threshold:g} and above"
    yield f"complete   by {report.completed_by}"
    yield f"result     {report.result_id}"


def _timings_table(report: SeriesReport | None) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("Stage")
    table.add_column("Took", justify="right")
    for stage, seconds in (report.timings_s if report else {}).items():
        table.add_row(stage, f"{seconds:.2f} s")
    return table


def _results_table(results: tuple[ResultView, ...]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("Revision", "At (UTC)", "Result", "Delivered (UTC)", "Acknowledged"):
        table.add_column(column, overflow="fold")
    for result in results:
        seen = result.acknowledged
        delivered = map(_delivery, result.deliveries)
        table.add_row(
            str(result.report.revision),
            to_the_second(result.at_utc),
            WORDS[result.report.state],
            escape("\n".join(delivered)),
            escape(f"{seen.who}, {to_the_second(seen.at_utc)}{_note(seen.note)}") if seen else "",
        )
    return table


def _delivery(one: DeliveryView) -> str:
    """Say how far a delivery is; of one that failed, why."""
    to = f"{one.channel}, report {one.signed_version}" if one.signed_version else one.channel
    if one.delivered_utc:
        remark = f"; {one.remark.text}" if one.remark else ""
        return f"{to} {to_the_second(one.delivered_utc)}{remark}"
    if one.dropped_utc:
        return f"{to}: dropped {to_the_second(one.dropped_utc)}"
    sent = f"sent {to_the_second(one.sent_utc)}, not confirmed" if one.sent_utc else "not yet"
    return f"{to}: {one.problem.text if one.problem else sent}"


def _note(note: str) -> str:
    return f": {note}" if note else ""


def _transitions_table(transitions: tuple[TransitionView, ...]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("Changed (UTC)", "To", "Because"):
        table.add_column(column, overflow="fold")
    for transition in transitions:
        table.add_row(
            f"{transition.at_utc:%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z",
            WORDS[transition.state.value],
            escape(transition.reason.text if transition.reason else ""),
        )
    return table
