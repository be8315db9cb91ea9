"""``bleedwatch protocol``: list, show, check, learn and test protocol profiles."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import track

from agent.assemble.protocol import profile_files
from agent.config import DEFAULT_PATH
from agent.errors import ConfigError, FolderUnreachable
from agent.infer.bundle import load_bundle
from agent.infer.plan import ANY_PROTOCOL
from agent.reasons import Reason, english, plain, what_to_do
from build_engine.printing import AsJson, out, print_json
from build_engine.protocols import tables
from build_engine.protocols.catalogue import Entry, Problem, catalogue
from build_engine.protocols.installed import (
    bundle_in_use,
    chosen_entries,
    profiles_with,
    settings_from,
)
from build_engine.protocols.learning import Learned, learn_from
from build_engine.protocols.matching import verdict_on
from build_engine.protocols.sample import Sample, read_sample

protocol = typer.Typer(
    help="Protocol profiles: list, show, check, learn, test.",
    no_args_is_help=True,
)

NAME: Final = re.compile(r"[a-z0-9][a-z0-9.-]*")
"""What a profile may be called: plans are named for it, and their folders too."""

PRINTED: Final = Path("-")
"""In place of a file: printed."""

ConfigPath = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        help=f"The agent's TOML file. Left out, {DEFAULT_PATH}; where there is none, the profiles "
        "as they were installed.",
    ),
]
Folder = Annotated[Path, typer.Argument(help="A folder of exported DICOM files, at any depth.")]


@protocol.command("list")
def list_(config: ConfigPath = None, *, as_json: AsJson = False) -> None:
    """List the profiles, most specific first: what each is for, and what is wrong with one.

    Example: bleedwatch protocol list
    """
    settings = settings_from(config)
    folder = settings.protocols_folder
    bundle, no_bundle = bundle_in_use(settings)
    entries = sorted(catalogue(folder, bundle), key=_rank)
    if as_json:
        profiles = [tables.profile_json(entry) for entry in entries]
        problems = list(map(tables.problem_json, no_bundle))
        print_json({"folder": str(folder), "profiles": profiles, "problems": problems})
        return
    out().print(tables.profiles_table(entries))
    out().print(f"\nin {folder}", markup=False)
    _print_problems((*no_bundle, *(one for entry in entries for one in entry.problems)))


@protocol.command()
def show(
    name: Annotated[str, typer.Argument(help="Name of a profile, as `protocol list` prints it.")],
    config: ConfigPath = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Show every value of a profile, and whether it is its own or the one's that it is based on.

    Example: bleedwatch protocol show ge-head
    """
    (entry,) = chosen_entries([name], settings_from(config), None)
    if entry.file is None or entry.profile is None:
        raise ConfigError(entry.problems[0].reason)
    if as_json:
        rows = tables.values_in_force(entry.file)
        values = {key: {"value": value, "from": origin} for key, value, origin in rows}
        print_json({"name": entry.name, "file": str(entry.path), "values": values})
        return
    out().print(tables.values_table(entry.file))
    out().print(f"\n{entry.path}", markup=False)


@protocol.command()
def check(
    profiles: Annotated[
        list[str] | None,
        typer.Argument(metavar="[FILE or NAME]...", help="Left out, all that are installed."),
    ] = None,
    config: ConfigPath = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Check profiles: keys, patterns, contradictions, bases, names, operating points.

    Exit code 1 if anything is wrong.

    Example: bleedwatch protocol check /tmp/new-scanner.toml
    """
    settings = settings_from(config)
    bundle, no_bundle = bundle_in_use(settings)
    entries = chosen_entries(profiles or (), settings, bundle)
    problems = tables.distinct((*no_bundle, *(one for entry in entries for one in entry.problems)))
    if as_json:
        checked = [str(entry.path) for entry in entries]
        print_json({"checked": checked, "problems": list(map(tables.problem_json, problems))})
    else:
        _print_problems(problems)
        if not problems:
            names = ", ".join(entry.name for entry in entries)
            out().print(f"nothing wrong with {names}", markup=False)
    if problems:
        raise typer.Exit(1)


@protocol.command()
def learn(
    folder: Folder,
    config: ConfigPath = None,
    *,
    name: Annotated[
        str | None, typer.Option(help="The profile's name. Left out, one for the scanner.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="File to write; - prints it. Left out, one beside the box's other profiles.",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Read a sample export and draft the profile of its scanner, saying what was inferred how.

    Takes the plain head series that show a whole head, of one scanner. Nothing of a patient is
    written. The draft is the profile's file; the agent uses it from its next start on. What was
    read and left out is told on stderr.

    Example: bleedwatch protocol learn /media/usb/sample
    """
    _check_name(name)
    settings = settings_from(config)
    printed = output == PRINTED
    own = settings.protocols_folder / f"{name}.toml" if name and force else None
    replaced = None if printed else output or own
    _keep_file(replaced, force=force)
    here = replaced.resolve() if replaced else None
    files = profile_files(settings.protocols_folder)
    others = [file for file in files if file.path.resolve() != here]
    slab_mm = load_bundle(settings.bundle_folder).contract.slices.slab_mm
    sample = _read(folder)
    learned = learn_from(sample.series, others, slab_mm, name)
    if output is None:
        output = settings.protocols_folder / f"{learned.draft.name}.toml"
    if printed:
        output = None
    else:
        _keep_file(output, force=force)
        _write(output, learned.draft.text)
    if as_json:
        print_json(_learned_json(learned, sample, output))
        return
    if not output:
        typer.echo(learned.draft.text, nl=False)
    _tell_learned(learned, sample, folder, output)


@protocol.command("test")
def match(
    folder: Folder,
    config: ConfigPath = None,
    *,
    draft: Annotated[
        Path | None,
        typer.Option(help="File of a profile to try as if it were installed."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say which profile matches each series in a folder, and why the others do not.

    Example: bleedwatch protocol test /media/usb/sample --draft /tmp/new-scanner.toml
    """
    profiles = profiles_with(settings_from(config), draft)
    sample = _read(folder)
    verdicts = [(series, verdict_on(series, profiles)) for series in sample.series]
    if as_json:
        listed = [{**tables.series_json(s), **tables.verdict_json(one)} for s, one in verdicts]
        print_json({"series": listed, "left_out": _left_out_json(sample)})
        return
    for series, verdict in verdicts:
        out().print("\n".join(tables.series_lines(series, verdict)), end="\n\n")
    if not verdicts:
        out().print(f"no CT series in {folder}", markup=False)
    _print_lines(out(), tables.left_out_lines(sample.left_out, folder))


def _rank(entry: Entry) -> tuple[float, str]:
    """Most specific first; what cannot be used comes last."""
    return (-entry.profile.n_demands if entry.profile else 1.0, entry.name)


def _read(folder: Path) -> Sample:
    if not folder.is_dir():
        raise FolderUnreachable("sample_folder_missing", folder=str(folder))
    return read_sample(folder, _progress)


def _progress(paths: Sequence[Path]) -> Iterable[Path]:
    """Show on a terminal how far the reading is."""
    console = Console(stderr=True)
    quiet = not console.is_terminal
    return track(paths, "reading", console=console, transient=True, disable=quiet)


def _check_name(name: str | None) -> None:
    if name is not None and (name == ANY_PROTOCOL or not NAME.fullmatch(name)):
        raise ConfigError("profile_name_unfit", name=name)


def _keep_file(path: Path | None, *, force: bool) -> None:
    """Refuse to replace a file, unless it is to be."""
    if path and path.exists() and not force:
        raise ConfigError("profile_file_exists", path=str(path))


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError("profile_unwritable", path=str(path), why=str(error.strerror)) from error


def _tell_learned(learned: Learned, sample: Sample, folder: Path, output: Path | None) -> None:
    err, lines = Console(stderr=True, highlight=False, soft_wrap=True), []
    for series in learned.used:
        lines.append(f"learned from: {escape(tables.series_title(series))}")
        profile = learned.matched[series.uid]
        if profile != learned.draft.name:
            lines.append(f"  [yellow]but with the draft installed it has {escape(str(profile))}[/]")
    for series in sample.series:
        if series.uid in learned.left_out:
            why = tables.shown(english(learned.left_out[series.uid]))
            lines.append(f"left out: {escape(tables.series_title(series))}: {why}")
    lines += tables.left_out_lines(sample.left_out, folder)
    if output:
        lines.append(f"[green]wrote[/] {escape(str(output))}")
        lines.append("  → read it and try it with `protocol test` before the agent is restarted,")
        lines.append("    which then uses it where it lies beside the other profiles")
    _print_lines(err, lines)


def _learned_json(learned: Learned, sample: Sample, output: Path | None) -> dict[str, Any]:
    draft = learned.draft
    return {
        "name": draft.name,
        "based_on": draft.based_on,
        "draft": draft.text,
        "inferred": list(map(asdict, draft.lines)),
        "left_to_base": [{"key": one.key, "why": one.why} for one in draft.left],
        "series": [
            {
                **tables.series_json(series),
                "left_out": _plain(learned.left_out.get(series.uid)),
                "profile_with_draft": learned.matched.get(series.uid),
            }
            for series in sample.series
        ],
        "left_out": _left_out_json(sample),
        "written": str(output) if output else None,
    }


def _plain(reason: Reason | None) -> dict[str, Any] | None:
    return plain(reason) if reason else None


def _left_out_json(sample: Sample) -> list[dict[str, Any]]:
    return [
        {"reason": plain(reason), "paths": [str(path) for path in paths]}
        for reason, paths in tables.by_reason(sample.left_out).items()
    ]


def _print_problems(problems: Iterable[Problem]) -> None:
    for problem in tables.distinct(problems):
        out().print(f"[red]{escape(str(problem))}[/]\n  → {escape(what_to_do(problem.because))}")


def _print_lines(console: Console, lines: Sequence[str]) -> None:
    for line in lines:
        console.print(line)
