"""Signing a bundle's or a plan's manifest, and checking what was signed."""

from __future__ import annotations

import hashlib
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from agent.errors import ConfigError, PlanError
from agent.infer import bundle, plan
from agent.infer.signature import SUFFIX
from build_engine.compile.plans import replace_file


def load_private_key(path: Path) -> Ed25519PrivateKey:
    """Read a PEM file without a password; ConfigError if it holds no Ed25519 private key."""
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise ConfigError(
            "private_key_unreadable", path=str(path), why=str(error.strerror)
        ) from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigError("private_key_unusable", path=str(path)) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError("private_key_of_other_kind", path=str(path))
    return key


def sign(folder: Path, key: Ed25519PrivateKey) -> Path:
    """Sign a bundle or a plan, once every digest in its manifest has been checked.

    Returns the signature's file.
    """
    manifest, checked = manifest_of(folder), check(folder, None)
    content = manifest.read_bytes()
    if hashlib.sha256(content).hexdigest() != checked:
        raise PlanError("manifest_changed", path=str(manifest))
    signature = manifest.with_name(manifest.name + SUFFIX)
    replace_file(signature, key.sign(content))
    return signature


def check(folder: Path, key: Ed25519PublicKey | None) -> str:
    """Check the digests of a bundle or a plan, and its signature if there is a key.

    Returns the manifest's own SHA-256.

    Raises
    ------
    PlanError, BundleError, SignatureError
        What is wrong, and with which file.
    """
    if manifest_of(folder).name == plan.MANIFEST:
        return plan.load_plan(folder, key).digest
    return bundle.load_bundle(folder, key).digest


def manifest_of(folder: Path) -> Path:
    """Find the manifest of a bundle or a plan; PlanError if the folder is neither."""
    for name in (plan.MANIFEST, bundle.MANIFEST):
        if (folder / name).is_file():
            return folder / name
    raise PlanError("nothing_to_sign", folder=str(folder))
