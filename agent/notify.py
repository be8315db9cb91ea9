"""What the process tells its supervisor: that it is ready, and that it gets on (sd_notify(3)).

Our own few lines: ``sdnotify`` was last released in 2017, ``systemd-python`` needs a compiler.
"""

from __future__ import annotations

import socket
from typing import Final

SEND_S: Final = 1.0
"""How long a supervisor that reads nothing may hold up who tells it something [s]."""


class Supervisor:
    """systemd, or whoever else listens at ``address``: the value of ``NOTIFY_SOCKET``.

    The watchdog is fed only while *both* threads get on: the one that reads files feeds it, and
    only if the one that owns the networks has ended a turn since the last time.
    """

    def __init__(self, address: str | None) -> None:
        """Tell ``address``; with None, which is a start by hand, nobody is told."""
        # "@" stands for the NUL byte that begins an address outside the file system.
        self._address = f"\0{address[1:]}" if address and address[0] == "@" else address
        self._turns = 0
        self._fed_at_turn = 0

    def ready(self, status: str) -> None:
        """Say that what comes now is analysed at once; ``status`` is for ``systemctl status``."""
        self._tell(f"READY=1\nSTATUS={status}")

    def stopping(self) -> None:
        """Say that the end was asked for."""
        self._tell("STOPPING=1")

    def networks_turned(self) -> None:
        """Note that the thread of the networks has ended a turn; called by that thread."""
        self._turns += 1

    def feed_watchdog(self) -> None:
        """Say that the process gets on, if it does; called by the thread that reads files."""
        if self._turns != self._fed_at_turn:
            self._fed_at_turn = self._turns
            self._tell("WATCHDOG=1")

    def _tell(self, message: str) -> None:
        """Send one datagram. A supervisor that has gone is no reason to stop watching."""
        if self._address is None:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
            out.settimeout(SEND_S)
            try:
                out.sendto(message.encode(), self._address)
            except OSError:
                return
