"""TLS as the inlet speaks it: BCP 195, by which DICOM's own profile goes."""

from __future__ import annotations

import ssl
from typing import Final

from agent.errors import ConfigError
from agent.inlet.settings import InletSettings
from agent.records import Instant

CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""For TLS 1.2: forward secrecy and authenticated encryption alone. Source: RFC 9325 section 4.2;
PS3.15 annex B.12 names the profile."""


def server_context(settings: InletSettings, now: Instant) -> ssl.SSLContext | None:
    """Make the context that connections are served by, None where TLS is not configured.

    Raises
    ------
    ConfigError
        If a certificate, its key or the senders' authorities cannot be used.
    """
    certificate = settings.checked_certificate(now)
    if certificate is None or settings.tls_key is None:
        if settings.tls_senders:
            raise ConfigError("tls_senders_without_certificate")
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.load_cert_chain(certificate.path, settings.tls_key)
    if settings.tls_senders:
        try:
            context.load_verify_locations(settings.tls_senders)
        except OSError as error:  # ssl.SSLError is one
            raise ConfigError(
                "tls_senders_unusable", path=str(settings.tls_senders), why=str(error.strerror)
            ) from error
        context.verify_mode = ssl.CERT_REQUIRED
    return context
