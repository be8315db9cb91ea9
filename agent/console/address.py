"""Where the page is served; beyond this computer, that requires TLS and sign-in."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agent.certificate import Certificate, read_certificate
from agent.errors import ConfigError
from agent.records import Instant

LOOPBACK_NAMES: Final = ("localhost", "127.0.0.1", "[::1]", "::1")
"""Host headers of requests from this computer. Any other may be a page from elsewhere, whose name
was rebound to this address (DNS rebinding)."""


@dataclass(frozen=True, slots=True)
class Address:
    """The console's part of the configuration. ``sign_in`` None: required unless loopback."""

    host: str
    port: int
    sign_in: bool | None = None
    tls_certificate: Path | None = None
    tls_key: Path | None = None

    @property
    def needs_sign_in(self) -> bool:
        """Whether the page is for named users only."""
        return self.sign_in or not is_loopback(self.host)

    @property
    def url(self) -> str:
        """The page's address."""
        scheme = "https" if self.tls_certificate else "http"
        return f"{scheme}://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}/"

    def checked_certificate(self, now: Instant) -> Certificate | None:
        """Return the certificate, None on a loopback address without one.

        Raises
        ------
        ConfigError
            If TLS or sign-in is required and missing, or the certificate cannot be used.
        """
        if not is_loopback(self.host):
            self._check_for_others()
        certificate = read_certificate(self.tls_certificate, self.tls_key, "console")
        if certificate and not certificate.names:
            raise ConfigError("certificate_without_host", path=str(certificate.path))
        if certificate:
            certificate.check(now)
        return certificate

    def hosts(self, certificate: Certificate | None) -> tuple[str, ...]:
        """Return the host names that the page answers to."""
        host = (self.host, f"[{self.host}]")
        return (*LOOPBACK_NAMES, *host, *(certificate.names if certificate else ()))

    def _check_for_others(self) -> None:
        if self.sign_in is False:
            raise ConfigError("sign_in_needed", host=self.host)
        if not self.tls_certificate:
            raise ConfigError("tls_needed", host=self.host)


def is_loopback(host: str) -> bool:
    """Return whether only this computer can reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def own_address(host: str) -> str:
    """Return the address by which this computer reaches ``host``; for 0.0.0.0 that is loopback."""
    try:
        parsed = ipaddress.ip_address(host)
    except ValueError:
        return host
    if not parsed.is_unspecified:
        return host
    return "127.0.0.1" if parsed.version == 4 else "::1"  # noqa: PLR2004
