"""Certificates as a hospital's own authority makes them."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

NAMES = ("ct1.hospital.example", "127.0.0.1")


def _named(words: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, words)])


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


@dataclass
class Authority:
    """Signs certificates; ``ca`` is the file that browsers trust."""

    folder: Path

    def __post_init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        made = self._begun("authority", self._key.public_key(), timedelta(0), timedelta(days=3650))
        constraint = x509.BasicConstraints(ca=True, path_length=0)
        signed = made.add_extension(constraint, critical=True).sign(self._key, hashes.SHA256())
        self.ca.write_bytes(signed.public_bytes(Encoding.PEM))

    @property
    def ca(self) -> Path:
        return self.folder / "ca.pem"

    def make(
        self,
        name: str = "console",
        *,
        begins: timedelta = timedelta(days=-1),
        ends: timedelta = timedelta(days=365),
        names: tuple[str, ...] = NAMES,
        secret: KeySerializationEncryption | None = None,
    ) -> tuple[Path, Path]:
        """Write a certificate and its key; times are counted from now."""
        key = ec.generate_private_key(ec.SECP256R1())
        made = self._begun(name, key.public_key(), begins, ends)
        if names:
            made = made.add_extension(
                x509.SubjectAlternativeName([_general(one) for one in names]), critical=False
            )
        pem, key_pem = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        pem.write_bytes(made.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM))
        secret = secret or NoEncryption()
        key_pem.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, secret))
        return pem, key_pem

    def _begun(
        self, name: str, key: ec.EllipticCurvePublicKey, begins: timedelta, ends: timedelta
    ) -> x509.CertificateBuilder:
        now = datetime.now(timezone.utc)
        return (
            x509.CertificateBuilder()
            .subject_name(_named(name))
            .issuer_name(_named("authority"))
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + begins)
            .not_valid_after(now + ends)
        )
