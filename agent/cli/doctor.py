"""``bleedwatch doctor``: what is wrong on this computer, and what to do about it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator

import typer
from rich.console import Console
from rich.markup import escape

from agent.cli.options import AsJson, ConfigPath
from agent.cli.outputs import CheckOutput, DoctorOutput
from agent.config import DEFAULT_PATH
from agent.doctor import Line, Mark, examine
from agent.infer import tensorrt_api
from agent.log import LogStream, open_log
from agent.report import reason_report

MARKS = {
    Mark.WELL: "[green]✓[/]",
    Mark.NOTE: "[yellow]·[/]",
    Mark.WRONG: "[bold red]✗[/]",
}


def doctor(config: ConfigPath = DEFAULT_PATH, *, as_json: AsJson = False) -> None:
    """Check all that has to be right on this box.

    One line a check, with what to do where it is wrong; notes, marked ·, are worth knowing.

    Example: sudo bleedwatch doctor
    """
    silent = open_log(LogStream(), json=False, level=logging.CRITICAL)
    lines = examine(config, lambda gpu: tensorrt_api.load(silent, gpu))
    checks = list(lines if as_json else _printed(lines))
    n_wrong = sum(line.result.mark is Mark.WRONG for line in checks)
    out = Console(highlight=False, soft_wrap=True)
    if as_json:
        output = DoctorOutput(well=n_wrong == 0, checks=tuple(map(_output, checks)))
        out.print_json(output.model_dump_json())
    else:
        out.print(
            f"{n_wrong} of {len(checks)} checks found something wrong" if n_wrong else "all well"
        )
    raise typer.Exit(1 if n_wrong else 0)


def _printed(lines: Iterable[Line]) -> Iterator[Line]:
    """Print each line as soon as its check ends, so that one that hangs hides none before it."""
    out = Console(highlight=False, soft_wrap=True)
    for line in lines:
        result = line.result
        what_to_do = f" → {result.what_to_do}" if result.what_to_do else ""
        out.print(f"{MARKS[result.mark]} {line.check:<15}{escape(result.text + what_to_do)}")
        yield line


def _output(line: Line) -> CheckOutput:
    result = line.result
    return CheckOutput(
        check=line.check, mark=result.mark.value, reason=reason_report(result.reason)
    )
