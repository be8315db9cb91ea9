"""A system that is sent results by HL7 v2 over MLLP, and that acknowledges each of them."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from agent.deliver.channel import refused, tls_context, unreachable
from agent.deliver.hl7_message import Acknowledgement, acknowledgement_of, control_id, oru
from agent.deliver.result import StoredResult
from agent.deliver.settings import Hl7Channel
from agent.deliver.site_text import SiteText
from agent.deliver.trial import trial_result

BEGIN, END = b"\x0b", b"\x1c\r"
"""Source: HL7 v2, Transport Specification: MLLP, release 1."""

ENDED: Final = END[:1]
"""By this alone a frame has ended: some receivers send no carriage return after it."""

TAKEN: Final = frozenset({"AA", "CA"})
"""Acknowledgement codes by which a message is taken. Source: HL7 table 0008."""

MOST_BYTES: Final = 64 << 10
"""An acknowledgement is no longer. Ours: they hold some hundred bytes."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message, and what its acknowledgement must name."""

    control_id: str
    text: str


class Hl7Receiver:
    """One receiver, with a connection for each message, so that no late answer meets another."""

    def __init__(self, settings: Hl7Channel) -> None:
        """Speak to the receiver of the settings; ConfigError where its template is wrong."""
        self._settings = settings
        self._own_text = SiteText(settings, identified=True) if settings.template else None

    def greet(self) -> None:
        """Connect, over TLS where that is set: HL7 has no greeting. See ``Channel``."""
        with self._connected():
            pass

    def letter(self, result: StoredResult) -> Message:
        """Write the message of a result. See ``Channel``."""
        own_text = self._own_text.of(result) if self._own_text else None
        message = oru(result, self._settings, own_text)
        return Message(control_id(result, self._settings.name), message)

    def trial(self, study_uid: str, at: datetime) -> Message:
        """Write a message of nobody, marked as training. See ``Channel``."""
        return self.letter(trial_result(study_uid, at))

    def send(self, letter: Message) -> None:
        """Send a message, and have it acknowledged. See ``Channel``."""
        with self._connected() as connection:
            connection.sendall(BEGIN + letter.text.encode() + END)
            said = self._acknowledgement(connection)
        if said.of != letter.control_id:
            raise unreachable(
                self._settings, "it acknowledges another message than the one that was sent"
            )
        if said.code not in TAKEN:
            raise refused(self._settings, f"{said.code} {said.words}".strip())

    def keeps(self, letter: Message) -> bool:
        """Hold what was acknowledged to be kept: there is nobody else to ask. See ``Channel``."""
        return bool(letter.control_id)

    def _acknowledgement(self, connection: socket.socket) -> Acknowledgement:
        """Read until an acknowledgement is whole; what is not in time is none."""
        ends_s = time.monotonic() + self._settings.timeout_s
        read = b""
        while ENDED not in read:
            left_s = ends_s - time.monotonic()
            if left_s <= 0 or len(read) > MOST_BYTES:
                raise unreachable(self._settings, "it gave no whole acknowledgement in time")
            connection.settimeout(left_s)
            piece = connection.recv(4096)
            if not piece:
                raise unreachable(
                    self._settings, "it closed the connection before it had acknowledged"
                )
            read += piece
        frame = read.partition(ENDED)[0].partition(BEGIN)[2]
        said = acknowledgement_of(frame.decode(errors="replace"))
        if said is None:
            raise unreachable(self._settings, "its answer is no acknowledgement")
        return said

    @contextmanager
    def _connected(self) -> Iterator[socket.socket]:
        settings = self._settings
        try:
            with socket.create_connection(
                (settings.host, settings.port), settings.timeout_s
            ) as plain:
                if not settings.tls:
                    yield plain
                    return
                context = tls_context(settings)
                with context.wrap_socket(plain, server_hostname=settings.host) as secured:
                    yield secured
        except TimeoutError as error:
            raise unreachable(self._settings, "it did not answer in time") from error
        except OSError as error:
            why = error.strerror or type(error).__name__
            raise unreachable(self._settings, f"no connection, or it was lost: {why}") from error
