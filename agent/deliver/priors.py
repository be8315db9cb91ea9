"""A patient's earlier examinations, as an archive tells of them, and which of them is wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final, Protocol, TypeAlias

from agent.errors import ArchiveRefused
from agent.records import STORABLE_UID, Identity

MOST_STUDIES: Final = 200
MOST_SERIES: Final = 100
MOST_IMAGES: Final = 2000
"""So many are read of an archive's answer; one that is longer is refused. Ours: no series with more
images is analysed (``read.series_images``)."""

WILDCARDS: Final = frozenset("*?\\")
"""What is more than itself in a question. Source: PS3.4 C.2.2.2.4, PS3.5 table 6.2-1."""

EMPTY: Final = "^= "
"""What may end a name, for components that it does not have. Source: PS3.5 section 6.2.1."""


@dataclass(frozen=True, slots=True)
class FoundStudy:
    """A study as an archive tells of it; ``at`` is when, by the scanner's clock."""

    uid: str
    patient_id: str
    patient_name: str
    birth_date: str
    issuer: str
    at: datetime | None


@dataclass(frozen=True, slots=True)
class FoundSeries:
    """A series of it; ``n_images`` is 0 where the archive does not say."""

    uid: str
    modality: str
    n_images: int


Take: TypeAlias = Callable[[bytes], None]
"""Takes an image's file; raises DeliveryError where no more is to come."""


class PriorArchive(Protocol):
    """An archive that can be asked for studies, and for their images.

    Each call raises ArchiveUnreachable where it does not answer, ArchiveRefused where it does not
    give what is asked for, or gives nonsense.
    """

    def greet(self) -> None:
        """Make sure that the archive answers."""

    def studies(self, patient_id: str, days: tuple[date, date]) -> list[FoundStudy]:
        """Return a patient's studies of some days, the first and last included."""

    def series(self, study_uid: str) -> list[FoundSeries]:
        """Return a study's series."""

    def images(self, study_uid: str, series_uid: str) -> list[str]:
        """Return the SOP Instance UIDs of a series' images."""

    def fetch(self, study_uid: str, series_uid: str, sop_uids: list[str], take: Take) -> None:
        """Fetch images of a series."""


def refused(channel: str, why: str) -> ArchiveRefused:
    """Say that an archive does not give what is asked for, or gives nonsense."""
    return ArchiveRefused("prior_refused", channel=channel, why=why)


def checked_uid(told: str, channel: str) -> str:
    """Return a UID that an archive tells; ArchiveRefused where no address or path may hold it."""
    if not STORABLE_UID.fullmatch(told):
        raise refused(channel, "its answer names a UID that is none")
    return told


def number_of(told: str) -> int:
    """Read a number of images, 0 where none is told."""
    return int(told) if told.isdecimal() else 0


def is_told_of(identity: Identity) -> bool:
    """Whether a patient can be asked for: number, name and date of birth are all there."""
    is_plain = WILDCARDS.isdisjoint(identity.patient_id)
    named = identity.patient_name.strip(EMPTY)
    return bool(identity.patient_id and identity.birth_date and named and is_plain)


def is_same_patient(one: Identity | FoundStudy, other: Identity) -> bool:
    """Whether number, name and date of birth are all the same."""
    return (one.patient_id, one.birth_date, one.patient_name.rstrip(EMPTY)) == (
        other.patient_id,
        other.birth_date,
        other.patient_name.rstrip(EMPTY),
    )


def earlier_ones(
    studies: Iterable[FoundStudy], identity: Identity, scanned: datetime, issuer: str
) -> list[FoundStudy]:
    """Return the same patient's studies that were begun before a scan, the latest first.

    A study in which the scan itself lies is none of them. With an ``issuer``, neither is one for
    which the archive names another.
    """
    fitting = [
        one
        for one in studies
        if is_same_patient(one, identity)
        and one.uid != identity.study_uid
        and not (issuer and one.issuer and one.issuer != issuer)
        and one.at is not None
        and one.at < scanned
    ]
    return sorted(fitting, key=lambda one: one.at or scanned, reverse=True)


def days_before(scanned: datetime, days: int) -> tuple[date, date]:
    """Return the first and the last day on which an earlier study may have been made."""
    return (scanned - timedelta(days=days)).date(), scanned.date()


def moment_of(day: str, time: str) -> datetime | None:
    """Read DICOM's date and time; None where the date is none. Without a time, its midnight."""
    try:
        begun = datetime.strptime(day, "%Y%m%d")  # noqa: DTZ007 - the scanner's clock has no zone
        digits = time.partition(".")[0].ljust(6, "0")
        clock = datetime.strptime(digits, "%H%M%S") if time else begun  # noqa: DTZ007 - likewise
    except ValueError:
        return None
    return datetime.combine(begun.date(), clock.time())
