"""The page's TLS certificate: read, and checked before it is served."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from agent.errors import ConfigError
from agent.records import Instant


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate in a file, with a private key that fits it.

    ``names`` are the hosts in its subject alternative names, in the form of a Host header: browsers
    accept no others (the common name is ignored). ``der`` is the certificate itself.
    """

    path: Path
    names: tuple[str, ...]
    from_utc: datetime
    until_utc: datetime
    der: bytes

    def check(self, now: Instant) -> None:
        """Raise ConfigError if it is not valid now, or names no host."""
        if not self.names:
            raise ConfigError("certificate_without_host", path=str(self.path))
        if now.utc > self.until_utc:
            raise ConfigError(
                "certificate_expired", path=str(self.path), until=f"{self.until_utc:%Y-%m-%d}"
            )
        if now.utc < self.from_utc:
            raise ConfigError(
                "certificate_not_yet_valid", path=str(self.path), since=f"{self.from_utc:%Y-%m-%d}"
            )


def read_certificate(path: Path, key_path: Path) -> Certificate:
    """Read a PEM certificate (its issuers' may follow) and its unencrypted key.

    Raises
    ------
    ConfigError
        If one of them cannot be read, or they do not belong together.
    """
    pem = _content("console.tls_certificate", path)
    try:
        certificate = x509.load_pem_x509_certificates(pem)[0]
        fits = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ConfigError("certificate_unusable", path=str(path)) from error
    key = _public_key(key_path)
    if key != fits.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo):
        raise ConfigError("tls_key_of_another", path=str(key_path), certificate=str(path))
    return Certificate(
        path,
        _names(certificate),
        certificate.not_valid_before_utc,
        certificate.not_valid_after_utc,
        certificate.public_bytes(Encoding.DER),
    )


def _public_key(path: Path) -> bytes:
    pem = _content("console.tls_key", path)
    try:
        key = load_pem_private_key(pem, password=None).public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:  # TypeError: with a passphrase
        raise ConfigError("tls_key_unusable", path=str(path)) from error
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _content(setting: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(
            "tls_file_unreadable", setting=setting, path=str(path), why=str(error.strerror)
        ) from error


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    hosts = names.get_values_for_type(x509.DNSName)
    addresses = names.get_values_for_type(x509.IPAddress)
    v6 = [f"[{address}]" for address in addresses if address.version == 6]  # noqa: PLR2004
    plain = [host for host in hosts if "*" not in host.removeprefix("*.")]
    return (*plain, *map(str, addresses), *v6)
