"""A server's TLS certificate: read, and checked before it is used.

Every command reads the configuration, which knows of certificates; few read one. What reads them
is loaded then.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from agent.errors import ConfigError
from agent.records import Instant

if TYPE_CHECKING:
    from cryptography import x509


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate in a file, with a private key that fits it.

    ``setting`` names it in the configuration. ``names`` are the hosts in its subject alternative
    names, in the form of a Host header: browsers accept no others (the common name is ignored).
    ``der`` is the certificate itself.
    """

    setting: str
    path: Path
    names: tuple[str, ...]
    from_utc: datetime
    until_utc: datetime
    der: bytes

    def check(self, now: Instant) -> None:
        """Raise ConfigError if it is not valid now."""
        if now.utc > self.until_utc:
            until = f"{self.until_utc:%Y-%m-%d}"
            raise ConfigError(
                "certificate_expired", setting=self.setting, path=str(self.path), until=until
            )
        if now.utc < self.from_utc:
            since = f"{self.from_utc:%Y-%m-%d}"
            raise ConfigError(
                "certificate_not_yet_valid", setting=self.setting, path=str(self.path), since=since
            )


def read_certificate(path: Path | None, key_path: Path | None, table: str) -> Certificate | None:
    """Read a PEM certificate (its issuers' may follow) and its unencrypted key; None without both.

    ``table`` of the configuration names both, as ``tls_certificate`` and ``tls_key``.

    Raises
    ------
    ConfigError
        If one is named without the other, cannot be read, or they do not belong together.
    """
    if not path and not key_path:
        return None
    if not path or not key_path:
        raise ConfigError("tls_half_named", table=table)
    from cryptography import x509  # noqa: PLC0415 - see above
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415
        Encoding,
        PublicFormat,
    )

    setting = f"{table}.tls_certificate"
    pem = _content(setting, path)
    try:
        certificate = x509.load_pem_x509_certificates(pem)[0]
        fits = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ConfigError("certificate_unusable", setting=setting, path=str(path)) from error
    key = _public_key(f"{table}.tls_key", key_path)
    if key != fits.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo):
        raise ConfigError(
            "tls_key_of_another", table=table, path=str(key_path), certificate=str(path)
        )
    return Certificate(
        setting,
        path,
        _names(certificate),
        certificate.not_valid_before_utc,
        certificate.not_valid_after_utc,
        certificate.public_bytes(Encoding.DER),
    )


def _public_key(setting: str, path: Path) -> bytes:
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415 - see above
    from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415
        Encoding,
        PublicFormat,
        load_pem_private_key,
    )

    pem = _content(setting, path)
    try:
        key = load_pem_private_key(pem, password=None).public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:  # TypeError: with a passphrase
        raise ConfigError("tls_key_unusable", setting=setting, path=str(path)) from error
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _content(setting: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(
            "tls_file_unreadable", setting=setting, path=str(path), why=str(error.strerror)
        ) from error


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    from cryptography import x509  # noqa: PLC0415 - see above

    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    hosts = names.get_values_for_type(x509.DNSName)
    addresses = names.get_values_for_type(x509.IPAddress)
    v6 = [f"[{address}]" for address in addresses if address.version == 6]  # noqa: PLR2004
    plain = [host for host in hosts if "*" not in host.removeprefix("*.")]
    return (*plain, *map(str, addresses), *v6)
