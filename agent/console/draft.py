"""A draft of the radiologist's report: sections of reasons, each traced to a code and values. Pure.

It is never sent by itself: what a radiologist signs is theirs, and this only what it begins with.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from agent.reasons import Reason, recalled
from agent.report import FindingReport, ReasonReport, SeriesReport
from agent.store.drawings import Drawing
from agent.store.readings import Judgement, Reading, SectionName

LEAST_TILT_DEG: Final = 1.0
"""A gantry tilted by less is told as straight [degrees]. Ours."""


@dataclass(frozen=True, slots=True)
class Drafted:
    """One section of a draft: its title, and its sentences."""

    section: SectionName
    title: Reason
    sentences: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class Bleed:
    """A finding as it is told after reading; ``reading`` is None where nobody has read it."""

    found: FindingReport
    reading: Reading | None

    @property
    def judgement(self) -> Judgement | None:
        """What it was read as."""
        return self.reading.judgement if self.reading else None

    @property
    def drawn_ml(self) -> float | None:
        """Volume of the extent that the reader drew, None where none was drawn."""
        return self.reading.volume_ml if self.reading else None

    @property
    def volume_ml(self) -> float:
        """The drawn extent's, else the measured one."""
        return self.found.volume_ml if self.drawn_ml is None else self.drawn_ml

    @property
    def kind(self) -> str:
        """The reader's, else the networks'."""
        return (self.judgement and self.judgement.subtype) or self.found.subtype

    @property
    def where(self) -> Reason:
        """Side, as the reader says where that differs, and region."""
        side = (self.judgement and self.judgement.side) or self.found.side
        region = self.found.region
        if region and self.kind.startswith(region):
            region = None
        places = [place for place in (side, region) if place]
        if side and region:
            return Reason("place_both", side=side, region=region)
        return Reason("place_one", place=places[0]) if places else Reason("place_not_known")

    @property
    def is_blood(self) -> bool:
        """Whether nobody has read it as something else."""
        return self.judgement is None or self.judgement.judged != "not_blood"


@dataclass(frozen=True, slots=True)
class Missed:
    """A bleed that was found at reading, and not by the networks."""

    reading: Reading

    @property
    def kind(self) -> str | Reason:
        """The reader's, as far as it is told."""
        return self.reading.judgement.subtype or Reason("kind_not_told")

    @property
    def slice(self) -> int:
        """The slice in which it was marked, from 1."""
        k, _, _ = self.reading.judgement.voxel_kji or (0, 0, 0)
        return k + 1

    @property
    def volume_ml(self) -> float | None:
        """The drawn extent's, None where none was drawn."""
        return self.reading.volume_ml

    @property
    def measured(self) -> Reason:
        """What is said of its volume."""
        if self.volume_ml is None:
            return Reason("not_measured")
        return Reason("volume_drawn", volume_ml=self.volume_ml)


def draft(
    report: SeriesReport,
    thickness_mm: float | None,
    readings: Sequence[Reading],
    change: Reason | None,
    drawn: Drawing | None = None,
) -> tuple[Drafted, ...]:
    """Draft a report on a result, as read so far; ``readings`` are those that stand.

    ``change`` is what has changed since the previous examination, None where there is none, and
    ``drawn`` what somebody outlined last on the same images by another program.
    """
    by_finding = {one.judgement.finding: one for one in readings}
    bleeds = [Bleed(one, by_finding.get(n)) for n, one in enumerate(report.findings)]
    missed = [Missed(one) for one in readings if one.judgement.judged == "missed"]
    clinical = Reason("clinical_not_known")
    compared = Reason("compared", change=change) if change else Reason("not_compared")
    return (
        Drafted("clinical", Reason("title_clinical"), (clinical,)),
        Drafted("technique", Reason("title_technique"), tuple(_technique(report, thickness_mm))),
        Drafted("comparison", Reason("title_comparison"), (compared,)),
        Drafted(
            "findings",
            Reason("title_findings"),
            (*_findings(report, bleeds, missed), *(_drawn(drawn) if drawn else ())),
        ),
        Drafted("not_assessed", Reason("title_not_assessed"), tuple(_not_assessed(report))),
        Drafted("impression", Reason("title_impression"), _impression(report, bleeds, missed)),
    )


def _technique(report: SeriesReport, thickness_mm: float | None) -> Iterator[Reason]:
    geometry = report.geometry
    if geometry and report.state != "not_analysed":
        yield Reason("technique_head", n_slices=geometry.slices)
        if thickness_mm is not None:
            yield Reason("technique_thickness", thickness_mm=thickness_mm)
        if abs(geometry.tilt_deg) >= LEAST_TILT_DEG:
            yield Reason("technique_tilt", tilt_deg=geometry.tilt_deg)
    if report.engine:
        engine = report.engine
        yield Reason("technique_networks", bundle=engine.bundle, version=engine.version)


def _findings(
    report: SeriesReport, bleeds: Sequence[Bleed], missed: Sequence[Missed]
) -> Iterator[Reason]:
    if report.state == "not_analysed":
        yield Reason("finding_not_analysed", because=_because(report))
    elif report.state == "not_suspected":
        yield Reason("finding_none", score=report.score or 0.0, threshold=report.threshold or 0.0)
    elif not bleeds:
        yield Reason("finding_no_outline", score=report.score or 0.0)
    yield from map(_finding, bleeds)
    yield from map(_missed, missed)
    volumes_ml = [one.volume_ml for one in bleeds if one.is_blood]
    volumes_ml += [one.volume_ml for one in missed if one.volume_ml is not None]
    if len(volumes_ml) > 1:
        yield Reason("finding_total", total_ml=sum(volumes_ml))
    if report.midline_shift_mm is not None:
        yield Reason("finding_midline", shift_mm=report.midline_shift_mm)


def _drawn(drawn: Drawing) -> Iterator[Reason]:
    segments = tuple(
        Reason("one_drawn", label=one.label or Reason("kind_not_told"), volume_ml=one.volume_ml)
        for one in drawn.segments
    )
    who = " ".join(filter(None, drawn.who.split("^")))
    yield Reason("finding_drawn", who=who, volume_ml=drawn.volume_ml, segments=segments)


def _finding(bleed: Bleed) -> Reason:
    found, kind, where = bleed.found, bleed.kind, bleed.where
    judgement, slice_ = bleed.judgement, found.key_slice + 1
    if judgement and judgement.instead:
        instead = judgement.note if judgement.instead == "other" else judgement.instead
        return Reason("finding_not_blood", where=where, slice=slice_, instead=instead)
    if judgement is None:
        return Reason("finding_suspected", kind=kind, where=where, measured=_measured(found))
    measured = _measured(found)
    if bleed.drawn_ml is not None:
        measured = Reason("bleed_drawn", volume_ml=bleed.drawn_ml, slice=slice_)
    return Reason("finding_read", kind=kind, where=where, measured=measured)


def _measured(found: FindingReport) -> Reason:
    (low_ml, high_ml), (long_mm, across_mm, up_mm) = found.volume_interval_ml, found.extent_mm
    return Reason(
        "bleed_measured",
        volume_ml=found.volume_ml,
        low_ml=low_ml,
        high_ml=high_ml,
        long_mm=long_mm,
        across_mm=across_mm,
        up_mm=up_mm,
        slice=found.key_slice + 1,
    )


def _missed(one: Missed) -> Reason:
    return Reason("finding_missed", kind=one.kind, slice=one.slice, measured=one.measured)


def _not_assessed(report: SeriesReport) -> Iterator[Reason]:
    yield Reason("scope")
    if report.midline_shift_mm is None and report.state != "not_analysed":
        yield Reason("midline_not_measured")
    for caveat in report.caveats:
        yield Reason("with_caveat", caveat=_recalled(caveat))


def _impression(
    report: SeriesReport, bleeds: Sequence[Bleed], missed: Sequence[Missed]
) -> tuple[Reason, ...]:
    read = [one for one in bleeds if one.judgement and one.is_blood]
    unread = [one for one in bleeds if one.judgement is None]
    told = (*map(_one_bleed, read), *map(_one_missed, missed))
    impression = []
    if told:
        impression.append(Reason("impression_read", bleeds=told))
    if unread:
        impression.append(Reason("impression_suspected", bleeds=tuple(map(_one_bleed, unread))))
    if report.state == "suspected" and not bleeds and not missed:
        impression.append(Reason("impression_no_outline"))
    if report.state == "not_analysed":
        impression.append(Reason("impression_open"))
    if not impression:
        is_dismissed = bool(bleeds)
        one = Reason("impression_dismissed") if is_dismissed else Reason("impression_none")
        impression.append(one)
    return tuple(impression)


def _one_bleed(bleed: Bleed) -> Reason:
    return Reason("one_bleed", kind=bleed.kind, where=bleed.where, volume_ml=bleed.volume_ml)


def _one_missed(one: Missed) -> Reason:
    return Reason("one_bleed_missed", kind=one.kind, slice=one.slice, measured=one.measured)


def _because(report: SeriesReport) -> Reason:
    """Return why a series was not analysed, without the names of files: people's stand in some."""
    values = report.model_dump(include={"code", "values", "text", "what_to_do"})
    return recalled(values).without_file()


def _recalled(reason: ReasonReport) -> Reason:
    return recalled(reason.model_dump()).without_file()
