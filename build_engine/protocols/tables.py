"""Profiles and series as service engineers read them in a terminal, and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

from rich.markup import escape
from rich.table import Table

from agent.assemble.protocol import BASED_ON, ProfileFile, ProtocolProfile
from agent.reasons import Reason, english, plain, what_to_do
from build_engine.protocols.catalogue import Entry, Problem
from build_engine.protocols.drafts import toml_value
from build_engine.protocols.header_text import printable
from build_engine.protocols.inference import DEMANDS
from build_engine.protocols.matching import Verdict
from build_engine.protocols.sample import SampleSeries

NAMED_FILES: Final = 3
"""Of files left out for one reason, so many are named."""


def profiles_table(entries: Sequence[Entry]) -> Table:
    """Lay profiles out, one a row."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("Profile", "For", "Operating point", "File, based on"):
        table.add_column(column, no_wrap=column != "For", overflow="fold")
    for entry in entries:
        values, own = (entry.file.values, entry.file.own) if entry.file else ({}, {})
        asked = [f"{key} {values[key]}" for key in DEMANDS if key in values]
        base = f"\n  on {own[BASED_ON]}" if BASED_ON in own else ""
        table.add_row(
            escape(entry.name),
            escape("\n".join(asked) or ("any scanner" if entry.file else "?")),
            escape(str(values.get("operating_point", "?"))),
            escape(entry.path.name + base),
            style="" if entry.profile else "yellow",
        )
    return table


def profile_json(entry: Entry) -> dict[str, Any]:
    """Say what ``list`` does."""
    values = entry.file.values if entry.file else {}
    return {
        "name": entry.name,
        "file": str(entry.path),
        BASED_ON: entry.file.own.get(BASED_ON) if entry.file else None,
        "operating_point": values.get("operating_point"),
        **{key: values.get(key) for key in DEMANDS},
        "problems": [problem_json(problem) for problem in entry.problems],
    }


def problem_json(problem: Problem) -> dict[str, Any]:
    """Say what ``check`` does."""
    return {
        "file": str(problem.file),
        "key": problem.key,
        "reason": plain(problem.because),
    }


def values_in_force(file: ProfileFile) -> list[tuple[str, Any, str]]:
    """List every key of a profile, its value, and the file that it is from."""
    rows = []
    for key in (field.name for field in fields(ProtocolProfile)):
        origin = "not asked" if key not in file.values else "own"
        if file.base and key in file.base.own and key not in file.own:
            origin = str(file.base.own.get("name"))
        rows.append((key, file.values.get(key), origin))
    return rows


def values_table(file: ProfileFile) -> Table:
    """Lay out every value in force."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("Key", "From", "Value"):
        table.add_column(column, overflow="fold")
    for key, value, origin in values_in_force(file):
        style = "bold" if origin == "own" else "dim" if value is None else ""
        shown = "" if value is None else toml_value(value)
        table.add_row(key, escape(origin), escape(shown), style=style)
    return table


def series_lines(series: SampleSeries, verdict: Verdict) -> list[str]:
    """Tell of one series what matches it and why the other profiles do not, in rich's markup."""
    lines = [f"[bold]{escape(series_title(series))}[/]", f"  [dim]{series.uid}[/]"]
    if verdict.profile:
        lines.append(f"  [green]→ {escape(verdict.profile)}[/]")
    if verdict.refusal:
        what = "but not analysed" if verdict.profile else "→ none, not analysed"
        remedy = what_to_do(verdict.refusal)
        hint = f" ({remedy})" if remedy else ""
        lines.append(f"  [yellow]{what}: {shown(english(verdict.refusal))}[/]{shown(hint)}")
    if verdict.missing:
        missing = shown("; ".join(map(english, verdict.missing)))
        lines.append(f"  [yellow]{missing}: so it is never called not suspected[/]")
    lines += [f"    {shown(each)}" for each in verdict.evidence]
    width = max(map(len, verdict.others), default=0)
    lines += [
        f"    [dim]{escape(name.ljust(width))}  {shown('; '.join(map(english, reasons)))}[/]"
        for name, reasons in verdict.others.items()
    ]
    return lines


def series_title(series: SampleSeries) -> str:
    """Name a series by what was scanned and how, never by whom."""
    if not series.headers:
        return "a series without one readable image"
    first = (series.slices or series.headers)[0]
    kernels = sorted({header.kernel for header in series.headers if header.kernel})
    kernel = f"kernel {', '.join(kernels)}" if kernels else "no kernel given"
    scanner = f"{first.manufacturer} {first.model}".strip() or "scanner not given"
    return printable(
        " · ".join((first.description or "no description", kernel, _images(series), scanner))
    )


def _images(series: SampleSeries) -> str:
    n = len(series.slices)
    counts = {"slice": n, "localizer image": len(series.headers) - n}
    return " and ".join(f"{n} {what}{'s' * (n > 1)}" for what, n in counts.items() if n)


def series_json(series: SampleSeries) -> dict[str, Any]:
    """Name a series by what was scanned and how, never by whom."""
    first = next(iter(series.slices or series.headers), None)
    return {
        "series_uid": series.uid,
        "description": first.description if first else None,
        "kernel": first.kernel if first else None,
        "manufacturer": first.manufacturer if first else None,
        "model": first.model if first else None,
        "images": len(series.headers),
        "slices": len(series.slices),
    }


def verdict_json(verdict: Verdict) -> dict[str, Any]:
    """Say what matches a series, and what each other profile has against it."""
    return {
        "profile": verdict.profile,
        "refusal": plain(verdict.refusal) if verdict.refusal else None,
        "missing": list(map(plain, verdict.missing)),
        "others": {name: list(map(plain, reasons)) for name, reasons in verdict.others.items()},
    }


def left_out_lines(left_out: dict[Path, Reason], folder: Path) -> list[str]:
    """Tell why files are in no series, one line a reason."""
    return [
        f"left out: {shown(_files(paths, folder))}: {shown(english(reason))}"
        for reason, paths in by_reason(left_out).items()
    ]


def by_reason(left_out: dict[Path, Reason]) -> dict[Reason, list[Path]]:
    """Gather files by the reason for which they were left out."""
    gathered: dict[Reason, list[Path]] = {}
    for path, reason in left_out.items():
        gathered.setdefault(reason, []).append(path)
    return gathered


def _files(paths: Sequence[Path], folder: Path) -> str:
    named = ", ".join(str(path.relative_to(folder)) for path in paths[:NAMED_FILES])
    return named if len(paths) <= NAMED_FILES else f"{named} and {len(paths) - NAMED_FILES} more"


def shown(text: str) -> str:
    """Show a text from outside as it is: one line, and no markup."""
    return escape(printable(text))


def distinct(problems: Iterable[Problem]) -> list[Problem]:
    """Name each problem once, however many profiles inherit it."""
    return list(dict.fromkeys(problems))
