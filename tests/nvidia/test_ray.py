"""An archive on a local Ray of two workers, and on a cluster; workers and nodes are killed.

Ray takes 280 MB and half a minute: ``.ci/nvidia`` puts it into a folder of its own, which
``RAY_PACKAGES`` names.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet

from tests.agent.doctor.scratch import free_port
from tests.phantoms import uid, write_series
from tests.schema import check_printed
from tests.tiny import BUNDLE, write_engines, write_tiny_bundle

PACKAGES = "RAY_PACKAGES"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(
        PACKAGES not in os.environ, reason=f"{PACKAGES} names no Ray; see .ci/nvidia"
    ),
]

N_HEADS = 6

Meanwhile = Callable[["subprocess.Popen[str]"], object]


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Some heads, and beside them the configurations of two bundles."""
    for number in range(N_HEADS):
        write_series(tmp_path / "archive" / str(number), 24, size=64, seed=number)
    engines = write_engines(tmp_path / "engines")
    write_tiny_bundle(engines, "2", dense=0.5)
    for bundle in (BUNDLE, "tiny/2"):
        (tmp_path / f"{Path(bundle).name}.toml").write_text(
            f'export_folder = "/srv"\nengines_folder = "{engines}"\n'
            f'[infer]\nbundle = "{bundle}"\nthreads = 1\n'
        )
    return tmp_path / "archive"


def ended(
    archive: Path, *options: str, config: str = "1.toml", on: str = "ray", meanwhile: Meanwhile
) -> tuple[int, str, str]:
    """Run the command in a process of its own, and do something beside it."""
    folder = archive.parent if archive.name == "archive" else archive.parent.parent
    words = ["read", str(archive), "--to", str(folder / "out"), "--on", on, *options]
    command = [sys.executable, "-m", "agent", *words, "--config", str(folder / config)]
    # Two cores, so two workers, on whatever computer this is.
    pinned = ["taskset", "-c", "0,1", *command]
    with subprocess.Popen(
        pinned, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        meanwhile(process)
        answer, remarks = process.communicate()
    if "--json" in options:
        check_printed(words, answer)
    return process.returncode, answer, remarks


def printed(archive: Path, *options: str, **how: Any) -> str:
    """Likewise, where it ends well."""
    code, answer, remarks = ended(archive, *options, **how)
    assert code == 0, remarks
    return answer


def environment() -> dict[str, str]:
    packages = os.environ[PACKAGES]
    path = f"{packages}/bin:{os.environ['PATH']}"
    own = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled", "PYTHONPATH": packages}
    return os.environ | own | {"PATH": path}


@pytest.fixture
def cluster() -> Iterator[str]:
    """The address of a cluster of two nodes, on this computer."""
    port, client_port = free_port(), free_port()

    def ray(*words: str) -> None:
        command = [sys.executable, "-m", "ray.scripts.scripts", *words]
        subprocess.run(command, env=environment(), check=True, capture_output=True, timeout=120)

    ray(
        "start", "--head", "--port", str(port), "--ray-client-server-port", str(client_port),
        "--num-cpus", "1", "--include-dashboard=false", "--node-ip-address", "127.0.0.1",
    )  # fmt: skip
    try:
        ray("start", "--address", f"127.0.0.1:{port}", "--num-cpus", "1")
        yield f"ray://127.0.0.1:{client_port}"
    finally:
        ray("stop", "--force")


def workers_at_work() -> Iterator[int]:
    """Tell which processes read a series just now: Ray names them so."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            name = (process / "cmdline").read_bytes()
        except OSError:
            continue
        if name.startswith(b"ray::_RayReader.read"):
            yield int(process.name)


def processes_of(name: str) -> Iterator[int]:
    """Tell which processes have this in their command line."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes()
        except OSError:
            continue
        if name.encode() in words and int(process.name) != os.getpid():
            yield int(process.name)


def until_at_work(process: subprocess.Popen[str]) -> None:
    while process.poll() is None:
        if any(workers_at_work()):
            return
        time.sleep(0.005)
    raise AssertionError("no worker was ever at work")


def kill_one(process: subprocess.Popen[str]) -> None:
    while process.poll() is None:
        for pid in workers_at_work():
            os.kill(pid, signal.SIGKILL)
            return
        time.sleep(0.005)
    raise AssertionError("no worker was ever at work")


def kill_all(process: subprocess.Popen[str]) -> None:
    while process.poll() is None:
        for pid in workers_at_work():
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.005)


def test_a_worker_that_is_killed_costs_no_series_and_the_next_bundle_is_compared(archive: Path):
    told = json.loads(printed(archive, "--json", meanwhile=kill_one))

    (folder,) = (archive.parent / "out" / "rows").iterdir()
    rows = parquet.read_table(folder).to_pylist()
    assert sorted(row["series_uid"] for row in rows) == sorted(
        uid("series", number) for number in range(N_HEADS)
    )
    assert "set_aside" not in {row["code"] for row in rows}
    assert (told["read"], told["workers"]) == (N_HEADS, 2)
    assert len(told["read_by"]) >= 2

    report = printed(archive, "--against", BUNDLE, config="2.toml", meanwhile=lambda _: None)

    assert f"{N_HEADS} series read by both bundles; 0 by the earlier one alone" in report
    assert "series a minute by 2 workers, which were busy for" in report
    assert "score, later less earlier" in report


def test_a_cluster_that_is_lost_is_told_in_one_line_and_ends_the_command(
    archive: Path, cluster: str
) -> None:
    def lose_the_cluster(process: subprocess.Popen[str]) -> None:
        until_at_work(process)
        for pid in processes_of("ray.util.client.server"):
            os.kill(pid, signal.SIGKILL)

    code, _, remarks = ended(archive, on=cluster, meanwhile=lose_the_cluster)

    assert code == 1
    assert f"Ray at {cluster} was lost" in remarks
    assert "Traceback" not in remarks


def test_a_cluster_of_two_nodes_reads_each_series_once(archive: Path, cluster: str) -> None:
    told = json.loads(printed(archive, "--json", on=cluster, meanwhile=lambda _: None))

    assert (told["read"], told["workers"]) == (N_HEADS, 2)


def test_a_series_on_which_workers_end_twice_has_a_row_that_says_so(archive: Path):
    told = json.loads(printed(archive / "1", "--json", meanwhile=kill_all))

    (folder,) = (archive.parent / "out" / "rows").iterdir()
    (row,) = parquet.read_table(folder).to_pylist()
    assert (row["state"], row["code"], row["files"]) == ("not_analysed", "set_aside", 24)
    assert told["states"] == {"not_analysed": 1}
