"""What writers and file systems do to a folder: every file is accounted for, none is read half."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.store.rows import SeriesRow
from tests.faults.conftest import Row
from tests.phantoms import slice_dataset, uid, write, write_series
from tests.program import Program, ended, until

N = 24
EVENTS = Path("/proc/sys/fs/inotify/max_queued_events")


def made_files(folder: Path, n: int) -> list[Path]:
    """Write slices that differ in UID and place: ``n`` of them, 300 a series."""
    folder.mkdir(parents=True, exist_ok=True)
    image, paths = slice_dataset(5, size=16), []
    for number in range(n):
        image.SeriesInstanceUID = uid("burst", number // 300)
        image.StudyInstanceUID = uid("burst study", number // 300)
        image.SOPInstanceUID = uid("burst image", number)
        image.ImagePositionPatient = [0, 0, number % 300]
        paths.append(folder / f"{number:05d}.dcm")
        write(image, paths[-1], "1.2.840.10008.1.2.1")
    return paths


def all_accounted(agent: Program, paths: list[Path]) -> Callable[[], bool]:
    expected = set(map(str, paths))
    return lambda: expected <= set(agent.files())


@pytest.mark.parametrize("stopped", [False, True], ids=["as they come", "with a full queue"])
def test_a_burst_of_files(agent: Program, tmp_path: Path, row: Row, stopped: bool) -> None:
    n_files, n_bursts = row.amount(12_000, 600), row.amount(3, 1)
    agent.started()

    for burst in range(n_bursts):
        made = made_files(tmp_path / "made", n_files)
        sent = [agent.export / str(burst) / path.name for path in made]
        sent[0].parent.mkdir()
        began_s, n_events = time.monotonic(), 0
        if stopped:
            os.kill(agent.process.pid, signal.SIGSTOP)
        for path, to in zip(made, sent, strict=True):
            path.rename(to)
        if stopped:
            n_events = fill_queue(sent)
            os.kill(agent.process.pid, signal.SIGCONT)
        wrote_s = time.monotonic() - began_s
        took_s = until(all_accounted(agent, sent), 600)
        row.tell(
            f"burst {burst + 1} of {n_bursts}: {n_files} files within {wrote_s:.1f} s, "
            f"{n_events} events for a queue of {EVENTS.read_text().strip()}, "
            f"all accounted for {took_s:.1f} s later"
        )


def fill_queue(paths: list[Path]) -> int:
    """Raise more events than the kernel keeps for a process that does not look at them."""
    n_events, most = 0, int(EVENTS.read_text())
    while n_events < 1.2 * most:
        for path in paths:
            path.open("ab").close()
        n_events += len(paths)
    return n_events


def into_nested_folders(made: list[Path], export: Path) -> list[Path]:
    """Create folders within folders and fill them at once."""
    sent = []
    for number, path in enumerate(made):
        below = export / f"p{number % 10}" / f"study {number % 50}" / f"series {number // 25}"
        below.mkdir(parents=True, exist_ok=True)
        sent.append(Path(shutil.copy(path, below)))
    return sent


def by_moved_folders(made: list[Path], export: Path) -> list[Path]:
    """Fill folders elsewhere on the disk and move them in whole."""
    sent = []
    for first in range(0, len(made), 25):
        outside = made[0].parent / f"moved {first}" / "deep"
        outside.mkdir(parents=True)
        for path in made[first : first + 25]:
            shutil.copy(path, outside)
            sent.append(export / outside.parent.name / "deep" / path.name)
        outside.parent.rename(export / outside.parent.name)
    return sent


def by_hard_links(made: list[Path], export: Path) -> list[Path]:
    """Link files in, as a store does that keeps its own name for them."""
    for path in made:
        os.link(path, export / path.name)
    return [export / path.name for path in made]


def by_renaming(made: list[Path], export: Path) -> list[Path]:
    """Write under a name for the time being, then rename into place."""
    sent = []
    for path in made:
        part = Path(shutil.copy(path, export / f".{path.name}.part"))
        sent.append(part.rename(export / path.name))
    return sent


def by_appending(made: list[Path], export: Path) -> list[Path]:
    """Write the first half and close; reopen and append the rest."""
    for path in made:
        content = path.read_bytes()
        (export / path.name).write_bytes(content[: len(content) // 2])
    for path in made:
        content = path.read_bytes()
        with (export / path.name).open("ab") as file:
            file.write(content[len(content) // 2 :])
    return [export / path.name for path in made]


SENDS = into_nested_folders, by_moved_folders, by_hard_links, by_renaming, by_appending


@pytest.mark.parametrize("polling", [False, True], ids=["events", "polling"])
def test_ways_of_sending(tmp_path: Path, engines: Path, row: Row, polling: bool) -> None:
    n_files = row.amount(500, 60)
    more = f"[watch]\npolling = {str(polling).lower()}\n"
    with Program(tmp_path / "box", engines, more) as agent:
        agent.started()
        for send in SENDS:
            made = made_files(tmp_path / send.__name__, n_files)
            export = agent.export / send.__name__
            export.mkdir()

            sent = send(made, export)
            took_s = until(lambda sent=sent: all_read(agent, sent))

            row.tell(
                f"{n_files} files {send.__name__} ({'polling' if polling else 'events'}): "
                f"none missing, {took_s:.1f} s after the last"
            )


def all_read(agent: Program, paths: list[Path]) -> bool:
    files = agent.files()
    return all(files.get(str(path), "missing") is None for path in paths)


def trickled(paths: list[Path], export: Path, span_s: float) -> None:
    """Write all files at once, a few bytes at a time."""
    whole, steps = [path.read_bytes() for path in paths], 100
    files = [(export / path.name).open("wb", buffering=0) for path in paths]
    for step in range(steps):
        for content, file in zip(whole, files, strict=True):
            file.write(content[step * len(content) // steps : (step + 1) * len(content) // steps])
        time.sleep(span_s / steps)
    for file in files:
        file.close()


def preallocated(paths: list[Path], export: Path, span_s: float) -> None:
    """Give files their full size in zeros, and fill them from the start later."""
    whole, steps = [path.read_bytes() for path in paths], 20
    for path, content in zip(paths, whole, strict=True):
        (export / path.name).write_bytes(bytes(len(content)))
    for step in range(steps):
        time.sleep(span_s / steps)
        for path, content in zip(paths, whole, strict=True):
            with (export / path.name).open("r+b") as file:
                file.write(content[: (step + 1) * len(content) // steps])


def left_half(paths: list[Path], export: Path, span_s: float) -> None:
    """Have writers killed in the middle of their files, and others write these whole later."""
    for path in paths:
        (export / path.name).write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    time.sleep(span_s)
    for path in paths:
        (export / path.name).write_bytes(path.read_bytes())


@pytest.mark.parametrize(
    "write_slowly", [trickled, preallocated, left_half], ids=lambda write: write.__name__
)
def test_files_written_slowly_are_never_read_half(
    agent: Program, tmp_path: Path, row: Row, write_slowly: Callable
) -> None:
    n_files, span_s = row.amount(50, 10), 20.0 if row.full else 3.0
    agent.started()
    n_series = n_files // 5
    slow, others = [], []
    for seed in range(n_series):
        paths = write_series(
            tmp_path / "made" / str(seed), N, seed=seed, NumberOfSeriesRelatedInstances=N
        )
        paths = [path.rename(path.with_name(f"{seed}-{path.name}")) for path in paths]
        slow += paths[3::5][:5]
        others += [path for path in paths if path not in slow]

    for path in others:
        shutil.copy(path, agent.export)
    write_slowly(slow, agent.export, span_s)
    with agent.store() as store:
        until(
            lambda: all(
                slices_of(store.queries.series(uid("series", s))) == N for s in range(n_series)
            )
        )
        histories = [store.queries.history(uid("series", seed)) for seed in range(n_series)]

    # Rows of air below the head may be missing: then the answer is that of the whole file.
    early = [
        report
        for history in histories
        for report in history[:-1]
        if (report.state, report.findings) != (history[-1].state, history[-1].findings)
    ]
    row.tell(
        f"{len(slow)} files {write_slowly.__name__} over {span_s:g} s: all picked up; "
        f"{len(early)} series were answered otherwise before, not analysed or with the caveat"
    )
    assert {history[-1].state for history in histories} == {"suspected"}
    assert all(report.state == "not_analysed" or report.caveats for report in early)
    assert all(report.geometry.slices <= N - 5 for report in early if report.geometry)


def slices_of(found: SeriesRow | None) -> int:
    """How many slices are in a series' answer."""
    if not ended(found) or found.report.geometry is None:
        return 0
    return found.report.geometry.slices
