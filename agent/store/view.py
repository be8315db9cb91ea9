"""What is shown of a series, wherever it is shown: page, command line, support bundle, export.

Whose series it is, is absent unless it is added by ``identified``. Times are UTC.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict
from typing_extensions import Self

from agent.exam import Place, Second
from agent.records import Identity, Instant, State
from agent.report import ReasonReport, SeriesReport, reason_report
from agent.store.drawings import Drawing
from agent.store.examinations import ExaminationRow
from agent.store.queries import Queries
from agent.store.readings import Reading, SignedReport
from agent.store.rows import (
    Acknowledgement,
    Correction,
    Delivery,
    Result,
    SeriesRow,
    TakenBack,
    Verdict,
)


class _View(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PatientView(_View):
    """Who the patient is, as the images' headers say; empty where they do not."""

    patient_id: str
    patient_name: str
    """DICOM's PN: family^given^…"""
    birth_date: str
    """YYYYMMDD."""
    sex: str
    accession: str

    @classmethod
    def of(cls, identity: Identity) -> Self:
        """Show who a patient is."""
        return cls(
            patient_id=identity.patient_id,
            patient_name=identity.patient_name,
            birth_date=identity.birth_date,
            sex=identity.sex,
            accession=identity.accession,
        )


class AcknowledgementView(_View):
    """Who took note of a result; ``dismissed_because`` where it is held to be wrong."""

    who: str
    at_utc: datetime
    note: str
    dismissed_because: str | None
    through_series_uid: str | None = None
    """The series of the same examination that was answered, None where it was this one."""


class TakenBackView(_View):
    """An answer that somebody took back; ``who`` had given it."""

    who: str
    dismissed_because: str | None
    by_whom: str
    at_utc: datetime


class VerdictView(_View):
    """What somebody who has read the images thinks of a result."""

    who: str
    at_utc: datetime
    note: str
    agrees: bool


class DeliveryView(_View):
    """A result on its way to a channel; ``delivered_utc`` is None until that has confirmed it."""

    channel: str
    since_utc: datetime
    delivered_utc: datetime | None
    sent_utc: datetime | None = None
    """When an archive had taken all of it."""
    n_attempts: int = 0
    """That failed."""
    problem: ReasonReport | None = None
    """Why the latest attempt failed."""
    dropped_utc: datetime | None = None
    """When a person gave it up."""
    remark: ReasonReport | None = None
    """What came of sending it besides, such as that an order was raised."""
    signed_version: int | None = None
    """Of the signed report that is on its way; None where it is the result."""


class ResultView(_View):
    """One revision of a series' result, and what became of it."""

    report: SeriesReport
    at_utc: datetime
    deliveries: tuple[DeliveryView, ...]
    acknowledged: AcknowledgementView | None


class TransitionView(_View):
    """One change of a series' state, and why."""

    state: State
    at_utc: datetime
    reason: ReasonReport | None


class CorrectionView(_View):
    """Whom a series was said to be of before its patient was corrected at the source, and when."""

    at_utc: datetime
    patient_name: str
    patient_id: str


class SeriesView(_View):
    """One series: where it stands, and its latest result."""

    schema_version: Literal[3] = 3
    series_uid: str
    study_uid: str
    test: bool
    """Whether it is a self-test's, and no patient's."""
    state: State
    slices: int
    expected: int
    """Slices that the header promises, 0 where it promises no number."""
    first_slice_utc: datetime
    last_slice_utc: datetime
    revision: int
    """Of the latest result, 0 before the first."""
    report: SeriesReport | None
    """The latest result, also while a newer one is on its way."""
    concluded_utc: datetime | None
    shown_utc: datetime | None
    """When a page confirmed that it shows the latest result."""
    acknowledged: AcknowledgementView | None
    verdict: VerdictView | None
    taken_back: TakenBackView | None = None
    """The latest answer to the latest result that was taken back."""
    alert: SeriesReport | None
    """The latest suspicion, as long as nobody has acknowledged it or a later result."""
    escalated_utc: datetime | None
    """When the alert was sent elsewhere too, because nobody answered."""
    corrected_utc: datetime | None = None
    """When its patient was corrected at the source, None where that never was."""
    corrected: CorrectionView | None = None
    """From whom; None where it never was, or is not to be told."""
    thickness_mm: float | None = None
    """Of its thickest slice, None where no header says."""
    scanner: str = ""
    """Its model's name, "" where no header says."""
    place: Place | None = None
    """Where it stands in its examination; None where it is shown alone."""
    patient: PatientView | None = None
    """None where it is not to be told."""
    description: str | None = None
    """SeriesDescription; None where it is not to be told, since people's names stand in some."""
    results: tuple[ResultView, ...] = ()
    """All revisions, oldest first; none in a list of series."""
    transitions: tuple[TransitionView, ...] = ()
    """Every change of state, oldest first; none in a list of series."""
    readings: tuple[Reading, ...] = ()
    """What radiologists made of its findings, oldest first; none in a list of series."""
    signed_reports: tuple[SignedReport, ...] = ()
    """Every version that was signed, oldest first; none in a list of series."""
    drawings: tuple[Drawing, ...] = ()
    """What people outlined on its images elsewhere, oldest first; none in a list of series."""
    unread_files: tuple[str, ...] = ()
    """Those of its files that could not be read, the first ones: paths in ``show``, names on a page
    that may name the patient, none elsewhere, since scanners name files for patients."""

    @classmethod
    def of(cls, row: SeriesRow, place: Place | None = None) -> Self:
        """Show a series without whose it is and without its history."""
        return cls(
            series_uid=row.uid,
            study_uid=row.identity.study_uid,
            test=row.test,
            state=row.state,
            slices=row.slices,
            expected=row.expected,
            first_slice_utc=row.first_slice.utc,
            last_slice_utc=row.last_slice.utc,
            revision=row.revision,
            report=row.report,
            concluded_utc=_utc(row.concluded_at),
            shown_utc=_utc(row.shown_at),
            acknowledged=_acknowledgement(row.acknowledged),
            verdict=_verdict(row.verdict),
            taken_back=_taken_back(row.taken_back),
            alert=row.alert,
            escalated_utc=_utc(row.escalated_at),
            corrected_utc=_utc(row.corrected.at) if row.corrected else None,
            thickness_mm=row.acquisition.thickness_mm,
            scanner=row.acquisition.scanner,
            place=place,
        )

    def identified(self, identity: Identity, description: str) -> Self:
        """Add whose series it is."""
        patient = PatientView.of(identity)
        return self.model_copy(update={"patient": patient, "description": description})

    def with_correction(self, former: Correction | None) -> Self:
        """Add whose series it was said to be before."""
        if former is None:
            return self
        correction = CorrectionView(
            at_utc=former.at.utc, patient_name=former.patient_name, patient_id=former.patient_id
        )
        return self.model_copy(update={"corrected": correction})

    def with_history(self, queries: Queries) -> Self:
        """Add every result, reading, report and change of state, which the store is asked for."""
        changes = queries.transitions(self.series_uid)
        drawn = queries.extents(self.series_uid)
        history = {
            "results": tuple(map(_result, queries.results(self.series_uid))),
            "transitions": tuple(
                TransitionView(
                    state=one.state,
                    at_utc=one.at.utc,
                    reason=reason_report(one.reason) if one.reason else None,
                )
                for one in changes
            ),
            "readings": tuple(
                one.model_copy(update={"extent": drawn.get(one.reading_id)})
                for one in queries.readings(self.series_uid)
            ),
            "signed_reports": tuple(queries.signed_reports([self.series_uid])),
            "drawings": tuple(queries.drawings([self.series_uid])),
        }
        return self.model_copy(update=history)


class ExaminationView(_View):
    """What is told of the series of one scan together, and each of them.

    Its answer is that of the series that speaks for it; see ``agent.exam``.
    """

    schema_version: Literal[1] = 1
    examination_uid: str
    """UID of the first of its series."""
    study_uid: str
    test: bool
    """Whether it is a self-test's, and no patient's."""
    fetched: bool = False
    """Whether it is an earlier examination that was fetched from an archive: it alerts nobody."""
    prior: ReasonReport | None = None
    """What came of fetching the same patient's earlier examination, None where none was to be."""
    state: State
    needs_nobody: bool
    """Whether no head was to be analysed in it."""
    second: Second | None
    """What a preferred series made of what a less preferred one suspected."""
    remark: ReasonReport | None
    """What none of its series says by itself."""
    waiting: tuple[str, ...]
    """UIDs of the series whose suspicion waits for somebody's answer, the most preferred first."""
    unanalysed: tuple[str, ...]
    """UIDs of those that were not analysed where none has an answer, and nobody took note of it."""
    last_slice_utc: datetime
    series: tuple[SeriesView, ...]
    """That which speaks for it first."""

    @classmethod
    def of(cls, row: ExaminationRow) -> Self:
        """Show an examination without whose it is and without its series' history."""
        places = dict(row.examination.places)
        series = tuple(SeriesView.of(one, places[one.uid]) for one in row.series)
        return cls(**examination_facts(row), series=series)

    def with_history(self, queries: Queries) -> Self:
        """Add all results of its series."""
        series = tuple(one.with_history(queries) for one in self.series)
        return self.model_copy(update={"series": series})


def examination_facts(row: ExaminationRow) -> dict[str, Any]:
    """Return all that is shown of an examination but its series."""
    one = row.examination
    return {
        "examination_uid": one.uid,
        "study_uid": row.series[0].identity.study_uid,
        "test": row.series[0].test,
        "fetched": row.fetched,
        "prior": reason_report(row.prior) if row.prior else None,
        "state": one.state,
        "needs_nobody": one.needs_nobody,
        "second": one.second,
        "remark": reason_report(row.remark) if row.remark else None,
        "waiting": one.waiting,
        "unanalysed": one.unanalysed,
        "last_slice_utc": row.last_utc,
    }


def _result(result: Result) -> ResultView:
    return ResultView(
        report=result.report,
        at_utc=result.at.utc,
        deliveries=tuple(map(delivery_view, result.deliveries)),
        acknowledged=_acknowledgement(result.acknowledged),
    )


def delivery_view(delivery: Delivery) -> DeliveryView:
    """Show how far a delivery is."""
    return DeliveryView(
        channel=delivery.channel,
        since_utc=delivery.since.utc,
        delivered_utc=_utc(delivery.delivered_at),
        sent_utc=_utc(delivery.sent_at),
        n_attempts=delivery.n_attempts,
        problem=reason_report(delivery.problem) if delivery.problem else None,
        dropped_utc=_utc(delivery.dropped_at),
        remark=reason_report(delivery.remark) if delivery.remark else None,
        signed_version=delivery.signed or None,
    )


def _acknowledgement(given: Acknowledgement | None) -> AcknowledgementView | None:
    if given is None:
        return None
    return AcknowledgementView(
        who=given.who,
        at_utc=given.at.utc,
        note=given.note,
        dismissed_because=given.dismissed_because,
        through_series_uid=given.through_uid,
    )


def _taken_back(given: TakenBack | None) -> TakenBackView | None:
    if given is None:
        return None
    return TakenBackView(
        who=given.who,
        dismissed_because=given.dismissed_because,
        by_whom=given.by_whom,
        at_utc=given.at.utc,
    )


def _verdict(given: Verdict | None) -> VerdictView | None:
    if given is None:
        return None
    return VerdictView(who=given.who, at_utc=given.at.utc, note=given.note, agrees=given.agrees)


def _utc(moment: Instant | None) -> datetime | None:
    return moment.utc if moment else None
