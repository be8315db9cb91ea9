"""The inlet is killed at any moment: what was answered is there, whole, and nothing else is."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest

from tests.agent.doctor.scratch import free_port
from tests.agent.inlet.dcmtk import dcmtk
from tests.faults.conftest import Row
from tests.phantoms import write_series
from tests.program import Program, until

N = 40


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def inlet(tmp_path: Path, engines: Path, port: int) -> Iterator[Program]:
    table = (
        f'[inlet]\nsenders = ["CT1@127.0.0.1"]\nhost = "127.0.0.1"\nport = {port}\n'
        f"metrics_port = {free_port()}\n"
    )
    with Program(tmp_path / "box", engines, table) as inlet:
        yield inlet


def send_until(over: threading.Event, answered: set[str], port: int, paths: list[Path]) -> None:
    """Send images one by one, over and over, and note the UIDs of those that were answered."""
    while not over.is_set():
        for path in paths:
            calls = ("-aet", "CT1", "-aec", "BLEEDWATCH", "127.0.0.1", port)
            if dcmtk("storescu", *calls, path).returncode == 0:
                answered.add(path.stem)
            else:
                over.wait(0.05)  # a scanner that cannot reach the inlet does not try at full speed


@pytest.mark.timeout(300)
def test_sigkill_at_random_moments(inlet: Program, port: int, tmp_path: Path, row: Row) -> None:
    paths = [
        path.rename(path.with_stem(pydicom.dcmread(path).SOPInstanceUID))
        for path in write_series(tmp_path / "made", N, size=256)
    ]
    sent = {path.stem: pydicom.dcmread(path) for path in paths}
    n_kills, moments = row.amount(200, 12), random.Random(20261130)
    over, answered = threading.Event(), set[str]()
    sender = threading.Thread(target=send_until, args=(over, answered, port, paths))
    sender.start()
    received = inlet.export / "received"

    try:
        for _ in range(n_kills):
            inlet.start("inlet")
            time.sleep(moments.uniform(0.5, 2.5))
            inlet.kill()
            for path in received.glob("*/*.dcm"):
                assert pydicom.dcmread(path) == sent[path.stem]
        inlet.start("inlet")
        until(
            lambda: answered
        )  # on a very busy machine it was killed before it listened, each time
    finally:
        over.set()
        sender.join()
    until(lambda: not [*received.rglob("*.inlet-part")] and inlet.log.exists())

    kept = {path.stem for path in received.glob("*/*.dcm")}
    row.tell(
        f"SIGKILL of the inlet: {n_kills} kills, {len(answered)} of {N} images answered, "
        f"{len(answered - kept)} of them lost, {len(kept)} kept, each whole"
    )
    assert answered
    assert answered <= kept
