"""``bleedwatch bench inlet``: receiving a series by C-STORE, beside DCMTK's storescp."""

from __future__ import annotations

import os
import shutil
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agent.errors import ConfigError, RequestRefused
from build_engine.bench.setting import Folder, Runs, fresh_study, scratch_folder
from build_engine.play.local_agent import free_port
from build_engine.play.simulate import axial_files, head_for, play
from build_engine.printing import AsJson, out, print_json, table
from build_engine.synth.head import HeadRecipe
from build_engine.synth.presets import THIN_0_625

CALLED: Final = ["-aet", "BENCH", "-aec", "BLEEDWATCH", "127.0.0.1"]

START_S: Final = 60.0
"""A receiver listens within this time [s]. Ours: a busy machine's slowest."""

NO_DELAY: Final = {"TCP_NODELAY": "1"}
"""Has DCMTK send small packets at once, at both ends."""


@dataclass(frozen=True, slots=True)
class _Receiver:
    """What receives, and in which environment it and storescu run."""

    name: str
    program: tuple[str, ...]
    environment: Mapping[str, str]


def inlet(*, runs: Runs = 3, as_json: AsJson = False, folder: Folder = None) -> None:
    """Compare receiving 300 slices by C-STORE with what DCMTK's storescp takes for it.

    DCMTK's storescu sends the same files over loopback to each in turn. storescp writes them; the
    inlet also syncs every file to the disk, then gives it its name.

    Example: bleedwatch bench inlet --runs 5
    """
    storescu, storescp = _dcmtk("storescu"), _dcmtk("storescp")
    with scratch_folder(folder) as scratch:
        with out(stderr=True).status("generating 300 slices …"):
            files = axial_files(
                head_for(THIN_0_625, HeadRecipe(1, None)), THIN_0_625, fresh_study()
            )
            play(scratch / "sent", files, float("inf"), lambda: None)
        receivers = (
            _Receiver("bleedwatch inlet", (sys.executable, "-m", "agent", "inlet"), {}),
            _Receiver("storescp", (storescp,), {}),
            _Receiver("storescp, TCP_NODELAY=1", (storescp,), NO_DELAY),
        )
        taken_s: dict[str, list[float]] = {one.name: [] for one in receivers}
        for _ in range(runs):
            for one in receivers:
                taken_s[one.name].append(_timed_s(one, storescu, scratch, len(files)))
    if as_json:
        print_json({"n_slices": len(files), "taken_s": taken_s})
        return
    medians = {name: statistics.median(runs_s) for name, runs_s in taken_s.items()}
    received = table("Receiver", numbers=("Median", "Of storescp's"))
    for name, median_s in medians.items():
        received.add_row(name, f"{median_s:.2f} s", f"{median_s / medians['storescp']:.2f}")
    out().print(f"{len(files)} slices of 512² by storescu over loopback, {runs} runs in turn")
    out().print(received)


def _timed_s(receiver: _Receiver, storescu: str, scratch: Path, n_files: int) -> float:
    """Time from storescu's start to its end; every file must be there then."""
    into = scratch / "received"
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir()
    with _listening(receiver, into) as port:
        command = [storescu, *CALLED, str(port), "+sd", "+r", str(scratch / "sent")]
        began_s = time.monotonic()
        subprocess.run(  # noqa: S603 - found on the PATH
            command, check=True, capture_output=True, env={**os.environ, **receiver.environment}
        )
        took_s = time.monotonic() - began_s
    n_received = sum(path.is_file() and path.suffix != ".toml" for path in into.rglob("*"))
    if n_received != n_files:
        raise RequestRefused("bench_images_lost", n_received=n_received, n_sent=n_files)
    return took_s


@contextmanager
def _listening(receiver: _Receiver, into: Path) -> Iterator[int]:
    """Have a receiver write into a folder; yields its port once it listens."""
    port, metrics_port = free_port(), free_port()
    words = ["-od", str(into), str(port)]
    if receiver.program[-1] == "inlet":
        config = into / "agent.toml"
        config.write_text(
            f'export_folder = "{into}"\n[inlet]\nsenders = ["BENCH@127.0.0.1"]\n'
            f'host = "127.0.0.1"\nport = {port}\nmetrics_port = {metrics_port}\n'
        )
        words = ["--config", str(config)]
    process = subprocess.Popen(  # noqa: S603 - fixed words and paths
        [*receiver.program, *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **receiver.environment},
    )
    try:
        _wait_for(port)
        yield port
    finally:
        process.terminate()
        process.wait()


def _wait_for(port: int) -> None:
    began_s = time.monotonic()
    while time.monotonic() < began_s + START_S:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            time.sleep(0.1)
        else:
            return
    raise RequestRefused("bench_receiver_silent", waited_s=START_S)


def _dcmtk(program: str) -> str:
    """Find one of DCMTK's programs; pynetdicom has brought others of the same names."""
    elsewhere = [
        folder
        for folder in os.environ.get("PATH", "").split(os.pathsep)
        if not folder.startswith(sys.prefix)
    ]
    beside_others = shutil.which(program, path=os.pathsep.join(elsewhere))
    if beside_others is None:
        raise ConfigError("dcmtk_missing", program=program)
    return beside_others
