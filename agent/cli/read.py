"""``bleedwatch read``: a whole archive, after the fact."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from agent.cli.options import AsJson
from agent.cli.outputs import ReadOutput
from agent.config import DEFAULT_PATH, Config, load_config
from agent.retrospect.comparison import Comparison, compared
from agent.retrospect.run import Progress, read_archive, rows_of


def read(
    archive: Annotated[Path, typer.Argument(help="A folder of DICOM files, at any depth.")],
    to: Annotated[Path, typer.Option(help="Folder for rows and index, which is gone on from.")],
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", help=f"The agent's TOML file, such as {DEFAULT_PATH}."),
    ] = None,
    *,
    on: Annotated[
        str | None,
        typer.Option(help="`local` processes, `ray` here or ray://HOST:10001; else this process."),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(help="name/version of a bundle that has read it before: compare."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Read every series of an archive once: a Parquet row each.

    Stopped or killed, the same command goes on where it was. With --against, what the two bundles
    say of each series is compared.

    Example: bleedwatch read /mnt/pacs/2025 --to /srv/read --on local
    """
    settings = load_config(config) if config else Config(export_folder=archive)
    told = Progress()
    with Console(stderr=True).status("looking for series …") as status:
        for told in read_archive(archive, to, settings, on):
            status.update(f"{told.n_read} of {told.n_waiting} series read …")
    rows = rows_of(to, settings, settings.infer.bundle)
    comparison = compared(rows_of(to, settings, against).read(), rows.read()) if against else None
    out = Console(highlight=False, soft_wrap=True)
    if as_json:
        out.print_json(_output(told, comparison).model_dump_json())
        return
    _print_read(out, told)
    if comparison:
        _print_compared(out, comparison)


def _output(told: Progress, comparison: Comparison | None) -> ReadOutput:
    return ReadOutput(
        known=told.n_known,
        read=told.n_read,
        other_files=told.n_other_files,
        states=dict(told.states),
        workers=told.n_workers,
        read_by=dict(told.read_by),
        wall_s=round(told.wall_s, 3),
        share_busy=told.share_busy,
        comparison=comparison,
    )


def _print_read(out: Console, told: Progress) -> None:
    answers = ", ".join(f"{count} {state}" for state, count in told.states.most_common())
    out.print(f"{told.n_read} series read{f': {answers}' if answers else ''}", markup=False)
    out.print(f"{told.n_known} had a row before; {told.n_other_files} files are no CT images")
    if told.n_read and told.share_busy is not None:
        out.print(
            f"{60 * told.n_read / told.wall_s:.1f} series a minute by {told.n_workers} workers, "
            f"which were busy for {told.share_busy:.0%} of the time"
        )
        for worker, count in sorted(told.read_by.items()):
            out.print(f"  {worker or 'none'}: {count}", markup=False)


def _print_compared(out: Console, comparison: Comparison) -> None:
    out.print(
        f"{comparison.n_series} series read by both bundles; {comparison.only_before} by the "
        f"earlier one alone, {comparison.only_after} by the later one alone"
    )
    for answers, count in comparison.answers.items():
        out.print(f"  {answers}: {count}", markup=False)
    for name, spread in (
        ("score", comparison.score_difference),
        ("volume [mL]", comparison.volume_difference_ml),
    ):
        if spread:
            median, low, high = spread
            out.print(f"{name}, later less earlier: {median:+.3f} ({low:+.3f} … {high:+.3f})")
    for change in comparison.changes:
        scores = f"{change.score_before} → {change.score_after}"
        out.print(
            f"  {change.series_uid}: {change.before} → {change.after}, score {scores}",
            markup=False,
        )
