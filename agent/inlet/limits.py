"""How much the inlet takes on: of one object, of all that arrive at once, of the disk. Pure."""

from __future__ import annotations

from collections.abc import Hashable, MutableMapping
from dataclasses import dataclass, field
from typing import Final
from weakref import WeakKeyDictionary

from agent.reasons import Reason

LEAST_OBJECT_BYTES: Final = 4096
"""Every object counts as at least so much: a million empty ones take memory too. Ours: what
pynetdicom holds of a request without its data set."""


@dataclass(frozen=True, slots=True)
class InletLimits:
    """What the inlet refuses to go beyond."""

    associations: int
    """Open at once."""
    object_bytes: int
    """Of one object."""
    arriving_bytes: int
    """Of all objects together that are not on disk yet."""
    kept_days: float
    """Received images are deleted after so long."""
    kept_bytes: int
    """Above this size the oldest days' images are deleted."""
    free_bytes: int = 1_000_000_000
    """So much of the disk is left free: the store may lie on it. Ours: what doctor asks for."""


@dataclass(slots=True)
class _Object:
    """One object on its way: what of it is in memory, and why it is not kept."""

    held_bytes: int = LEAST_OBJECT_BYTES
    refused: Reason | None = None


@dataclass(slots=True)
class _Association:
    """What one association has sent and is not on disk: of one object a part, others whole."""

    arriving: _Object | None = None
    waiting: dict[int, _Object] = field(default_factory=dict)
    """By Message ID."""

    @property
    def held_bytes(self) -> int:
        objects = [*self.waiting.values(), *([self.arriving] if self.arriving else [])]
        return sum(one.held_bytes for one in objects)


class Arriving:
    """What all associations hold in memory. An association that is gone holds nothing.

    An object that goes beyond a limit is refused once, for a reason; what still comes of it is not
    to be kept, and counts for nothing. Not for several threads at once.
    """

    def __init__(self, limits: InletLimits) -> None:
        """Begin with nothing held."""
        self._limits = limits
        self._associations: MutableMapping[Hashable, _Association] = WeakKeyDictionary()

    @property
    def held_bytes(self) -> int:
        """What is in memory now."""
        return sum(one.held_bytes for one in self._associations.values())

    def take(self, association: Hashable, n_bytes: int) -> bool:
        """Count a fragment of the object that arrives; False where it is not to be kept."""
        held = self._associations.setdefault(association, _Association())
        if held.arriving is None:
            held.arriving = _Object()
        if held.arriving.refused is None:
            held.arriving.refused = self._why_not(held.arriving, n_bytes)
            held.arriving.held_bytes += n_bytes
        if held.arriving.refused:
            held.arriving.held_bytes = LEAST_OBJECT_BYTES
        return held.arriving.refused is None

    def complete(self, association: Hashable, message_id: int) -> None:
        """Note that the object has come whole, as the request of this Message ID."""
        held = self._associations.setdefault(association, _Association())
        held.waiting[message_id] = held.arriving or _Object()
        held.arriving = None

    def drop(self, association: Hashable) -> None:
        """Let go of what came with a request that stores nothing."""
        if held := self._associations.get(association):
            held.arriving = None

    def answered(self, association: Hashable, message_id: int) -> Reason | None:
        """Let go of an object as it is answered; returns why it was refused while it came."""
        held = self._associations.get(association, _Association())
        return held.waiting.pop(message_id, _Object()).refused

    def forget(self, association: Hashable) -> None:
        """Let go of all that an association has sent: it is over."""
        self._associations.pop(association, None)

    def _why_not(self, arriving: _Object, n_bytes: int) -> Reason | None:
        limits = self._limits
        if arriving.held_bytes + n_bytes > limits.object_bytes:
            return Reason("object_too_large", most_mb=limits.object_bytes / 2**20)
        if self.held_bytes + n_bytes > limits.arriving_bytes:
            return Reason("inlet_memory_taken", most_mb=limits.arriving_bytes / 2**20)
        return None
