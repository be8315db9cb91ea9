"""Ed25519 signatures over manifests: who vouches for a bundle or a plan.

A manifest names the SHA-256 of every file beside it, so its signature stands for all of them. It
lies beside the manifest, as the 64 bytes that RFC 8032 defines.
"""

from __future__ import annotations

from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from agent.errors import ConfigError, SignatureError

SUFFIX = ".sig"
"""Appended to a manifest's name."""


def load_public_key(path: Path | None) -> Ed25519PublicKey | None:
    """Read a PEM file, None where none is configured; ConfigError if it holds no such key."""
    if path is None:
        return None
    try:
        key = load_pem_public_key(path.read_bytes())
    except OSError as error:
        raise ConfigError(
            "public_key_unreadable", path=str(path), why=str(error.strerror)
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ConfigError("public_key_unusable", path=str(path)) from error
    if not isinstance(key, Ed25519PublicKey):
        raise ConfigError("public_key_of_other_kind", path=str(path))
    return key


def check_signature(manifest: Path, content: bytes, key: Ed25519PublicKey) -> None:
    """Check the signature beside ``manifest`` over ``content``, its bytes; SignatureError if off.

    ``content`` is passed in, so that what was checked is what is then read.
    """
    signature = manifest.with_name(manifest.name + SUFFIX)
    try:
        key.verify(signature.read_bytes(), content)
    except OSError as error:
        raise SignatureError("not_signed", path=str(manifest)) from error
    except InvalidSignature as error:
        raise SignatureError("signature_wrong", path=str(manifest)) from error
