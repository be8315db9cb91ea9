"""``bleedwatch bench perfusion``: a head's answer beside a perfusion, with a bound on memory."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from typing import Annotated, Final

import typer
from pydicom import dcmread

from agent.records import Subtype
from build_engine.bench.latency import ALERT_S, READY_S
from build_engine.bench.setting import Folder, analysed, fresh_study, scratch_folder
from build_engine.play.console_client import ConsoleClient
from build_engine.play.local_agent import local_agent
from build_engine.play.simulate import ExportFile, axial_files, head_for, play
from build_engine.printing import AsJson, out, print_json, table
from build_engine.synth.dicom import file_bytes
from build_engine.synth.head import HeadRecipe, SynthHead
from build_engine.synth.presets import GE_32X5

POSITIONS: Final = 320
SPACING_MM: Final = 0.5
"""Slices that a detector of 16 cm gives each time it looks, and how far apart they are."""

FIRST_UID_END: Final = b"1000000"
FIRST_Z: Final = b"1000.000"
"""What stands in the first image's header in the place of each one's own."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One head's way: from its last slice to the alert, and the agent's largest memory so far.

    ``beside`` is how many images of a perfusion came into the watched folder meanwhile: none in the
    first run of each ``pair``, where they were written elsewhere. The second follows at once.
    """

    pair: int
    beside: int
    total_s: float
    peak_memory_mb: float


def perfusion(
    *,
    slices: Annotated[int, typer.Option(help="Images of the perfusion.", min=1)] = 10_000,
    memory_mb: Annotated[
        int, typer.Option(help="Memory that the agent may write to [MiB].")
    ] = 2048,
    per_s: Annotated[
        float, typer.Option(help="Images of the perfusion a second.", min=0.1)
    ] = 400.0,
    pairs: Annotated[int, typer.Option(help="Heads alone, each with one beside.", min=1)] = 3,
    as_json: AsJson = False,
    folder: Folder = None,
) -> None:
    """Measure a head with a bleed alone, and while a perfusion is exported beside it.

    The perfusion's files are of full size, but sparse: its pixels take no room on the disk, and
    would take as much memory as any if they were read. Beside a head alone they are written too,
    into a folder that nobody watches: what writing takes of this computer is the scanner's. Both
    are measured by turns, so that other work slows both: the median of the pairs' ratios counts.

    Example: bleedwatch bench perfusion --slices 10000
    """
    with out(stderr=True).status("generating a head …"):
        head = head_for(GE_32X5, HeadRecipe(1, Subtype.SUBDURAL))
    rows = []
    for pair in range(pairs):
        for watched in (False, True):
            status = out(stderr=True).status(
                f"pair {pair + 1}: {'beside' if watched else 'without'} a perfusion …"
            )
            with scratch_folder(folder) as scratch, status:
                into = scratch / ("export" if watched else "unwatched")
                measured = _measured(head, scratch, (into, slices), (memory_mb * 2**20, per_s))
            rows.append(Measured(pair, slices if watched else 0, *measured))
    if as_json:
        print_json([asdict(row) for row in rows])
        return
    out().print(f"32 slices of 512², the agent's memory bounded to {memory_mb} MiB")
    _print(rows)


def _print(rows: Sequence[Measured]) -> None:
    """Table each pair, and the median of their ratios."""
    numbers = ("Alone", "Beside", "Ratio", "Memory alone", "Beside", "Ratio")
    shown = table("Pair", numbers=numbers)
    latency, memory = [], []
    for alone, beside in zip(rows[::2], rows[1::2], strict=True):
        latency.append(beside.total_s / alone.total_s)
        memory.append(beside.peak_memory_mb / alone.peak_memory_mb)
        shown.add_row(
            str(alone.pair + 1),
            *(f"{one.total_s:.2f} s" for one in (alone, beside)),
            f"{latency[-1]:.2f}",
            *(f"{one.peak_memory_mb:.0f} MB" for one in (alone, beside)),
            f"{memory[-1]:.2f}",
        )
    out().print(shown)
    out().print(
        f"beside {rows[1].beside} images of a perfusion, median of {len(latency)} pairs: "
        f"last slice → alert {statistics.median(latency):.2f} times as long as alone, "
        f"peak memory {statistics.median(memory):.2f} times as much",
        soft_wrap=True,
    )


def _measured(
    head: SynthHead, scratch: Path, perfusion: tuple[Path, int], bounds: tuple[int, float]
) -> tuple[float, float]:
    """Measure one head: from its last slice to the alert [s], and the agent's peak memory [MB].

    ``perfusion`` is where the other series is written meanwhile, and how many images it has.
    """
    (into, n_images), (memory_bytes, per_s) = perfusion, bounds
    study = fresh_study()
    with (
        local_agent(scratch, memory_bytes=memory_bytes) as agent,
        ConsoleClient(agent.port, lambda _: None) as client,
    ):
        agent.wait_for("agent ready", lambda s: client.well(s) or None, READY_S)
        files = axial_files(head, GE_32X5, study)
        with _perfusion(into / "perfusion", files[12], n_images, per_s):
            played = play(agent.export_folder, files, GE_32X5.slices_per_s, agent.check)
            last_s = played.last_on_disk_monotonic_s
            alert = agent.wait_for(
                "result", lambda s: client.alert(study.series_uid, last_s, s), ALERT_S
            )
        agent.check()
        return analysed(alert).received_monotonic_s - last_s, agent.peak_memory_mb()


@contextmanager
def _perfusion(folder: Path, like: ExportFile, n: int, per_s: float) -> Iterator[None]:
    """Export so many images meanwhile; at the end of the block all of them are there."""
    exporting = threading.Thread(target=_export, args=(folder, like, n, per_s), daemon=True)
    exporting.start()
    yield
    exporting.join()


def _export(folder: Path, like: ExportFile, n: int, per_s: float) -> None:
    """Write images of a perfusion: each with a header of its own, and pixels that are a hole."""
    header, size_bytes = _header(like)
    folder.mkdir(parents=True)
    began_s = time.monotonic()
    for number in range(n):
        time.sleep(max(0.0, began_s + number / per_s - time.monotonic()))
        own = header.replace(FIRST_UID_END, b"%07d" % (int(FIRST_UID_END) + number))
        own = own.replace(FIRST_Z, b"%08.3f" % (number % POSITIONS * SPACING_MM))
        with (folder / f"{number:05d}").open("wb") as file:
            file.write(own)
            file.truncate(size_bytes)


def _header(like: ExportFile) -> tuple[bytes, int]:
    """Return all before the pixels of a perfusion's first image, and how large its file is."""
    image, study = dcmread(BytesIO(like.content)), fresh_study()
    image.SeriesInstanceUID = study.uid("perfusion")
    image.SeriesDescription = "CTP Brain 4D"
    image.SOPInstanceUID = f"{study.uid('image')[:50].rstrip('.')}.{FIRST_UID_END.decode()}"
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    image.ImagePositionPatient = ["-120.000", "-120.000", FIRST_Z.decode()]
    content = file_bytes(image)
    return content[: -len(image.PixelData)], len(content)
