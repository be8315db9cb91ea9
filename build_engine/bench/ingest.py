"""``bleedwatch bench ingest``: reading a series, beside what dcm2niix takes for it."""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from agent.assemble.dicom_file import read_slices
from agent.assemble.limits import ReadLimits
from agent.assemble.series import GrowingSeries
from agent.errors import ConfigError
from build_engine.bench.setting import Folder, Runs, fresh_study, scratch_folder
from build_engine.play.simulate import axial_files, head_for, play
from build_engine.printing import COLOURS, AsJson, Png, blank, out, print_json, table, to_plot
from build_engine.synth.head import HeadRecipe
from build_engine.synth.presets import THIN_0_625

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def ingest(
    *, runs: Runs = 5, png: Png = None, as_json: AsJson = False, folder: Folder = None
) -> None:
    """Compare reading 300 uncompressed slices into a volume with what dcm2niix takes for it.

    Both read the same files from the same disk, in turn. dcm2niix also starts up and writes the
    volume; the agent's reader also checks every file, and digests its pixels.

    Example: bleedwatch bench ingest --runs 9 --png ingest.png
    """
    plot = to_plot(png)
    beside_python = str(Path(sys.executable).parent)  # an environment need not be activated
    dcm2niix = shutil.which("dcm2niix") or shutil.which("dcm2niix", path=beside_python)
    if dcm2niix is None:
        raise ConfigError("dcm2niix_missing")
    with scratch_folder(folder) as scratch:
        with out(stderr=True).status("generating 300 slices …"):
            head = head_for(THIN_0_625, HeadRecipe(1, None))
            files = axial_files(head, THIN_0_625, fresh_study())
            play(scratch / "in", files, float("inf"), lambda: None)
        paths = [scratch / "in" / file.name for file in files]
        ours_s, theirs_s = [], []
        for _ in range(runs):
            ours_s.append(_timed_reading_s(paths))
            theirs_s.append(_timed_dcm2niix_s(dcm2niix, scratch))
    if plot:
        plot.save(_drawn(ours_s, theirs_s))
    if as_json:
        print_json({"bleedwatch_s": ours_s, "dcm2niix_s": theirs_s})
        return
    ours, theirs = statistics.median(ours_s), statistics.median(theirs_s)
    ratio = statistics.median(a / b for a, b in zip(ours_s, theirs_s, strict=True))
    read = table("Reader", numbers=("Median", "Of dcm2niix's, median of pairs"))
    read.add_row("bleedwatch", f"{ours:.2f} s", f"{ratio:.2f}")
    read.add_row("dcm2niix", f"{theirs:.2f} s", "1.00")
    out().print(f"300 slices of 512², {runs} runs in turn")
    out().print(read)


def _timed_reading_s(paths: Sequence[Path]) -> float:
    began_s = time.monotonic()
    series, limits = GrowingSeries(), ReadLimits()
    for path in paths:
        for read in read_slices(path, limits):
            series.add(read.header, read.hu)
    series.volume()
    return time.monotonic() - began_s


def _timed_dcm2niix_s(dcm2niix: str, scratch: Path) -> float:
    shutil.rmtree(scratch / "out", ignore_errors=True)
    (scratch / "out").mkdir()
    command = [dcm2niix, "-z", "n", "-b", "n", "-o", str(scratch / "out"), str(scratch / "in")]
    began_s = time.monotonic()
    subprocess.run(command, check=True, capture_output=True)  # noqa: S603 - found on the PATH
    return time.monotonic() - began_s


def _drawn(ours_s: Sequence[float], theirs_s: Sequence[float]) -> Figure:
    """Draw every run of both, and their medians."""
    figure, (place,) = blank(1)
    numbers = range(1, len(ours_s) + 1)
    for name, taken_s, colour in zip(
        ("bleedwatch", "dcm2niix"), (ours_s, theirs_s), COLOURS, strict=False
    ):
        median_s = statistics.median(taken_s)
        place.plot(numbers, taken_s, "o", color=colour, label=f"{name}, median {median_s:.2f} s")
        place.axhline(median_s, ls="--", color=colour)
    place.set(title="300 slices of 512²", xlabel="run", ylabel="reading [s]", ylim=(0, None))
    place.set_xticks(numbers)
    place.legend(fontsize="small")
    return figure
