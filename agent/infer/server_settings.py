"""What a site says of the server that runs networks for many boxes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Where a server is, how this box and it know each other, how long it may take to answer [s].

    ``target`` is host and port; ``encrypted`` is false on this computer alone.
    """

    target: str
    encrypted: bool
    ca: Path | None
    certificate: Path | None
    key: Path | None
    deadline_s: float

    @property
    def host(self) -> str:
        """The server's name or address, without its port."""
        return self.target.rpartition(":")[0].strip("[]")
