"""What a site sets of the inlet: who may send, under which name it is called, how much it holds."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from agent.certificate import Certificate, read_certificate
from agent.inlet.limits import InletLimits
from agent.records import Instant

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

RECEIVED: Final = "received"
"""The folder in the export folder that the inlet writes to; all others there are the scanner's."""

LONGEST_AE_TITLE: Final = 16
"""Source: PS3.5 section 6.2, AE."""


@dataclass(frozen=True, slots=True)
class Sender:
    """Who may send: an AE title, and the address or network that it calls from."""

    ae_title: str
    network: Network

    def is_at(self, address: str) -> bool:
        """Return whether an address is one of this sender's."""
        return plain_address(address) in self.network


@dataclass(frozen=True, slots=True)
class InletSettings:
    """The inlet's part of the configuration. Without senders it is off."""

    folder: Path
    senders: tuple[Sender, ...]
    ae_title: str
    host: str
    port: int
    metrics_port: int
    limits: InletLimits
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    tls_senders: Path | None = None
    """PEM file of the authorities that senders' certificates must come from; None asks for none."""
    segmentations: bool = False
    """Whether segmentations that people drew are taken too."""

    @property
    def where(self) -> str:
        """AE title and address, as an administrator enters them at a scanner."""
        return f"{self.ae_title}@{self.host}:{self.port}"

    def checked_certificate(self, now: Instant) -> Certificate | None:
        """Return the certificate, None where none is configured.

        Raises
        ------
        ConfigError
            If it cannot be used.
        """
        certificate = read_certificate(self.tls_certificate, self.tls_key, "inlet")
        if certificate:
            certificate.check(now)
        return certificate


def sender_of(text: str) -> Sender:
    """Read ``AE_TITLE@ADDRESS``, where the address may be a network: ``CT1@10.20.0.0/16``.

    Raises
    ------
    ValueError
        If it is none.
    """
    ae_title, _, network = text.rpartition("@")
    return Sender(checked_ae_title(ae_title), ipaddress.ip_network(network))


def checked_ae_title(text: str) -> str:
    """Return an AE title that is one.

    Raises
    ------
    ValueError
        If it is empty, too long, padded, or holds characters that none may hold.

    Source: PS3.5 section 6.2: 16 characters of the default repertoire, no backslash, no control.
    """
    fits = text.isascii() and text.isprintable() and "\\" not in text and text == text.strip()
    if not fits or not 0 < len(text) <= LONGEST_AE_TITLE:
        raise ValueError(f"{text!r} is no AE title: 1 to {LONGEST_AE_TITLE} ASCII characters")
    return text


def plain_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Read an address; an IPv4 address that was mapped into IPv6 is itself again."""
    address = ipaddress.ip_address(text.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
