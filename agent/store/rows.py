"""What the store takes in and gives out. Frozen; times on both clocks."""

from __future__ import annotations

from dataclasses import dataclass

from agent.records import Identity, Instant, State
from agent.report import SeriesReport


@dataclass(frozen=True, slots=True)
class FileNote:
    """What became of one version of one file.

    ``refusal`` is None for a slice. ``settled``: a restarted agent need not read it again.
    """

    path: str
    size_bytes: int
    mtime_ns: int
    series_uid: str | None
    sop_uid: str | None
    refusal: str | None
    settled: bool


@dataclass(frozen=True, slots=True)
class SeriesProgress:
    """A series that is still being received. ``expected`` is 0 where no count is promised."""

    series_uid: str
    identity: Identity
    description: str
    protocol: str | None
    slices: int
    expected: int
    first_slice: Instant
    last_slice: Instant


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """Who took note of a result, and when."""

    who: str
    at: Instant
    note: str


@dataclass(frozen=True, slots=True)
class SeriesRow:
    """One series as the store knows it.

    ``report`` is that of the latest concluded revision, also while a newer one is being received.
    ``concluded_at`` is the moment at which it was committed; ``shown_at`` the moment at which a
    page confirmed that it shows it.
    """

    uid: str
    identity: Identity
    description: str
    protocol: str | None
    state: State
    slices: int
    expected: int
    first_slice: Instant
    last_slice: Instant
    revision: int
    report: SeriesReport | None
    concluded_at: Instant | None
    shown_at: Instant | None
    acknowledged: Acknowledgement | None


@dataclass(frozen=True, slots=True)
class Transition:
    """One change of a series' state."""

    state: State
    at: Instant
    detail: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """A result that a channel has not yet confirmed."""

    series_uid: str
    revision: int
    channel: str
    since: Instant


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that concerns no series, such as a file that was refused."""

    kind: str
    message: str
    at: Instant


@dataclass(frozen=True, slots=True)
class AgentStatus:
    """The agent's sign of life. ``folder_problem`` and ``degraded`` are None when all is well."""

    pid: int
    boot_id: str
    at: Instant
    started: Instant
    folder: str
    folder_problem: str | None
    backend: str
    bundle: str
    degraded: str | None
    receiving: int
    queued: int
