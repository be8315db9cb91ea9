"""What each kind of receiver offers: archive, HL7 system, FHIR server, webhook, mail server."""

from __future__ import annotations

import ssl
from datetime import datetime
from typing import Protocol, TypeVar

from agent.deliver.result import StoredResult
from agent.deliver.settings import Peer
from agent.errors import ArchiveRefused, ArchiveUnreachable
from agent.reasons import Reason

Letter = TypeVar("Letter")
"""What a channel sends of one result: objects, a message, a request."""


class Channel(Protocol[Letter]):
    """A receiver of results. What is sent to it twice is there once."""

    def greet(self) -> None:
        """Make sure that the receiver answers; ArchiveUnreachable says why it does not."""

    def letter(self, result: StoredResult) -> Letter:
        """Make what is sent of a result, the same each time; None where nothing is."""

    def trial(self, study_uid: str, at: datetime) -> Letter:
        """Make a test of no patient, in a study of its own; ``at`` [UTC] is when."""

    def send(self, letter: Letter) -> Reason | None:
        """Send a letter; returns what people are to be told of it, None where it was just taken.

        Raises
        ------
        ArchiveUnreachable
            If the receiver was lost; some may be there.
        ArchiveRefused
            If it does not take all of it; the rest is there.
        """

    def keeps(self, letter: Letter) -> bool:
        """Ask whether the receiver keeps what it has taken; False where it does not say yet.

        Raises
        ------
        ArchiveUnreachable
            If it does not answer.
        ArchiveRefused
            If it does not have it: it must be sent again.
        """


def tls_context(settings: Peer) -> ssl.SSLContext:
    """Make the context for TLS 1.2 and later, the receiver's certificate being verified (BCP 195).

    Raises ArchiveUnreachable where a file cannot be read.
    """
    try:
        context = ssl.create_default_context(cafile=settings.tls_ca)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if settings.tls_certificate and settings.tls_key:
            context.load_cert_chain(settings.tls_certificate, settings.tls_key)
    except (OSError, ssl.SSLError) as error:
        why = f"tls_ca, tls_certificate or tls_key: {error.strerror or type(error).__name__}"
        raise unreachable(settings, why) from error
    return context


def unreachable(settings: Peer, why: str) -> ArchiveUnreachable:
    """Say why somebody cannot be reached."""
    return ArchiveUnreachable("archive_unreachable", channel=settings.name, why=why)


def refused(settings: Peer, why: str) -> ArchiveRefused:
    """Say in a receiver's own words that it does not take a message."""
    return ArchiveRefused("message_refused", channel=settings.name, why=why)
