"""``bleedwatch simulate``: play a scanner that exports head series into a folder."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Annotated, Final, TypeAlias

import numpy as np
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from agent.errors import ConfigError
from agent.records import Subtype
from build_engine.synth.dicom import SyntheticStudy, datasets, file_bytes, localizer
from build_engine.synth.head import HeadRecipe, SynthHead, make_head
from build_engine.synth.presets import GE_32X5, PRESETS, ScannerPreset

COARSE_KJI_MM: Final = (2.5, 1.25, 1.25)
"""Voxels of heads for slices at least this thick [mm]: quicker to generate."""

FINE_KJI_MM: Final = (1.0, 1.0, 1.0)
"""Voxels of heads for thinner slices [mm]."""

REPLAYED_PER_S: Final = 20.0
"""Pace at which an existing folder is played, where none is given [files/s]."""


class Bleed(str, Enum):
    """What ``--bleed`` takes."""

    NONE = "none"
    INTRAPARENCHYMAL = "intraparenchymal"
    INTRAVENTRICULAR = "intraventricular"
    SUBARACHNOID = "subarachnoid"
    SUBDURAL = "subdural"
    EPIDURAL = "epidural"


class Order(str, Enum):
    """In which order slices are exported."""

    ASCENDING = "ascending"
    DESCENDING = "descending"
    SHUFFLED = "shuffled"


@dataclass(frozen=True, slots=True)
class ExportFile:
    """One file of an export; ``name`` is its path below the export folder."""

    name: Path
    content: bytes


Export: TypeAlias = Callable[[Sequence[ExportFile], float, Callable[[], object]], object]
"""Takes files, how many of them leave in a second, and what is called after each."""


@dataclass(frozen=True, slots=True)
class Played:
    """When the first and the last file were whole on disk, on the clock all processes share."""

    first_on_disk_monotonic_s: float
    last_on_disk_monotonic_s: float


def head_for(preset: ScannerPreset, recipe: HeadRecipe) -> SynthHead:
    """Make a head as finely as the preset's slices can show it."""
    thin = min(preset.thicknesses_mm) < COARSE_KJI_MM[0]
    return make_head(recipe, FINE_KJI_MM if thin else COARSE_KJI_MM)


def axial_files(
    head: SynthHead, preset: ScannerPreset, study: SyntheticStudy
) -> tuple[ExportFile, ...]:
    """Encode a study's axial series, lowest slice first."""
    folder = Path(study.patient_id) / study.study_uid / "2"
    return tuple(
        ExportFile(
            folder / preset.file_name.format(number=number, sop_uid=image.SOPInstanceUID),
            file_bytes(image),
        )
        for number, image in enumerate(datasets(head, preset, study), 1)
    )


def localizer_file(head: SynthHead, preset: ScannerPreset, study: SyntheticStudy) -> ExportFile:
    """Encode the scout view that a scanner exports before the series."""
    image = localizer(head, preset, study)
    name = preset.file_name.format(number=1, sop_uid=image.SOPInstanceUID)
    return ExportFile(Path(study.patient_id) / study.study_uid / "1" / name, file_bytes(image))


def files_below(folder: Path) -> tuple[ExportFile, ...]:
    """Read an exported folder, sorted by name, to be played again.

    Raises
    ------
    ConfigError
        There is no file in it.
    """
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    if not paths:
        raise ConfigError("nothing_to_play", folder=str(folder))
    return tuple(ExportFile(path.relative_to(folder), path.read_bytes()) for path in paths)


def without(upwards: Sequence[ExportFile], missing: Sequence[int]) -> tuple[ExportFile, ...]:
    """Leave slices out, counted from 1, as a scanner does whose export failed for them.

    Raises
    ------
    ConfigError
        There is no such slice.
    """
    unknown = set(missing) - set(range(1, len(upwards) + 1))
    if unknown:
        raise ConfigError("no_slice_to_leave_out", k=min(unknown), n_slices=len(upwards))
    return tuple(file for number, file in enumerate(upwards, 1) if number not in missing)


def in_order(upwards: Sequence[ExportFile], order: Order, seed: int) -> tuple[ExportFile, ...]:
    """Put files, given lowest first, into the order of an export."""
    if order is Order.SHUFFLED:
        return tuple(upwards[n] for n in np.random.default_rng(seed).permutation(len(upwards)))
    return tuple(upwards if order is Order.ASCENDING else upwards[::-1])


def at_pace(files: Sequence[ExportFile], per_s: float) -> Iterator[ExportFile]:
    """Give a file when its time has come.

    The pace is kept by the clock, so that a slow disk or network does not stretch the export.
    """
    started_s = time.monotonic()
    for n, file in enumerate(files):
        time.sleep(max(0.0, started_s + n / per_s - time.monotonic()))
        yield file


def play(
    folder: Path, files: Sequence[ExportFile], per_s: float, written: Callable[[], object]
) -> Played:
    """Write ``files`` below ``folder`` as a scanner does: ``per_s`` a second, to their final names.

    ``written`` is called after each one.
    """
    on_disk_s = []
    for file in at_pace(files, per_s):
        path = folder / file.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.content)
        on_disk_s.append(time.monotonic())
        written()
    return Played(on_disk_s[0], on_disk_s[-1])


def send(to: str, files: Sequence[ExportFile], per_s: float, written: Callable[[], object]) -> None:
    """Send ``files`` to ``AE@HOST:PORT`` by C-STORE, ``per_s`` a second, in one association.

    ``written`` is called after each one.

    Raises
    ------
    ConfigError
        The address is none, a file is not DICOM, or the package that sends is not installed.
    RequestRefused
        There is no association, or an image is not taken.
    """
    try:
        from build_engine.play.scu import storing  # noqa: PLC0415 - of the dicom extra
    except ModuleNotFoundError as error:
        raise ConfigError("dicom_package_missing", package=error.name or "") from error
    with storing(to, [file.content for file in files]) as store:
        for file in at_pace(files, per_s):
            store(file.content)
            written()


def chosen_preset(name: str) -> ScannerPreset:
    """Look a preset up by its name.

    Raises
    ------
    ConfigError
        There is none of that name.
    """
    if name not in PRESETS:
        raise ConfigError("preset_unknown", name=name, known=", ".join(PRESETS))
    return PRESETS[name]


def simulate(  # noqa: PLR0913 - a command's parameters are its options
    folder: Annotated[
        Path | None, typer.Argument(help="The export folder to write into.", show_default=False)
    ] = None,
    *,
    to: Annotated[
        str | None,
        typer.Option(help="AE@HOST:PORT to send to by C-STORE instead, as SIMULATOR."),
    ] = None,
    preset: Annotated[
        list[str] | None,
        typer.Option(help=f"Scanner: {', '.join(PRESETS)}. Several are taken in turn."),
    ] = None,
    bleed: Annotated[
        Bleed | None,
        typer.Option(help="Kind of bleed. Left out, every second head has one of any kind."),
    ] = None,
    volume_ml: Annotated[float, typer.Option(help="Its volume in mL.", min=1, max=150)] = 20.0,
    rate: Annotated[
        float | None, typer.Option(help="Files per second. Left out, the scanner's own.", min=0.1)
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Makes the same studies again. Left out, new ones.", min=0)
    ] = None,
    source: Annotated[
        Path | None, typer.Option("--from", help="Play the files of this folder instead.")
    ] = None,
    order: Annotated[
        Order | None, typer.Option(help="Order of export. Left out, the scanner's own.")
    ] = None,
    missing: Annotated[
        list[int] | None,
        typer.Option(help="Slice, the lowest is 1, that is never exported. May be repeated."),
    ] = None,
    studies: Annotated[int, typer.Option(help="How many studies to play.", min=1)] = 1,
) -> None:
    """Play a scanner: generated heads for a folder or an inlet.

    Example: bleedwatch simulate /srv/ct-export --preset ge-32x5 --bleed subdural --volume-ml 30
    """
    out, export = Console(highlight=False), _export(folder, to)
    if source is not None:
        upwards = without(files_below(source), missing or ())
        files = in_order(upwards, order or Order.ASCENDING, seed or 0)
        with _progress(out, f"files of {source}", len(files)) as written:
            export(files, rate or REPLAYED_PER_S, written)
        return
    seed = secrets.randbits(32) if seed is None else seed
    out.print(f"[dim]seed {seed}: --seed {seed} makes the same heads again[/]")
    scanners = [chosen_preset(name) for name in preset or [GE_32X5.name]]
    for n in range(studies):
        scanner = scanners[n % len(scanners)]
        recipe = HeadRecipe(seed + n, _subtype(bleed, seed, n), volume_ml)
        with out.status("generating a head …"):
            scout, upwards = _study_files(scanner, recipe, n + 1)
        own = Order.ASCENDING if scanner.ascending else Order.DESCENDING
        axial = in_order(without(upwards, missing or ()), order or own, recipe.seed)
        files = scout, *axial
        with _progress(out, f"{_bleed_text(recipe)}, {scanner.model}", len(files)) as written:
            export(files, rate or scanner.slices_per_s, written)


def _export(folder: Path | None, to: str | None) -> Export:
    """Return how files leave: into a folder, or by C-STORE."""
    if folder is not None and to is None:
        return partial(play, folder)
    if folder is None and to is not None:
        return partial(send, to)
    raise typer.BadParameter("name either a folder or --to")


def _study_files(
    scanner: ScannerPreset, recipe: HeadRecipe, number: int
) -> tuple[ExportFile, tuple[ExportFile, ...]]:
    """Generate one study: its scout view, and its slices from the lowest up."""
    given_name = recipe.bleed.name if recipe.bleed else "NO BLEED"
    now = datetime.now(timezone.utc)
    study = SyntheticStudy(recipe.seed, f"DEMO^{given_name}", f"DEMO-{number:03d}", now)
    head = head_for(scanner, recipe)
    return localizer_file(head, scanner, study), axial_files(head, scanner, study)


def _subtype(bleed: Bleed | None, seed: int, n: int) -> Subtype | None:
    """Kind of bleed of study ``n``."""
    if bleed is not None:
        return Subtype.__members__.get(bleed.name)
    drawn = Subtype(int(np.random.default_rng((seed, n)).integers(1, len(Subtype) + 1)))
    return drawn if n % 2 == 0 else None


def _bleed_text(recipe: HeadRecipe) -> str:
    if recipe.bleed is None:
        return "no bleed"
    return f"{recipe.bleed.word} {recipe.volume_ml:g} mL"


@contextmanager
def _progress(out: Console, what: str, count: int) -> Iterator[Callable[[], object]]:
    """Show how far an export is on a terminal; elsewhere, one line when it is over."""
    if not out.is_terminal:
        yield lambda: None
        out.print(f"{what}: {count} files", markup=False)
        return
    columns = TextColumn("{task.description}", markup=False), BarColumn(24), MofNCompleteColumn()
    with Progress(*columns, console=out) as progress:
        task = progress.add_task(what, total=count)
        yield lambda: progress.advance(task)
