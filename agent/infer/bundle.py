"""A model bundle on disk: its contract, and the two networks that it vouches for."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from agent.errors import BundleError
from agent.infer.contract import Contract, read_contract
from agent.infer.signature import check_signature

MANIFEST: Final = "bundle.toml"
SLICE_FILE: Final = "slice.onnx"
VOLUME_FILE: Final = "volume.onnx"


@dataclass(frozen=True, slots=True)
class Bundle:
    """A model in its folder, every digest checked. ``digest`` stands for all of its files."""

    contract: Contract
    digest: str
    folder: Path

    @property
    def network_digests(self) -> tuple[str, str]:
        """SHA-256 of the two ONNX files, slice network first."""
        return self.contract.sha256.slices, self.contract.sha256.volume

    @property
    def slice_network(self) -> Path:
        """The slice network's ONNX file."""
        return self.folder / SLICE_FILE

    @property
    def volume_network(self) -> Path:
        """The volume network's ONNX file."""
        return self.folder / VOLUME_FILE


def load_bundle(folder: Path, key: Ed25519PublicKey | None = None) -> Bundle:
    """Read ``folder/bundle.toml`` and check the digests of both networks.

    With a ``key``, the manifest's signature is checked before anything else of it is used.

    Raises
    ------
    BundleError
        If the manifest is missing or wrong, or a network is not the one that it names.
    SignatureError
        If the manifest's signature is missing or another's.
    """
    try:
        raw = (folder / MANIFEST).read_bytes()
    except OSError as error:
        raise BundleError(
            "bundle_unreadable", path=str(folder), why=f"{error.strerror}: {MANIFEST}"
        ) from error
    if key is not None:
        check_signature(folder / MANIFEST, raw, key)
    contract = read_contract(raw.decode(errors="replace"), folder / MANIFEST)
    bundle = Bundle(contract, hashlib.sha256(raw).hexdigest(), folder)
    _check(bundle.slice_network, contract.sha256.slices)
    _check(bundle.volume_network, contract.sha256.volume)
    return bundle


def _check(path: Path, sha256: str) -> None:
    try:
        actual = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise BundleError(
            "bundle_file_unreadable", path=str(path), why=str(error.strerror)
        ) from error
    if actual != sha256:
        raise BundleError("bundle_file_changed", path=str(path), sha256=actual[:12])
