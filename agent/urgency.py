"""In which order waiting examinations are told: the most urgent first, not the latest. Pure.

A table of rules, of which the first that applies decides. It orders what waits on one page, and
says nothing of how a patient is to be treated: a suspicion that ranks last is still a suspicion.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from agent.exam import OTHER_VIEWS, Examination, Second
from agent.records import EXTRA_AXIAL, MASS_EFFECT_MM, Region, Subtype
from agent.report import FindingReport, SeriesReport

LARGE_ML: Final = 30.0
"""From this volume on a bleed within the brain or an epidural one is large [mL]. Sources: the ICH
score (Hemphill et al., Stroke 2001); Guidelines for the Surgical Management of TBI (Bullock et al.,
Neurosurgery 2006), which evacuate an epidural hematoma above it whatever the patient's state."""

POSTERIOR_FOSSA_ML: Final = 10.0
"""The same in cerebellum and brainstem [mL]. Ours: some 2.7 cm across. AHA/ASA 2022 operate on the
cerebellum from 15 mL on; volumes are measured with an error, and there is little room."""

SMALL_ML: Final = 1.0
"""Below this volume a suspicion is small [mL]. Ours: some 12 mm across."""

STANDS_S: Final = 24 * 3600.0
"""So long a head that was not analysed stands in front, unless somebody answers before [s]. Ours:
after a day its patient was read by people, and what nobody answered would hide today's heads."""

COMES_WITHIN_S: Final = 120.0
"""So long a bone reconstruction or another view alone is no head that went unanalysed [s]. Ours:
scanners export the soft-tissue one within this of the other."""

POSTERIOR_FOSSA: Final = frozenset(
    {Region.CEREBELLUM.word, Region.PONS.word, Region.MEDULLA.word, Region.MIDBRAIN.word}
)


class Urgency(str, Enum):
    """How urgent what waits is, most urgent first."""

    IMMEDIATE = "immediate"
    PROMPT = "prompt"
    NOT_ANALYSED = "not_analysed"
    SMALL = "small"
    WITHDRAWN = "withdrawn"
    TEST = "test"


@dataclass(frozen=True, slots=True)
class Suspicion:
    """What is told of a suspected bleed, as far as its urgency depends on it."""

    findings: Sequence[FindingReport]
    midline_shift_mm: float
    total_ml: float | None
    """None where no outline could be drawn."""

    @classmethod
    def of(cls, report: SeriesReport) -> Suspicion:
        """Take it from a report that suspects a bleed."""
        total_ml = report.total_volume_ml if report.findings else None
        return cls(report.findings, report.midline_shift_mm or 0.0, total_ml)

    def largest_ml(self, *subtypes: Subtype) -> float:
        """Return the volume of the largest finding of some kinds [mL], 0 where there is none.

        What could be subdural or epidural is taken for either.
        """
        words = {subtype.word for subtype in subtypes}
        if {Subtype.SUBDURAL, Subtype.EPIDURAL} & set(subtypes):
            words.add(EXTRA_AXIAL)
        return max((one.volume_ml for one in self.findings if one.subtype in words), default=0.0)

    @property
    def posterior_fossa_ml(self) -> float:
        """Return how much lies in cerebellum and brainstem [mL]."""
        return sum(one.volume_ml for one in self.findings if one.region in POSTERIOR_FOSSA)


RULES: Final[Sequence[tuple[str, Callable[[Suspicion], bool], Urgency]]] = (
    ("midline shifted", lambda one: one.midline_shift_mm >= MASS_EFFECT_MM, Urgency.IMMEDIATE),
    (
        "large in the posterior fossa",
        lambda one: one.posterior_fossa_ml >= POSTERIOR_FOSSA_ML,
        Urgency.IMMEDIATE,
    ),
    (
        "large in the brain, or epidural",
        lambda one: one.largest_ml(Subtype.INTRAPARENCHYMAL, Subtype.EPIDURAL) >= LARGE_ML,
        Urgency.IMMEDIATE,
    ),
    ("large in all", lambda one: (one.total_ml or 0.0) >= 2 * LARGE_ML, Urgency.IMMEDIATE),
    ("no outline", lambda one: one.total_ml is None, Urgency.PROMPT),
    (
        "any in the posterior fossa",
        lambda one: one.posterior_fossa_ml >= SMALL_ML / 2,
        Urgency.PROMPT,
    ),
    ("not small", lambda one: (one.total_ml or 0.0) >= SMALL_ML, Urgency.PROMPT),
    ("all others", lambda _: True, Urgency.SMALL),
)
"""Name, condition, urgency: the first condition that holds decides."""

ORDER: Final = tuple(Urgency)


def urgency_of(suspicion: Suspicion) -> Urgency:
    """Say how urgent a suspicion is."""
    return next(urgency for _, applies, urgency in RULES if applies(suspicion))


def precedence(urgency: Urgency | None, total_ml: float | None) -> tuple[int, float]:
    """Return a key that sorts the most urgent first, of equally urgent ones the largest."""
    return (len(ORDER) if urgency is None else ORDER.index(urgency)), -(total_ml or 0.0)


def standing(
    examination: Examination,
    alert: SeriesReport | None,
    code: str | None,
    age_s: float,
    *,
    test: bool,
) -> Urgency | None:
    """Say how urgently an examination waits in front of the page, None where it does not.

    ``alert`` is the suspicion that waits, ``code`` why the series that speaks was not analysed, and
    ``age_s`` how long ago its last slice came [s].
    """
    if alert is not None:
        if test:
            return Urgency.TEST
        withdrawn = examination.second is Second.WITHDRAWN
        return Urgency.WITHDRAWN if withdrawn else urgency_of(Suspicion.of(alert))
    if test or not examination.unanalysed or age_s > STANDS_S:
        return None
    is_coming = code in OTHER_VIEWS and age_s < COMES_WITHIN_S
    return None if is_coming else Urgency.NOT_ANALYSED
