"""What TensorRT measured on a card, kept so that the next build is quick."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from agent.errors import SignatureError
from agent.infer.plan import Machine
from agent.infer.signature import SUFFIX, check_signature
from build_engine.compile.plans import replace_file


@dataclass(frozen=True, slots=True)
class TimingCache:
    """One file a card and its software, in ``folder``. It holds kernels: code, as a plan does.

    Where the configuration names a ``public_key``, only what is signed with it is read, and what
    cannot be signed with a ``private_key`` is not kept.
    """

    folder: Path
    public_key: Ed25519PublicKey | None = None
    private_key: Ed25519PrivateKey | None = None

    def read(self, machine: Machine) -> bytes:
        """Return what was measured on a machine; b"" where nothing was that may be used."""
        path = self._path(machine)
        try:
            content = path.read_bytes()
            if self.public_key is not None:
                check_signature(path, content, self.public_key)
        except (FileNotFoundError, SignatureError):
            return b""
        return content

    def write(self, machine: Machine, content: bytes) -> None:
        """Keep what was measured; PlanError if it cannot be written."""
        if self.public_key is not None and self.private_key is None:
            return
        path = self._path(machine)
        replace_file(path, content)
        if self.private_key is not None:
            replace_file(path.with_name(path.name + SUFFIX), self.private_key.sign(content))

    def _path(self, machine: Machine) -> Path:
        parts = (machine.gpu, machine.compute_capability, machine.tensorrt, machine.driver)
        name = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
        return self.folder / f"{name}.cache"
