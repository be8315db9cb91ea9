"""The seam to an archive, whatever it speaks."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from pydicom.dataset import Dataset
from typing_extensions import Self

from agent.deliver.settings import SendingChannel
from agent.errors import ArchiveUnreachable


@dataclass(frozen=True, slots=True)
class Reference:
    """One object, as archives name it."""

    sop_class_uid: str
    sop_instance_uid: str

    @classmethod
    def of(cls, data: Dataset) -> Self:
        """Refer to an object."""
        return cls(str(data.SOPClassUID), str(data.SOPInstanceUID))


class Channel(Protocol):
    """An archive that objects are sent to. Sent twice, an object is there once."""

    def greet(self) -> None:
        """Make sure that the archive answers; ArchiveUnreachable says why it does not."""

    def send(self, objects: Sequence[Dataset]) -> None:
        """Send objects.

        Raises
        ------
        ArchiveUnreachable
            If the archive was lost; some may be there.
        ArchiveRefused
            If it does not take one or more; the others are there.
        """

    def keeps(self, objects: Sequence[Reference]) -> bool:
        """Ask whether the archive commits itself to keep these; False where it does not say yet.

        Raises
        ------
        ArchiveUnreachable
            If it does not answer.
        ArchiveRefused
            If it does not have them: they must be sent again.
        """


def tls_context(settings: SendingChannel) -> ssl.SSLContext:
    """Make the context for TLS 1.2 and later, the archive's certificate being verified (BCP 195).

    Raises ArchiveUnreachable where a file cannot be read.
    """
    try:
        context = ssl.create_default_context(cafile=settings.tls_ca)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if settings.tls_certificate and settings.tls_key:
            context.load_cert_chain(settings.tls_certificate, settings.tls_key)
    except (OSError, ssl.SSLError) as error:
        why = f"tls_ca, tls_certificate or tls_key: {error.strerror or type(error).__name__}"
        raise ArchiveUnreachable("archive_unreachable", channel=settings.name, why=why) from error
    return context
