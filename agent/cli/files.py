"""``bleedwatch files``: what became of each file in the export folder."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.markup import escape

from agent.cli.options import AsJson, ConfigPath
from agent.cli.outputs import FileOutput, FilesOutput
from agent.cli.stores import opened
from agent.cli.tables import ending
from agent.config import DEFAULT_PATH
from agent.errors import legible
from agent.report import reason_report, to_the_second
from agent.store.rows import FileNote

MOST_ROWS: Final = 50


def files(
    config: ConfigPath = DEFAULT_PATH,
    *,
    refused: Annotated[
        bool, typer.Option("--refused", help="Only those that could not be used.")
    ] = False,
    limit: Annotated[int, typer.Option(help="No more than so many.", min=1)] = MOST_ROWS,
    as_json: AsJson = False,
) -> None:
    """List the files that came last, and why one is no slice.

    Example: bleedwatch files --refused
    """
    with opened(config) as queries:
        came = [_output(note) for note in queries.files(limit, refused=refused)]
    if as_json:
        typer.echo(FilesOutput(files=tuple(came)).model_dump_json(indent=2))
        return
    out = Console(highlight=False, soft_wrap=True)
    for one in came:
        series = f"of series {ending(one.series_uid)}" if one.series_uid else "of no series"
        out.print(f"{to_the_second(one.written_utc)}  [bold]{escape(one.path)}[/], {series}")
        if one.refused:
            out.print(f"  [yellow]{escape(one.refused.text)}[/]")
            out.print(f"  → {one.refused.what_to_do}", markup=False)


def _output(note: FileNote) -> FileOutput:
    written_s = note.mtime_ns // 1_000_000_000
    return FileOutput(
        path=legible(note.path),
        written_utc=datetime.fromtimestamp(written_s, timezone.utc),
        size_bytes=note.size_bytes,
        series_uid=note.series_uid,
        sop_uid=note.sop_uid,
        refused=reason_report(note.refusal) if note.refusal else None,
    )
