"""Before and now: what a patient's previous examination said, and how far the volume has changed.

Only of one patient: number, name and date of birth are all there and all the same, and nobody
doubts whose images they are. Only analysed ones, and in the order in which they were scanned, by
the scanner's clock.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from pydantic import BaseModel, ConfigDict

from agent.reasons import Reason
from agent.records import State
from agent.report import ReasonReport, SeriesReport, reason_report
from agent.store.examinations import EMPTY, ExaminationRow
from agent.store.queries import Queries

IN_DAYS_FROM_H: Final = 48.0
"""Longer spans are told in days [h]. Ours."""

Measured = tuple[float, float, float]
"""A volume and the ends of its 90 % interval [mL]."""


class Volume(BaseModel):
    """All that an examination outlined [mL], with its 90 % interval."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    volume_ml: float
    interval_ml: tuple[float, float]


class Before(BaseModel):
    """What the previous examination of the same patient said, beside this one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    examination_uid: str
    hours: float
    """Between both scans."""
    before: Volume | None
    """None where nothing was outlined."""
    now: Volume | None
    change: ReasonReport


def before(row: ExaminationRow, queries: Queries) -> tuple[Before, ExaminationRow] | None:
    """Compare an examination with the same patient's previous one; None where there is none."""
    identity, scanned = row.series[0].identity, _scanned_at(row)
    whole = identity.patient_id and identity.birth_date and identity.patient_name.strip(EMPTY)
    if not whole or scanned is None or row.series[0].test:
        return None
    others = queries.examinations_of(identity)
    earlier = [
        (at, one)
        for one in others
        if one.examination.uid != row.examination.uid
        and (at := _scanned_at(one)) is not None
        and at < scanned
    ]
    if not earlier:
        return None
    at, previous = max(earlier, key=lambda each: each[0])
    reports = previous.series[0].report, row.series[0].report
    if reports[0] is None or reports[1] is None:
        return None
    hours = (scanned - at).total_seconds() / 3600
    return _compared(previous, reports[0], reports[1], hours), previous


def _scanned_at(row: ExaminationRow) -> datetime | None:
    """Return when an examination was scanned; None where that or its answer is not known."""
    speaker = row.series[0]
    answered = speaker.report and speaker.report.state in (State.SUSPECTED, State.NOT_SUSPECTED)
    acquired = speaker.acquisition.acquired
    return acquired[0] if answered and acquired and row.doubt is None else None


def _compared(
    previous: ExaminationRow, former: SeriesReport, report: SeriesReport, hours: float
) -> Before:
    was, is_ = _measured(former), _measured(report)
    return Before(
        examination_uid=previous.examination.uid,
        hours=round(hours, 2),
        before=_volume(was),
        now=_volume(is_),
        change=reason_report(_change(former.state, report.state, was, is_, _span(hours))),
    )


def _change(
    former: str, latter: str, was: Measured | None, is_: Measured | None, span: Reason
) -> Reason:
    suspected_before, suspected_now = (one == State.SUSPECTED for one in (former, latter))
    if not suspected_before:
        neither = Reason("suspected_neither", span=span)
        return Reason("suspected_first", span=span) if suspected_now else neither
    if not suspected_now:
        return Reason("suspected_before", span=span)
    if was is None or is_ is None:
        return Reason("change_not_measured", span=span)
    change_ml, low_ml, high_ml = change_of(was, is_)
    if low_ml > 0:
        return Reason("grew", change_ml=change_ml, low_ml=low_ml, high_ml=high_ml, span=span)
    if high_ml < 0:
        return Reason("shrank", change_ml=-change_ml, low_ml=-high_ml, high_ml=-low_ml, span=span)
    return Reason("no_sure_change", change_ml=change_ml, low_ml=low_ml, high_ml=high_ml, span=span)


def change_of(was: Measured, is_: Measured) -> Measured:
    """Return how much a volume has changed, with its 90 % interval [mL].

    Both errors are taken for independent; each end of the interval takes from both volumes the
    distance to the end that is on its side. Source: Zou and Donner, Construction of confidence
    limits about effect measures, Stat Med 27:1693 (2008), equation 3.
    """
    (was_ml, was_low_ml, was_high_ml), (is_ml, is_low_ml, is_high_ml) = was, is_
    change_ml = is_ml - was_ml
    low_ml = change_ml - math.hypot(is_ml - is_low_ml, was_high_ml - was_ml)
    high_ml = change_ml + math.hypot(is_high_ml - is_ml, was_ml - was_low_ml)
    return change_ml, low_ml, high_ml


def _measured(report: SeriesReport) -> Measured | None:
    """Sum what is outlined; the errors of one scan's findings are taken to go the same way."""
    if not report.findings:
        return None
    intervals: Sequence[tuple[float, float]] = [one.volume_interval_ml for one in report.findings]
    volume_ml = sum(one.volume_ml for one in report.findings)
    return volume_ml, sum(low for low, _ in intervals), sum(high for _, high in intervals)


def _volume(measured: Measured | None) -> Volume | None:
    if measured is None:
        return None
    volume_ml, low_ml, high_ml = measured
    return Volume(volume_ml=round(volume_ml, 2), interval_ml=(round(low_ml, 2), round(high_ml, 2)))


def _span(hours: float) -> Reason:
    if hours < IN_DAYS_FROM_H:
        return Reason("span_hours", hours=hours)
    return Reason("span_days", days=hours / 24)
