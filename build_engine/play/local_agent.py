"""An agent and its console on folders of their own, for as long as a block runs."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Final, TypeVar

from agent.config import PACKAGED_ENGINES
from agent.errors import AgentError

PR_SET_PDEATHSIG: Final = 1
"""Source: linux/prctl.h."""

STOP_S: Final = 5.0
"""How long a process may take to end when asked [s]."""

LOOK_S: Final = 0.5
"""How often it is made sure that both still run while something is waited for [s]."""

TAIL_LINES: Final = 15


_T = TypeVar("_T")


class ProcessEnded(AgentError):
    """The agent or the console ended by itself."""

    kind: ClassVar[str] = "process_ended"


class NoAnswer(AgentError):
    """The console did not say in time what was waited for."""

    kind: ClassVar[str] = "no_answer"


@dataclass(slots=True)
class Service:
    """One running ``bleedwatch`` command; what it says on stderr goes to ``log``."""

    name: str
    command: tuple[str, ...]
    log: Path
    process: subprocess.Popen[bytes] = field(init=False)

    def __post_init__(self) -> None:
        """Start it."""
        self.start()

    def start(self) -> None:
        """Start it, or a process of its own in the place of one that has ended."""
        own = {key: value for key, value in os.environ.items() if not key.startswith("BLEEDWATCH_")}
        with self.log.open("ab") as stderr:
            self.process = subprocess.Popen(  # noqa: S603 - this interpreter, our own module
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=stderr,
                stderr=stderr,
                env=own,
                start_new_session=True,  # Ctrl-C is for the caller, who then stops this one
                preexec_fn=_end_with_parent,  # noqa: PLW1509 - called before there are threads
            )

    def kill(self) -> None:
        """End it by SIGKILL, as a power cut would."""
        self.process.kill()
        self.process.wait()

    def check(self) -> None:
        """Make sure that it still runs.

        Raises
        ------
        ProcessEnded
            It does not: with the last that it said.
        """
        if self.process.poll() is not None:
            lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
            said = "\n".join(lines[-TAIL_LINES:])
            raise ProcessEnded(
                "process_ended",
                name=self.name,
                exit_code=self.process.returncode,
                said=said or "nothing",
            )


@dataclass(frozen=True, slots=True)
class LocalAgent:
    """The running pair."""

    export_folder: Path
    port: int
    agent: Service
    console: Service

    @property
    def address(self) -> str:
        """Where the technologist's page is."""
        return f"http://127.0.0.1:{self.port}/"

    def check(self) -> None:
        """Make sure that both still run; raises ProcessEnded."""
        self.agent.check()
        self.console.check()

    def wait_for(self, what: str, happened: Callable[[float], _T | None], timeout_s: float) -> _T:
        """Ask ``happened``, which waits for some seconds itself, until it gives something.

        Raises
        ------
        ProcessEnded
            Agent or console ended meanwhile.
        NoAnswer
            Nothing came in time.
        """
        deadline_s = time.monotonic() + timeout_s
        while time.monotonic() < deadline_s:
            if found := happened(LOOK_S):
                return found
            self.check()
        raise NoAnswer("nothing_on_console", awaited=what, waited_s=timeout_s)

    def peak_memory_mb(self) -> float:
        """Largest resident memory that the agent ever had [MB, 10⁶ bytes]."""
        return self._memory_mb("VmHWM:")

    def memory_mb(self) -> float:
        """Resident memory that the agent has now [MB, 10⁶ bytes]."""
        return self._memory_mb("VmRSS:")

    def _memory_mb(self, entry: str) -> float:
        status = Path(f"/proc/{self.agent.process.pid}/status").read_text(encoding="ascii")
        kib = next(line.split()[1] for line in status.splitlines() if line.startswith(entry))
        return int(kib) * 1024 / 1e6


@contextmanager
def local_agent(
    folder: Path,
    port: int = 0,
    engines: Path = PACKAGED_ENGINES,
    *,
    plans: Path | None = None,
    memory_bytes: int | None = None,
) -> Iterator[LocalAgent]:
    """Run an agent and a console with everything below ``folder``; port 0 is any free one.

    Bundle and profiles are those below ``engines``; a GPU is used where ``plans``, the folder of an
    agent's plans, is given. What the agent and the console write to in memory is bounded where that
    is asked for; addresses that are only reserved, as thread pools and allocators do, are not.

    They never outlive the caller: they are stopped at the end of the block, and killed by the
    kernel if the caller is.
    """
    export_folder, config = folder / "export", folder / "agent.toml"
    export_folder.mkdir(parents=True)
    port = port or free_port()
    if plans is not None:
        (folder / "state").mkdir()
        (folder / "state/plans").symlink_to(plans.absolute())
    config.write_text(
        f'export_folder = "{export_folder}"\nstate_folder = "{folder / "state"}"\n'
        f'engines_folder = "{engines}"\n'
        f'[infer]\ngpu = "{"first" if plans else "none"}"\n'
        f"[console]\nport = {port}\n",
        encoding="utf-8",
    )
    with ExitStack() as stack:
        agent, console = (
            stack.enter_context(_service(name, command, config, memory_bytes))
            for name, command in (("agent", "run"), ("console", "console"))
        )
        yield LocalAgent(export_folder, port, agent, console)


@contextmanager
def _service(name: str, command: str, config: Path, memory_bytes: int | None) -> Iterator[Service]:
    words: tuple[str, ...] = sys.executable, "-m", "agent", command, "--config", str(config)
    if memory_bytes is not None:
        bound = f"ulimit -d {memory_bytes // 1024}"
        words = "/bin/sh", "-c", f'{bound}; exec "$0" "$@"', *words
    service = Service(name, words, config.with_name(f"{name}.log"))
    try:
        yield service
    finally:
        service.process.terminate()
        try:
            service.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            service.kill()


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def free_port() -> int:
    """Return a port of this computer that nobody had a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
