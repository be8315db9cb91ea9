"""Words with the supervisor: ready, alive, stopping (sd_notify(3)), and its signals to stop.

Our own few lines: ``sdnotify`` was last released in 2017, ``systemd-python`` needs a compiler.
"""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

SEND_S: Final = 1.0
"""How long a supervisor that does not read may block the sender [s]. Ours."""


class Supervisor:
    """systemd, or another supervisor that listens at ``address``, the value of ``NOTIFY_SOCKET``.

    The watchdog is fed only while *both* threads make progress: the thread that reads files feeds
    it, but only if the thread that runs the networks has completed a turn since the last time.
    """

    def __init__(self, address: str | None) -> None:
        """Notify ``address``; with None, when started by hand, nobody is notified."""
        # "@" stands for the NUL byte that begins an address outside the file system.
        self._address = f"\0{address[1:]}" if address and address[0] == "@" else address
        self._turns = 0
        self._fed_at_turn = 0

    def ready(self, status: str) -> None:
        """Notify that series are analysed from now on; ``systemctl status`` shows ``status``."""
        self._send(f"READY=1\nSTATUS={status}")

    def stopping(self) -> None:
        """Notify that the process was asked to stop."""
        self._send("STOPPING=1")

    def networks_turned(self) -> None:
        """Note that the thread of the networks has completed a turn; called by that thread."""
        self._turns += 1

    def feed_watchdog(self) -> None:
        """Feed the watchdog if both threads make progress; called by the one that reads files."""
        if self._turns != self._fed_at_turn:
            self._fed_at_turn = self._turns
            self._send("WATCHDOG=1")

    def _send(self, message: str) -> None:
        """Send one datagram; failures are ignored, since watching goes on without a supervisor."""
        if self._address is None:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
            out.settimeout(SEND_S)
            try:
                out.sendto(message.encode(), self._address)
            except OSError:
                return


@contextmanager
def stop_on_signals(stop: threading.Event) -> Iterator[None]:
    """Set ``stop`` on SIGTERM and SIGINT, and put the former handlers back afterwards."""
    former = {
        number: signal.signal(number, lambda *_: stop.set())
        for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
