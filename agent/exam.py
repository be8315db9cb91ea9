"""One answer for each examination, from the answers of its series. Values and functions of them.

A scan is reconstructed several times: thick slices come first, thin ones later, and others beside
them that nobody needs analysed. Three rules say what is told of all of them together:

1. Series are of one examination where their headers show that they are of one scan. A second scan
   in the same study, after contrast agent or a fall, is an examination of its own.
2. The answer is that of the most preferred series that has one, in the order of the protocol
   profile. A preferred *not suspected* withdraws what a less preferred series suspected: both stay
   told. Among equally preferred series one suspicion is enough.
3. That one series was not analysed hides the answer of no other. Where no series has an answer, the
   examination is *not analysed*.

In which order the series came changes none of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from itertools import groupby
from typing import Final

from agent.reasons import Reason
from agent.records import Acquisition, Span, State, is_prior, is_test

NEEDS_NOBODY: Final = frozenset(
    {
        "localizers_only",
        "not_head",
        "not_plain_head",
        "not_original_axial",
        "contrast_series",
        "scanned_often",
        "contrast_given",
        "contrast_seen",
    }
)
"""Codes of series that are not to be analysed: localizers, dose pages, perfusions, other parts …"""

OF_BONE: Final = frozenset({"bone_kernel", "bone_series"})
OTHER_VIEWS: Final = OF_BONE | {"not_axial"}
"""Codes of series that show a scan otherwise than it is analysed. Where no other series of the scan
came, that one is missing."""

SCANS_APART: Final = timedelta(seconds=5)
"""Scans that lie further apart are two. Ours: a scanner takes longer to begin another one."""

IMAGES_APART: Final = timedelta(minutes=5)
"""Where only the making of the images is dated, they are of two scans if it lies further apart.
Ours: thin slices are reconstructed within some minutes after thick ones."""

ANSWERS: Final = frozenset({State.SUSPECTED, State.NOT_SUSPECTED})
UNDER_WAY: Final = frozenset({State.RECEIVING, State.ANALYSING})
LEAST_PREFERRED: Final = 1_000_000
"""Of a series of which no profile says how much it is preferred."""


@dataclass(frozen=True, slots=True)
class Reconstruction:
    """One series, as far as its examination's answer depends on it.

    ``patient`` is whose it is said to be. ``answer`` is that of its latest result, None before the
    first, and ``code`` why that is *not analysed*. ``is_covered`` says that a protocol profile is
    for it, as far as it has come. ``alerts`` says that it waits with a suspicion for somebody's
    answer, ``is_acknowledged`` that somebody took note of its latest result without dismissing it,
    ``is_answered`` that somebody answered it at all.
    """

    uid: str
    study_uid: str
    patient: tuple[str, ...]
    acquisition: Acquisition
    state: State
    answer: State | None
    code: str | None
    is_covered: bool
    alerts: bool
    is_acknowledged: bool
    is_answered: bool
    first_slice_at: datetime

    @property
    def standing(self) -> State | None:
        """The answer that stands: of what is received again, only a suspicion does."""
        if self.answer is State.SUSPECTED:
            return self.answer
        cleared = self.answer is State.NOT_SUSPECTED and self.state not in UNDER_WAY
        return self.answer if cleared else None

    @property
    def is_aside(self) -> bool:
        """Whether nobody needs it analysed, as far as it has come."""
        if self.answer is None:
            return not self.is_covered
        return self.code in NEEDS_NOBODY

    @property
    def is_head(self) -> bool:
        """Whether its answer, or that it has none, is one of the examination's."""
        return not self.is_aside and self.code not in OTHER_VIEWS

    @property
    def is_unanalysed(self) -> bool:
        """Whether it should have been analysed and was not, and nobody has taken note of that."""
        needed = not self.is_aside and not is_prior(self.uid)
        return self.state is State.NOT_ANALYSED and needed and not self.is_answered

    @property
    def rank(self) -> int:
        """How much it is preferred: 0 most."""
        preference = self.acquisition.preference
        return LEAST_PREFERRED if preference is None else preference


class Place(str, Enum):
    """Where a series stands in its examination."""

    SPEAKS = "speaks"
    """What is told of the examination is what is told of it."""
    BESIDE = "beside"
    """Another one that is analysed, or should have been."""
    ASIDE = "aside"
    """It needs nobody."""


class Second(str, Enum):
    """What a preferred series made of what a less preferred one suspected."""

    CONFIRMED = "confirmed"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True)
class Examination:
    """What is told of the series of one scan together.

    ``uid`` is that of its first series. ``places`` holds every series once, that which speaks
    first. ``remark`` is what none of its series says by itself. ``waiting`` are the series whose
    suspicion waits for somebody's answer, the most preferred first. ``unanalysed`` are those of an
    examination without an answer that were not analysed, which nobody has taken note of. Where
    ``needs_nobody``, no head was to be analysed.
    """

    uid: str
    state: State
    needs_nobody: bool
    second: Second | None
    remark: Reason | None
    waiting: tuple[str, ...]
    unanalysed: tuple[str, ...]
    places: tuple[tuple[str, Place], ...]

    @property
    def speaker(self) -> str:
        """Which series speaks for it."""
        return self.places[0][0]


def examinations(series: Iterable[Reconstruction]) -> tuple[Examination, ...]:
    """Tell examinations apart and answer each, the one that began to come first, first."""
    known = sorted(series, key=lambda one: (*_whose(one), one.uid))
    parts = [part for _, group in groupby(known, key=_whose) for part in _scans(list(group))]
    return tuple(map(_answered, sorted(parts, key=_began)))


def acknowledged_through(series: Sequence[Reconstruction], uid: str) -> str | None:
    """Say through which series a new suspicion was acknowledged before it came, None if it alerts.

    It confirms what somebody has taken note of, where all that its examination suspected until then
    was acknowledged and none of it dismissed or withdrawn. ``series`` are as they were before.
    """
    (own,) = (one for one in series if one.uid == uid)
    if own.answer in ANSWERS:
        return None
    others = [one for one in _part_of(series, uid) if one.uid != uid]
    if not others:
        return None
    before = _answered(others)
    suspected = [one for one in others if one.standing is State.SUSPECTED]
    noted = all(one.is_acknowledged and not one.alerts for one in suspected)
    return before.speaker if before.state is State.SUSPECTED and noted else None


def waiting_beside(series: Sequence[Reconstruction], uid: str) -> tuple[str, ...]:
    """Return the other series of an examination whose suspicions wait for the same answer."""
    return tuple(one.uid for one in _part_of(series, uid) if one.alerts and one.uid != uid)


def unanalysed_with(series: Sequence[Reconstruction], uid: str) -> tuple[str, ...]:
    """Return the series of an examination that were not analysed, and wait for the same answer.

    Its own too, where an answer was to an earlier result; but none with a suspicion that still
    waits: who answers the latest result of a series answers its earlier ones.
    """
    return tuple(one.uid for one in _part_of(series, uid) if one.is_unanalysed and not one.alerts)


def same_scan(one: Acquisition, other: Acquisition) -> bool | None:
    """Say whether two series show one scan, None where nothing tells.

    Frame of reference, acquisition number and time must not contradict it, and the first or the
    last must show it: many scanners number each scan 1.
    """
    frames = _meet(one.frames_of_reference, other.frames_of_reference)
    numbers = _meet(one.numbers, other.numbers)
    times = _near(one.acquired, other.acquired, SCANS_APART)
    if times is None:
        times = _near(one.created, other.created, IMAGES_APART)
    if False in (frames, numbers, times):
        return False
    return True if frames or times else None


def _meet(some: frozenset[str] | frozenset[int], others: frozenset[object]) -> bool | None:
    return not some.isdisjoint(others) if some and others else None


def _near(one: Span | None, other: Span | None, apart: timedelta) -> bool | None:
    if one is None or other is None:
        return None
    return one[0] - other[1] <= apart and other[0] - one[1] <= apart


def _whose(one: Reconstruction) -> tuple[str, tuple[str, ...], bool, bool]:
    """Return what all series of an examination have in common."""
    return one.study_uid, one.patient, is_test(one.uid), is_prior(one.uid)


def _began(part: Sequence[Reconstruction]) -> tuple[datetime, str]:
    return min((one.first_slice_at, one.uid) for one in part)


def _part_of(series: Sequence[Reconstruction], uid: str) -> list[Reconstruction]:
    """Return the series of the examination to which one belongs."""
    by_uid = {one.uid: one for one in series}
    for examination in examinations(series):
        if uid in (members := [each for each, _ in examination.places]):
            return [by_uid[each] for each in members]
    return []


def _scans(group: list[Reconstruction]) -> list[list[Reconstruction]]:
    """Part the series of one study and patient by the scans that they show.

    What needs nobody goes to the scan that it is of, else to the first: it makes no examination of
    its own beside a head. A further view of a scan does, where it shows another one.
    """
    parts: list[list[Reconstruction]] = []
    for one in sorted((one for one in group if one.is_head), key=_evidence):
        candidates = parts if _says_scan(one.acquisition) else []
        part = next((part for part in candidates if _shows_scan_of(one, part)), None)
        parts.append([one]) if part is None else part.append(one)
    scans = sorted(parts, key=_scanned)
    for one in sorted((one for one in group if not one.is_head), key=_evidence):
        shown = [_shows_scan_of(one, scan) for scan in scans]
        if True in shown:
            scans[shown.index(True)].append(one)
        elif None in shown:
            scans[shown.index(None)].append(one)
        elif one.is_aside and scans:
            scans[0].append(one)
        else:
            scans.append([one])
    return scans


def _says_scan(scan: Acquisition) -> bool:
    """Say whether headers hold anything by which another series can be of the same scan."""
    return bool(scan.frames_of_reference or scan.acquired or scan.created)


def _evidence(one: Reconstruction) -> tuple[bool, int, str]:
    """Put first what makes a scan, then what says most of it; not what came first."""
    scan = one.acquisition
    known = (scan.acquired, scan.created, scan.numbers, scan.frames_of_reference)
    return one.is_aside, -sum(map(bool, known)), one.uid


def _scanned(part: list[Reconstruction]) -> tuple[str, str]:
    """Put scans in the order in which they were made, those without a time last."""
    times = [one.acquisition.acquired or one.acquisition.created for one in part]
    begun = min((time[0].isoformat() for time in times if time), default="~")
    return begun, min(one.uid for one in part)


def _shows_scan_of(one: Reconstruction, part: list[Reconstruction]) -> bool | None:
    """Say whether a series shows the scan of others; one that contradicts is enough."""
    shown = {same_scan(one.acquisition, each.acquisition) for each in part}
    return False if False in shown else True if True in shown else None


def _answered(part: Sequence[Reconstruction]) -> Examination:
    """Give the series of one scan their one answer."""
    ordered = sorted(part, key=_precedence)
    speaker, state = ordered[0], _state(ordered[0])
    heads = [one for one in ordered if one.is_head]
    suspected = [one for one in heads if one.standing is State.SUSPECTED]
    waiting = tuple(one.uid for one in ordered if one.alerts)
    second = _second(speaker, suspected)
    is_unanalysed = state is State.NOT_ANALYSED and not waiting
    return Examination(
        uid=min(heads or ordered, key=lambda one: (one.first_slice_at, one.uid)).uid,
        state=state,
        needs_nobody=state is State.NOT_ANALYSED and speaker.is_aside and not waiting,
        second=second,
        remark=_remark(second, speaker, suspected),
        waiting=waiting,
        unanalysed=tuple(one.uid for one in ordered if one.is_unanalysed) if is_unanalysed else (),
        places=tuple((one.uid, _place(one, speaker)) for one in ordered),
    )


def _precedence(one: Reconstruction) -> tuple[int, int, bool, str]:
    """Put series in the order in which they speak: answered ones, those under way, the others.

    Of equally preferred ones that which suspects a bleed comes first.
    """
    if one.is_head:
        kind = 0 if one.standing else 1 if one.state in UNDER_WAY else 2
    else:
        kind = 3 if not one.is_aside else 4 if one.answer is None else 5
    return kind, one.rank, one.answer is not State.SUSPECTED, one.uid


def _state(speaker: Reconstruction) -> State:
    """Return the answer, or how far the examination is on its way to one."""
    return speaker.standing or speaker.state


def _second(speaker: Reconstruction, suspected: Sequence[Reconstruction]) -> Second | None:
    """Say what a preferred series made of what less preferred ones suspected."""
    if speaker.standing is None or not any(one.rank > speaker.rank for one in suspected):
        return None
    return Second.CONFIRMED if speaker.standing is State.SUSPECTED else Second.WITHDRAWN


def _remark(
    second: Second | None, speaker: Reconstruction, suspected: Sequence[Reconstruction]
) -> Reason | None:
    if second is None:
        bone_alone = speaker.code in OF_BONE and speaker.state is State.NOT_ANALYSED
        return Reason("soft_tissue_missing") if bone_alone else None
    former_mm = max(suspected, key=lambda one: (one.rank, one.uid)).acquisition.thickness_mm
    own_mm = speaker.acquisition.thickness_mm
    confirmed = second is Second.CONFIRMED
    if own_mm is None or former_mm is None or own_mm >= former_mm:
        return Reason("confirmed_by_another") if confirmed else Reason("withdrawn_by_another")
    if confirmed:
        return Reason("confirmed_by_thin", thickness_mm=own_mm, former_mm=former_mm)
    return Reason("withdrawn_by_thin", thickness_mm=own_mm, former_mm=former_mm)


def _place(one: Reconstruction, speaker: Reconstruction) -> Place:
    if one is speaker:
        return Place.SPEAKS
    return Place.BESIDE if one.is_head else Place.ASIDE
