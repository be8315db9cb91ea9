"""``bleedwatch bench corpus``: what becomes of each file below a folder of other people's files."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal, TypeAlias

import typer
from pydicom import dcmread
from rich.markup import escape

from agent.assemble.decoder import DecoderProcess
from agent.assemble.dicom_file import CT_CLASSES, read_slices
from agent.assemble.header import SliceRefused, SliceUnplaced
from agent.assemble.limits import ReadLimits
from agent.assemble.pixels import Decode
from agent.errors import ConfigError, FileRefused
from agent.reasons import english
from build_engine.printing import AsJson, out, print_json, table

Fate: TypeAlias = Literal["slices", "set aside", "row with the reason", "left out", "no row"]

FATES: Final[tuple[Fate, ...]] = (
    "slices",
    "set aside",
    "row with the reason",
    "left out",
    "no row",
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one file.

    ``fate``: its slices were read; it was read and has no place among slices; it has a row that
    says why it was not read; it is no CT image; or it is one, and nobody would hear of it.
    """

    path: Path
    fate: Fate
    reason: str
    series_uid: str


def corpus(
    folder: Annotated[Path, typer.Argument(help="A folder of files of any kind, at any depth.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Read every file below a folder, and table what became of it.

    A CT image without a row on the console is a defect: such files are named, and the exit code
    is 1.

    Example: bleedwatch bench corpus ~/dicom-test-files
    """
    if not folder.is_dir():
        raise ConfigError("corpus_missing", folder=str(folder))
    outcomes = outcomes_of(sorted(path for path in folder.rglob("*") if path.is_file()))
    lost = [one for one in outcomes if one.fate == "no row"]
    if as_json:
        print_json([_plain(one) for one in outcomes])
    else:
        _print(outcomes)
    if lost:
        raise typer.Exit(1)


def outcomes_of(paths: Iterable[Path]) -> list[Outcome]:
    """Read files as the agent does."""
    decoder = DecoderProcess()
    try:
        return [outcome_of(path, decoder.decode) for path in paths]
    finally:
        decoder.close()


def outcome_of(path: Path, decode: Decode) -> Outcome:
    """Read one file as the agent does; whether it is a CT image, pydicom says too."""
    try:
        slices = read_slices(path, ReadLimits(), decode=decode)
    except SliceRefused as error:
        fate: Fate = "set aside" if isinstance(error, SliceUnplaced) else "row with the reason"
        return Outcome(path, fate, _said(error), error.owner.series_uid)
    except FileRefused as error:
        return Outcome(path, "no row" if is_ct(path) else "left out", _said(error), "")
    return Outcome(path, "slices", "", slices[0].header.series_uid)


def is_ct(path: Path) -> bool:
    """Say whether pydicom takes a file for a CT image."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = dcmread(
                path, force=True, specific_tags=["SOPClassUID"], stop_before_pixels=True
            )
        return image.get("SOPClassUID") in CT_CLASSES
    except Exception:  # noqa: BLE001 - whatever a damaged file may raise
        return False


def _said(error: FileRefused) -> str:
    return english(error.reason.without_file())


def _plain(one: Outcome) -> dict[str, str]:
    return {
        "path": str(one.path),
        "fate": one.fate,
        "reason": one.reason,
        "series_uid": one.series_uid,
    }


def _print(outcomes: list[Outcome]) -> None:
    counts = Counter((one.fate, one.reason) for one in outcomes)
    counted = table("What became of it", "Reason", numbers=("Files",))
    for fate in FATES:
        for (of, reason), n in counts.most_common():
            if of == fate:
                counted.add_row(fate, escape(reason), str(n))
    out().print(counted)
    n_lost = sum(one.fate == "no row" for one in outcomes)
    out().print(f"{len(outcomes)} files, {n_lost} without a row")
    for one in outcomes:
        if one.fate == "no row":
            out().print(f"no row: {escape(str(one.path))}: {escape(one.reason)}", soft_wrap=True)
