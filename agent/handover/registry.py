"""What a registry of AI results is told of examinations: what was answered, and who agreed.

Nothing in it identifies a person. Of what headers and people write, no text is in it; every value
is a number, or a word of ours.

* An examination is called by a keyed hash of its UID: one that is sent twice is known to be the
  same, and only who has the key, which stays on the box, finds it again.
* Of a date there is the month, of an age the whole years, all above 89 being one. Source of the
  last: HIPAA, 45 CFR 164.514(b)(2)(i)(C).
* Rows are in the order of their hashes, so that their order tells nothing of when they came.
"""

from __future__ import annotations

import csv
import hmac
import io
import uuid
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final, Literal, TypeAlias, get_args

from agent.console.feedback import REASONS
from agent.deliver.result import SEXES, date_of
from agent.records import State
from agent.report import FindingReport, SeriesReport
from agent.store.examinations import ExaminationRow
from agent.store.readings import Judged, Reading, standing
from agent.store.rows import SeriesRow

OLDEST_TOLD: Final = 89
"""Years; whoever is older is told to be 90."""

JUDGED: Final[tuple[Judged, ...]] = get_args(Judged)

Answered: TypeAlias = Literal["acknowledged", "dismissed"]


@dataclass(frozen=True, slots=True)
class RegistryRow:
    """One examination, as the series that speaks for it has it."""

    examination: uuid.UUID
    month: str
    """YYYY-MM, in which it came."""
    age_years: int | None
    """None where no birth date is known; 90 stands for 90 and more."""
    sex: str
    """M, F or O; "" where it is not known."""
    n_series: int
    slices: int
    thickness_mm: float | None
    second: str
    """Whether a preferred series confirmed or withdrew a suspicion; "" where there was none."""
    report: SeriesReport
    answered: Answered | None
    dismissed_because: str
    verdict: Literal["agree", "disagree"] | None
    readings: tuple[tuple[Judged, int], ...]
    """How many of the findings were judged so, and how many bleeds were missed."""
    report_signed: bool

    @property
    def findings(self) -> tuple[FindingReport, ...]:
        """Each bleed that is suspected."""
        return self.report.findings


def row_of(
    examination: ExaminationRow, readings: Sequence[Reading], key: bytes, *, report_signed: bool
) -> RegistryRow | None:
    """Tell of an examination; None where it has no answer yet, or is no head or a self-test.

    ``readings`` are those of the series that speaks for it. ``key`` [bytes] is the box's own.
    """
    speaker = examination.series[0]
    told = examination.examination
    if speaker.report is None or not speaker.new or told.needs_nobody:
        return None
    if told.state in (State.RECEIVING, State.ANALYSING):
        return None
    came = speaker.last_slice.utc.astimezone()
    given, verdict = speaker.acknowledged, speaker.verdict
    dismissed = given.dismissed_because if given else None
    return RegistryRow(
        examination=examination_code(told.uid, key),
        month=f"{came:%Y-%m}",
        age_years=age_years(speaker.identity.birth_date, came.date()),
        sex=speaker.identity.sex if speaker.identity.sex in SEXES else "",
        n_series=len(examination.series),
        slices=speaker.slices,
        thickness_mm=speaker.acquisition.thickness_mm,
        second=told.second.value if told.second else "",
        report=speaker.report,
        answered=None if given is None else "dismissed" if dismissed else "acknowledged",
        dismissed_because=(dismissed if dismissed in REASONS else "other") if dismissed else "",
        verdict=None if verdict is None else "agree" if verdict.agrees else "disagree",
        readings=_counted(speaker, readings),
        report_signed=report_signed,
    )


def examination_code(uid: str, key: bytes) -> uuid.UUID:
    """Return by what an examination is called outside of the box: HMAC-SHA256, cut to a UUID."""
    return uuid.UUID(bytes=hmac.digest(key, uid.encode(), "sha256")[:16], version=4)


def age_years(birth_date: str, on: date) -> int | None:
    """Return the age on a day in whole years, 90 for all who are older; None where it is unknown.

    ``birth_date`` is as DICOM writes it.
    """
    day = date_of(birth_date)
    if not day:
        return None
    born = datetime.strptime(day, "%Y%m%d").date()  # noqa: DTZ007 - a day, in no time zone
    years = on.year - born.year - ((on.month, on.day) < (born.month, born.day))
    return min(years, OLDEST_TOLD + 1) if years >= 0 else None


def _counted(speaker: SeriesRow, readings: Iterable[Reading]) -> tuple[tuple[Judged, int], ...]:
    judged = Counter(
        one.judgement.judged for one in standing(readings) if one.revision == speaker.revision
    )
    return tuple((word, judged[word]) for word in JUDGED)


def csv_of(rows: Iterable[RegistryRow]) -> str:
    """Write a line for each examination, after one that names the columns. Source: RFC 4180."""
    written = io.StringIO()
    writer = csv.writer(written)
    lines = [_cells(row) for row in rows]
    if lines:
        writer.writerow(lines[0])
        writer.writerows(line.values() for line in lines)
    return written.getvalue()


def _cells(row: RegistryRow) -> dict[str, object]:
    """Return a line's cells by the names of their columns."""
    report, engine, findings = row.report, row.report.engine, row.findings
    return {
        "examination": row.examination,
        "month": row.month,
        "age_years": row.age_years,
        "sex": row.sex,
        "modality": "CT",
        "n_series": row.n_series,
        "slices": row.slices,
        "thickness_mm": row.thickness_mm,
        "protocol": report.protocol,
        "result": report.state,
        "code": report.code,
        "second": row.second,
        "score": report.score,
        "operating_point": report.operating_point,
        "threshold": report.threshold,
        "n_findings": len(findings),
        "subtypes": "+".join(dict.fromkeys(one.subtype for one in findings)),
        "sides": "+".join(dict.fromkeys(one.side for one in findings if one.side)),
        "total_volume_ml": report.total_volume_ml,
        "midline_shift_mm": report.midline_shift_mm,
        "caveats": "+".join(dict.fromkeys(one.code for one in report.caveats)),
        "latency_s": report.timings_s.get("total"),
        "bundle": engine.bundle if engine else None,
        "bundle_version": engine.version if engine else None,
        "bundle_digest": engine.digest if engine else None,
        "backend": engine.backend if engine else None,
        "answered": row.answered,
        "dismissed_because": row.dismissed_because,
        "verdict": row.verdict,
        **{f"n_{word}": n for word, n in row.readings},
        "report_signed": row.report_signed,
    }
