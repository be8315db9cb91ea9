"""The server that runs the networks for many boxes, as one box sees it.

A thread of its own connects, checks, and looks every few seconds whether the server still is what
it was: the thread that runs the networks never waits for more than one request.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing
from typing import Final

from agent.errors import InferenceError
from agent.infer.backend import Backend, RunBy
from agent.infer.bundle import Bundle
from agent.infer.golden import Reading, read_golden
from agent.infer.server_settings import ServerSettings
from agent.infer.triton_backend import TritonBackend, connect
from agent.reasons import Reason

LOOK_S: Final = 10.0
"""How often a server is asked whether it is well; ours [s]."""

START_S: Final = 3.0
"""How long the agent's start waits for the server before the CPU begins [s]. Ours."""


class ServerSide:
    """What ``infer.server`` names, ready to run once it has read the golden batch.

    Used by the networks' thread alone, as ``GpuSide`` is.
    """

    memory_bytes = None
    """Of the server's card nothing is known here."""

    def __init__(
        self,
        settings: ServerSettings,
        bundle: Bundle,
        reference: Backend,
        look_s: float = LOOK_S,
    ) -> None:
        """Begin with no connection."""
        self._settings = settings
        self._bundle = bundle
        self._reference = reference
        self._look_s = look_s
        self._watch: _Watch | None = None
        self._backend: TritonBackend | None = None
        self._expected: Reading | None = None
        """What the reference makes of the golden batch."""
        self._problem = Reason("server_silent", address=settings.target)

    @property
    def shortfall(self) -> Reason | None:
        """Why the server does not run the networks; None where it does."""
        return None if self._backend else Reason("degraded_to_cpu", why=self._problem)

    def take_up(self) -> bool:
        """Take the server up once it is found well, and leave it once it is not; whether it did."""
        if self._watch is None:
            first = self._expected is None
            try:
                expected = self._expected or read_golden(self._bundle.contract, self._reference)
            except InferenceError as error:  # what a server reads can be held to nothing
                self._problem = error.reason
                return False
            self._expected = expected
            self._watch = _Watch(
                lambda: connect(self._settings, self._bundle, expected), self._look_s
            )
            self._watch.start()
            if first:
                self._watch.looked.wait(START_S)
        found, before = self._watch.found, self._backend
        if isinstance(found, Reason):
            self._problem = found
        self._backend = found if isinstance(found, TritonBackend) else None
        return self._backend is not before

    @property
    def run_by(self) -> RunBy | None:
        """What runs the networks there; None while nothing does."""
        return self._backend.run_by if self._backend else None

    def backend(self, _protocol: str) -> Backend | None:
        """Return what runs any protocol's series."""
        return self._backend

    def close(self) -> None:
        """Leave the server; ``take_up`` begins anew."""
        if self._watch:
            self._watch.end()
        self._watch = self._backend = None


class _Watch(threading.Thread):
    """Looks after the connection. ``found`` is the server, why there is none, or None at first."""

    def __init__(self, connect: Callable[[], TritonBackend], look_s: float) -> None:
        super().__init__(name="server", daemon=True)
        self.found: TritonBackend | Reason | None = None
        self.looked = threading.Event()
        self._connect = connect
        self._look_s = look_s
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.is_set():
            try:
                with closing(self._connect()) as backend:
                    self.found = backend
                    self.looked.set()
                    while not self._over.wait(self._look_s):
                        backend.check()
            except InferenceError as error:
                self.found = error.reason
            except Exception as error:  # noqa: BLE001 - whatever it is, the server is asked again
                self.found = Reason("server_client_failed", error=type(error).__name__)
            self.looked.set()
            self._over.wait(self._look_s)

    def end(self) -> None:
        """Let it end by itself, within a request's deadline."""
        self._over.set()
