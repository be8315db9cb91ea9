"""A model bundle on disk: its contract, and the two networks that it vouches for."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
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
    """A model as it was hashed. ``digest`` stands for all of its files.

    The networks are the bytes whose digests were checked, whatever becomes of the files; who loads
    them refuses weights that lie in other files, which no digest covers.
    """

    contract: Contract
    digest: str
    folder: Path
    slice_network: bytes = field(repr=False)
    volume_network: bytes = field(repr=False)

    @property
    def network_digests(self) -> tuple[str, str]:
        """SHA-256 of the two ONNX files, slice network first."""
        return self.contract.sha256.slices, self.contract.sha256.volume


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
    if not folder.is_dir():
        raise BundleError(
            "bundle_not_installed", path=str(folder), installed=", ".join(_installed_beside(folder))
        )
    try:
        raw = (folder / MANIFEST).read_bytes()
    except OSError as error:
        raise BundleError(
            "bundle_unreadable", path=str(folder), why=f"{error.strerror}: {MANIFEST}"
        ) from error
    if key is not None:
        check_signature(folder / MANIFEST, raw, key)
    contract = read_contract(raw.decode(errors="replace"), folder / MANIFEST)
    return bundle_of(contract, hashlib.sha256(raw).hexdigest(), folder)


def bundle_of(contract: Contract, digest: str, folder: Path) -> Bundle:
    """Read the networks that a contract vouches for; BundleError if they are not those."""
    return Bundle(
        contract,
        digest,
        folder,
        slice_network=_checked(folder / SLICE_FILE, contract.sha256.slices),
        volume_network=_checked(folder / VOLUME_FILE, contract.sha256.volume),
    )


def _installed_beside(folder: Path) -> list[str]:
    """Name the bundles that a folder's ``name/version`` could have been one of."""
    manifests = folder.parent.parent.glob(f"*/*/{MANIFEST}")
    return sorted("/".join(manifest.parts[-3:-1]) for manifest in manifests)


def _checked(path: Path, sha256: str) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BundleError(
            "bundle_file_unreadable", path=str(path), why=str(error.strerror)
        ) from error
    actual = hashlib.sha256(content).hexdigest()
    if actual != sha256:
        raise BundleError("bundle_file_changed", path=str(path), sha256=actual[:12])
    return content
