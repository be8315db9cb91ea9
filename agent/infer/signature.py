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


def load_public_key(path: Path) -> Ed25519PublicKey:
    """Read a PEM file; ConfigError if it holds no Ed25519 public key."""
    hint = "`openssl pkey -in PRIVATE.pem -pubout` writes one"
    try:
        key = load_pem_public_key(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}", hint=hint) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ConfigError(f"{path} is no public key in PEM", hint=hint) from error
    if not isinstance(key, Ed25519PublicKey):
        raise ConfigError(f"{path} holds another kind of key than Ed25519", hint=hint)
    return key


def check_signature(manifest: Path, content: bytes, key: Ed25519PublicKey) -> None:
    """Check the signature beside ``manifest`` over ``content``, its bytes; SignatureError if off.

    ``content`` is passed in, so that what was checked is what is then read.
    """
    signature = manifest.with_name(manifest.name + SUFFIX)
    try:
        key.verify(signature.read_bytes(), content)
    except OSError as error:
        raise SignatureError(
            f"{manifest} is not signed", hint="`bleedwatch engine sign`, if it is to be trusted"
        ) from error
    except InvalidSignature as error:
        raise SignatureError(
            f"{manifest} is not what was signed, or was signed with another key",
            hint="do not use this copy: build or install it again",
        ) from error
