"""What may be written of a series' life, as values; ``AgentStore.commit`` writes them.

All that one event of the life has for effects is written in one transaction, in order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from agent.reasons import Reason
from agent.report import SeriesReport
from agent.sources import Sources
from agent.store.rows import FileNote, SeriesProgress


@dataclass(frozen=True, slots=True)
class NoteFile:
    """Journal what became of a file, in place of what was known of the same path."""

    note: FileNote


@dataclass(frozen=True, slots=True)
class ShowProgress:
    """Show that a series is being received, and how far it is; its row is made where it is new."""

    progress: SeriesProgress


@dataclass(frozen=True, slots=True)
class CountImage:
    """Count a further image of a series that has its result, which it does not change."""

    series_uid: str


@dataclass(frozen=True, slots=True)
class ShowAnalysis:
    """Show that a series is complete and being analysed."""

    series_uid: str


@dataclass(frozen=True, slots=True)
class BeginAttempt:
    """Count that the networks are about to run on a series.

    It is on the disk before they run, so that a series that takes the process down is counted.
    """

    series_uid: str


@dataclass(frozen=True, slots=True)
class EndAttempt:
    """Take the latest ``BeginAttempt`` back: the process has survived it."""

    series_uid: str


@dataclass(frozen=True, slots=True)
class Conclude:
    """Add a result, its ``pictures`` (PNG by view) and its deliveries; the series has its state.

    Attempts are counted from the beginning again, and the series is asked for no longer.
    """

    report: SeriesReport
    pictures: Mapping[str, bytes]
    channels: tuple[str, ...]
    sources: Sources | None = None
    """None where no channel needs them."""


@dataclass(frozen=True, slots=True)
class Restore:
    """Give a series the state of one of its results again: what came since was nothing new."""

    series_uid: str
    revision: int


@dataclass(frozen=True, slots=True)
class Settle:
    """Say that a result holds what is in these versions of files: they need not be read again."""

    notes: tuple[FileNote, ...]


@dataclass(frozen=True, slots=True)
class Decline:
    """Say that a series that was asked for again cannot be read; its result stands."""

    series_uid: str
    reason: Reason


Effect: TypeAlias = (
    NoteFile
    | ShowProgress
    | CountImage
    | ShowAnalysis
    | BeginAttempt
    | EndAttempt
    | Conclude
    | Restore
    | Settle
    | Decline
)
