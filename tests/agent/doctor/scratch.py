"""A box installed into a scratch root, all well, for tests to break one thing of."""

from __future__ import annotations

import http.server
import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from agent.config import PACKAGED_ENGINES, load_config
from agent.doctor import CheckResult, examine
from agent.doctor.result import Box
from agent.errors import GpuError
from agent.infer.tensorrt_api import TensorRt
from agent.records import Instant
from agent.service import carry_out, install_steps
from agent.store.rows import AgentStatus
from agent.wiring import boot_id, system_clock
from tests.agent.deliver.web import serving
from tests.agent.reports import ENGINE
from tests.agent.stored import Store
from tests.tiny import write_tiny_bundle


def no_gpu(_gpu: str) -> TensorRt:
    raise GpuError("no_gpu_driver", why="libcuda.so.1 is not there", command="install it")


@dataclass
class Scratch:
    """The box; its console's page is at ``port``."""

    root: Path
    port: int
    take_gpu: Callable[[str], TensorRt] = field(default=no_gpu)

    def __post_init__(self) -> None:
        carry_out(install_steps(self.root, Path("/opt/bleedwatch/bin/bleedwatch")))
        self.export.mkdir(parents=True)
        self.state.mkdir(parents=True)
        write_tiny_bundle(self.engines)
        shutil.copytree(PACKAGED_ENGINES / "protocols", self.engines / "protocols")
        self.configure()
        self.beat()

    @property
    def config(self) -> Path:
        return self.root / "etc/bleedwatch/agent.toml"

    @property
    def export(self) -> Path:
        return self.root / "srv/ct-export"

    @property
    def state(self) -> Path:
        return self.root / "var/lib/bleedwatch"

    @property
    def engines(self) -> Path:
        return self.root / "engines"

    @property
    def store_path(self) -> Path:
        return self.state / "bleedwatch.sqlite"

    def configure(
        self,
        *,
        host: str = "127.0.0.1",
        port: int | None = None,
        watch: str = "",
        infer: str = "",
        selftest: str = "",
        **places: Path,
    ) -> None:
        """Write the configuration: lines of its tables, and folders by name."""
        folders = {
            "export_folder": self.export,
            "state_folder": self.state,
            "engines_folder": self.engines,
        } | places
        self.config.write_text(
            "".join(f'{name} = "{path}"\n' for name, path in folders.items())
            + f'[console]\nhost = "{host}"\nport = {port or self.port}\n'
            + f'[watch]\n{watch}\n[infer]\nbundle = "tiny/1"\n{infer}\n[selftest]\n{selftest}\n'
        )

    def beat(self, ahead_s: float = 0.0, **changes: object) -> None:
        """Let the agent give a sign of life, ``ahead_s`` from now."""
        now = system_clock()
        moment = Instant(now.utc + timedelta(seconds=ahead_s), now.monotonic_s + min(0, ahead_s))
        values = {
            "pid": 1,
            "boot_id": boot_id(),
            "at": moment,
            "started": moment,
            "folder": str(self.export),
            "folder_problem": None,
            "engine": ENGINE,
            "degraded": None,
            "receiving": 0,
            "queued": 0,
        }
        with Store(self.store_path, system_clock) as store:
            store.agent.heartbeat(AgentStatus(**(values | changes)))  # type: ignore[arg-type]

    def results(self) -> dict[str, CheckResult]:
        return {line.check: line.result for line in examine(self.config, self.take_gpu)}

    def box(self, mounts: str = "", account: str = "bleedwatch") -> Box:
        config = load_config(self.config)
        return Box(config, system_clock(), boot_id(), mounts, account, self.take_gpu)


def write_systemctl(folder: Path, answer: str | None) -> None:
    """Write a ``systemctl`` that answers so; None is a computer that systemd does not run."""
    says = "exit 1" if answer is None else f"cat <<'END'\n{answer}\nEND"
    folder.mkdir(exist_ok=True)
    program = folder / "systemctl"
    program.write_text(f"#!/bin/sh\n{says}\n")
    program.chmod(0o755)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def page_that_says(text: bytes) -> Iterator[int]:
    """Serve one text for whatever is asked, on the port that is given."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_words: object) -> None:
            return

    with serving(Page) as address:
        yield int(address.rpartition(":")[2])
