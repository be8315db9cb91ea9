"""The radiologist's pages: the reading list, and each examination with its readings and report."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, TypeVar, cast
from urllib.parse import urlencode

from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from agent.console.audit import AuditLog
from agent.console.authorization import Principal, principal_of
from agent.console.before import before
from agent.console.draft import draft
from agent.console.feedback import name_of
from agent.console.reader_answers import (
    DraftAnswer,
    ExaminationAnswer,
    ReadingLine,
    ReadingList,
    SignedView,
)
from agent.console.requests import named_result, one_line, read_values
from agent.console.settings import LANGUAGES, Language, PageSettings
from agent.console.snapshot import allowed_identity
from agent.console.spoken import Speaker
from agent.console.streams import Streams
from agent.console.words import spoken
from agent.errors import StoreError
from agent.reasons import Reason, recalled
from agent.records import State
from agent.report import ReasonReport, SeriesReport, reason_report
from agent.store.console_store import ConsoleStore
from agent.store.examinations import ExaminationRow
from agent.store.extents import Extent
from agent.store.queries import Queries
from agent.store.readings import Judgement, Reading, Section, Sentence, SignedReport, standing
from agent.store.rows import SeriesRow
from agent.store.view import ExaminationView, PatientView, delivery_view
from agent.urgency import STANDS_S, Suspicion, Urgency, precedence, urgency_of

STATIC: Final = Path(__file__).parent / "static"

MOST_LISTED: Final = 200
"""So many of the latest examinations are listed, beside all that wait for an answer. Ours."""

LONGEST_ACCESSION: Final = 64
"""Four times what DICOM allows (PS3.5, SH). Ours."""

LONGEST_SENTENCE: Final = 1000

MOST_READING_BYTES: Final = 2**20
"""Of a judgement with an extent of the most runs, or nearly. Ours."""

MOST_IDS: Final = 2**63
"""More overflows SQLite's integers."""

STANDS: Final = timedelta(seconds=STANDS_S)

RADIOLOGIST: Final = "radiologist"

_Written = TypeVar("_Written")


@dataclass(frozen=True, slots=True)
class Reader:
    """The endpoints. The store's calls block, so they run in the thread pool."""

    store: ConsoleStore
    streams: Streams
    audit: AuditLog
    settings: PageSettings

    @property
    def queries(self) -> Queries:
        """The store's queries."""
        return self.store.queries

    def routes(self, result: str) -> list[Route]:
        """Return the routes, some below ``result``, a path with ``uid`` and ``revision``."""
        return [
            Route("/reading", _page_of("reading.html")),
            Route("/exam", self.with_accession),
            Route("/exam/{uid}", _page_of("exam.html")),
            Route("/api/reading", self.reading_list),
            Route("/api/exam/{uid}", self.examination),
            Route("/api/exam/{uid}/events", self.events),
            Route(f"{result}/reading", self.read, methods=["POST"]),
            Route(f"{result}/readings/{{id:int}}/extent", self.extent),
            Route(f"{result}/reading-taken-back", self.take_back, methods=["POST"]),
            Route(f"{result}/report", self.sign, methods=["POST"]),
        ]

    async def with_accession(self, request: Request) -> Response:
        """Lead a link from the PACS to the examination of an accession number.

        To the list of those that have it where they are several, or none.
        """
        accession = _accession(request)
        rows = await run_in_threadpool(self._rows, accession)
        if len(rows) == 1:
            return RedirectResponse(f"/exam/{rows[0].examination.uid}", 303)
        return RedirectResponse(f"/reading?{urlencode({'accession': accession})}", 303)

    async def reading_list(self, request: Request) -> Response:
        """Answer with the reading list, or with the examinations of one accession number."""
        accession = _accession(request) if "accession" in request.query_params else None
        answer = await run_in_threadpool(self._list, principal_of(request), accession)
        return JSONResponse(answer.model_dump(mode="json"))

    async def examination(self, request: Request) -> Response:
        """Answer with an examination, by any of its series: readings, draft and reports."""
        uid, language = request.path_params["uid"], self._language(request)
        answer = await run_in_threadpool(self._examination, principal_of(request), uid, language)
        return JSONResponse(answer)

    async def events(self, request: Request) -> Response:
        """Answer with the same, as it changes."""
        uid, language = request.path_params["uid"], self._language(request)
        await run_in_threadpool(self._row, uid)
        return self.streams.of(request, lambda who: self._examination(who, uid, language))

    async def read(self, request: Request) -> Response:
        """Store a judgement on one finding, or a bleed that was missed."""
        principal = principal_of(request)
        if refused := _may_not_read(principal):
            return _refusal(refused, 403)
        values = await read_values(request, MOST_READING_BYTES)
        who = name_of(principal, values)
        judgement, extent = _judgement(
            {name: value for name, value in values.items() if name != "who"}
        )
        named = named_result(request)
        drawn = await run_in_threadpool(self._checked, *named, judgement, extent)
        written = await _stored(run_in_threadpool(self.store.read, *named, who, judgement, drawn))
        return JSONResponse(written.model_dump(mode="json"))

    async def extent(self, request: Request) -> Response:
        """Answer with the extent that was drawn with a reading."""
        named = *named_result(request), request.path_params["id"]
        if named[-1] >= MOST_IDS:
            raise HTTPException(404, "no such extent")
        extent = await run_in_threadpool(self.queries.extent, *named)
        if extent is None:
            raise HTTPException(404, "no such extent")
        return JSONResponse(extent.model_dump(mode="json"))

    async def take_back(self, request: Request) -> Response:
        """Take a reading back; it stays on record."""
        values, principal = await read_values(request), principal_of(request)
        if refused := _may_not_read(principal):
            return _refusal(refused, 403)
        reading_id = values.get("reading_id")
        if not isinstance(reading_id, int) or not 0 < reading_id < MOST_IDS:
            raise HTTPException(422, "reading_id: which one")
        who = name_of(principal, values)
        named = *named_result(request), who, reading_id
        written = await _stored(run_in_threadpool(self.store.take_back, *named))
        return JSONResponse(written.model_dump(mode="json"))

    async def sign(self, request: Request) -> Response:
        """Store a report as its reader signs it, on the result that speaks for the examination."""
        values, principal = await read_values(request), principal_of(request)
        if refused := _may_not_sign(principal):
            return _refusal(refused, 403)
        language = values.get("language")
        if language not in LANGUAGES:
            raise HTTPException(422, f"language: one of {', '.join(LANGUAGES)}")
        given = values.get("sections")
        if not isinstance(given, dict):
            raise HTTPException(422, "sections: a text for each")
        named = named_result(request)
        signed = await run_in_threadpool(self._sign, named, str(principal.user), language, given)
        if signed is None:
            return _refusal(Reason("result_superseded"), 409)
        return JSONResponse(signed.model_dump(mode="json"))

    def _language(self, request: Request) -> Language:
        asked = request.query_params.get("language")
        if asked is None:
            return self.settings.language or spoken(request.headers.get("accept-language", ""))
        if asked not in LANGUAGES:
            raise HTTPException(422, f"language: one of {', '.join(LANGUAGES)}")
        return cast("Language", asked)

    def _rows(self, accession: str | None) -> list[ExaminationRow]:
        """Return the patients' examinations of an accession number, or those to be listed."""
        if accession is None:
            latest = self.queries.examinations(MOST_LISTED)
            waiting = self.queries.listed(0, self.streams.clock().utc - STANDS)
            rows = {row.examination.uid: row for row in (*waiting, *latest)}
            found = list(rows.values())
        else:
            series = self.queries.with_accession(accession, MOST_LISTED)
            found = self.queries.examinations_with(series)
        return [
            row
            for row in found
            if not row.examination.needs_nobody and (accession is not None or row.series[0].new)
        ]

    def _list(self, principal: Principal, accession: str | None) -> ReadingList:
        rows = self._rows(accession)
        uids = [one.uid for row in rows for one in row.series]
        signed = {
            (one.series_uid, one.revision): one.who for one in self.queries.signed_reports(uids)
        }
        lines = sorted((self._line(row, signed) for row in rows), key=_precedence)
        for row in rows:
            self._viewed(principal, row, "worklist")
        return ReadingList(at_utc=self.streams.clock().utc, examinations=tuple(lines))

    def _line(self, row: ExaminationRow, signed: dict[tuple[str, int], str]) -> ReadingLine:
        speaker = row.series[0]
        report = speaker.report
        findings = sorted(report.findings if report else (), key=lambda one: -one.volume_ml)
        read = [one for one in self._standing(speaker) if one.judgement.finding is not None]
        return ReadingLine(
            examination_uid=row.examination.uid,
            test=speaker.test,
            patient=self._patient(speaker),
            state=row.examination.state,
            last_slice_utc=row.last_utc,
            subtypes=tuple(dict.fromkeys(one.subtype for one in findings)),
            total_volume_ml=report.total_volume_ml if report else None,
            midline_shift_mm=report.midline_shift_mm if report else None,
            score=report.score if report else None,
            urgency=_urgency(row, report),
            waits=bool(row.examination.waiting),
            n_findings=len(findings),
            n_read=len(read),
            signed_by=signed.get((speaker.uid, speaker.revision)),
        )

    def _patient(self, row: SeriesRow) -> PatientView:
        return PatientView.of(allowed_identity(row.identity, self.settings.patient))

    def _standing(self, row: SeriesRow) -> list[Reading]:
        """Return the readings that stand of a series' latest result."""
        readings = standing(self.queries.readings(row.uid))
        return [one for one in readings if one.revision == row.revision]

    def _row(self, uid: str) -> ExaminationRow:
        known = self.queries.series(uid)
        rows = self.queries.examinations_with([known]) if known else []
        if not rows:
            raise HTTPException(404, "no such examination")
        return rows[0]

    def _examination(self, principal: Principal, uid: str, language: Language) -> dict[str, Any]:
        row = self._row(uid)
        self._viewed(principal, row, "examination")
        speaker, shown = row.series[0], self.settings.patient
        view = ExaminationView.of(row)
        series = tuple(
            seen.identified(allowed_identity(one.identity, shown), one.description)
            for seen, one in zip(view.series, row.series, strict=True)
        )
        compared = before(row, self.queries)
        if compared:
            self._viewed(principal, compared[1], "examination")
        change = compared[0].change if compared else None
        sections = self._drafted(speaker, language, change) if speaker.report else None
        may_not_read, may_not_sign = _may_not_read(principal), _may_not_sign(principal)
        answer = ExaminationAnswer(
            examination=view.model_copy(update={"series": series}),
            standing=tuple(self._standing(speaker)),
            before=compared[0] if compared else None,
            draft=DraftAnswer(language=language, sections=sections) if sections else None,
            signed=self._signed(row),
            drawings=tuple(self.queries.drawings(one.uid for one in row.series)),
            may_not_read=reason_report(may_not_read) if may_not_read else None,
            may_not_sign=reason_report(may_not_sign) if may_not_sign else None,
        )
        return answer.model_dump(mode="json")

    def _signed(self, row: ExaminationRow) -> tuple[SignedView, ...]:
        """Return every signed version, and how far each is on its way."""
        uids = [one.uid for one in row.series]
        sent = self.queries.signed_sent(uids)
        return tuple(
            SignedView(
                **dict(one),
                sent=tuple(
                    delivery_view(each)
                    for each in sent
                    if (each.series_uid, each.signed) == (one.series_uid, one.version)
                ),
            )
            for one in self.queries.signed_reports(uids)
        )

    def _drafted(
        self, row: SeriesRow, language: Language, change: ReasonReport | None
    ) -> tuple[Section, ...]:
        """Draft the report on a series' latest result, as read so far.

        ``change`` is what has changed since the previous examination, None where there is none.
        """
        if row.report is None:
            return ()
        changed = recalled(change.model_dump()) if change else None
        drawings = self.queries.drawings([row.uid])
        drawn = next((one for one in reversed(drawings) if one.revision == row.revision), None)
        thickness_mm = row.acquisition.thickness_mm
        drafted = draft(row.report, thickness_mm, self._standing(row), changed, drawn)
        speaker = Speaker(language)
        return tuple(
            Section(
                section=one.section,
                title=speaker.say(one.title),
                sentences=tuple(
                    Sentence(text=_capital(speaker.say(reason)), reason=reason_report(reason))
                    for reason in one.sentences
                ),
            )
            for one in drafted
        )

    def _checked(
        self, uid: str, revision: int, judgement: Judgement, extent: Extent | None
    ) -> tuple[Extent, float] | None:
        """Refuse a judgement on what is not there, or one that changes nothing.

        Returns the extent with its volume [mL], None where none was drawn.
        """
        results = {one.revision: one for one in self.queries.history(uid)}
        if revision not in results:
            raise HTTPException(404, "no such result")
        stack, voxel = self.queries.stack(uid, revision), judgement.voxel_kji
        if voxel is not None:
            shape = (len(stack.heights_mm), stack.rows, stack.columns) if stack else (0, 0, 0)
            if any(n >= size for n, size in zip(voxel, shape, strict=True)):
                raise HTTPException(422, "no such voxel among the slices that are kept")
        elif not _concerns(judgement, results[revision]):
            raise HTTPException(422, "no such finding, or nothing changed in it")
        if extent is None:
            return None
        if stack is None or not extent.fits(stack):
            raise HTTPException(422, "an extent within the slices that are kept")
        if voxel is not None and not extent.holds(voxel, stack.columns):
            raise HTTPException(422, "the voxel lies in what was drawn")
        return extent, extent.volume_ml(stack.voxels_ml)

    def _sign(
        self, named: tuple[str, int], who: str, language: Language, given: dict[str, Any]
    ) -> SignedReport | None:
        """Sign a report; None where another result speaks for the examination by now."""
        uid, revision = named
        row = self._row(uid)
        speaker, compared = row.series[0], before(row, self.queries)
        if speaker.report is None or (speaker.uid, speaker.report.revision) != (uid, revision):
            return None
        sections = _as_written(
            self._drafted(speaker, language, compared[0].change if compared else None), given
        )
        channels = self.settings.signed_to if speaker.new else ()
        return self.store.sign((uid, revision), who, language, sections, channels)

    def _viewed(self, principal: Principal, row: ExaminationRow, what: str) -> None:
        for one in row.series:
            series = one.uid, one.revision
            self.audit.viewed(principal, one.identity.study_uid, series, what)


def _page_of(name: str) -> Any:  # noqa: ANN401 - an endpoint
    async def page(_request: Request) -> Response:
        return FileResponse(STATIC / name)

    return page


def _accession(request: Request) -> str:
    asked = request.query_params.get("accession", "")
    if not asked.strip() or len(asked) > LONGEST_ACCESSION or not asked.isprintable():
        raise HTTPException(
            422, f"accession: one number, of at most {LONGEST_ACCESSION} characters"
        )
    return asked.strip()


def _judgement(values: dict[str, Any]) -> tuple[Judgement, Extent | None]:
    """Return the judgement, and the extent that was drawn with it."""
    try:
        if "note" in values:
            values = values | {"note": one_line(values["note"], 1000)}
        drawn = values.pop("extent", None)
        extent = None if drawn is None else Extent.model_validate(drawn)
        return Judgement.model_validate(values | {"redrawn": extent is not None}), extent
    except ValidationError as error:
        raise HTTPException(422, "no judgement: see the API's schema") from error


def _concerns(judgement: Judgement, report: SeriesReport) -> bool:
    """Whether a judgement is of one of a result's findings, and a change changes it."""
    if judgement.finding is None or judgement.finding >= len(report.findings):
        return False
    found = report.findings[judgement.finding]
    same = (judgement.subtype or found.subtype, judgement.side or found.side)
    changed = judgement.redrawn or same != (found.subtype, found.side)
    return judgement.judged != "changed" or changed


def _as_written(drafted: Sequence[Section], given: dict[str, Any]) -> list[Section]:
    """Return the sections as their reader left them; what was not touched keeps its source."""
    if given.keys() != {one.section for one in drafted}:
        raise HTTPException(422, "sections: a text for each")
    written = [_section(one, given[one.section]) for one in drafted]
    if not written[-1].sentences:
        raise HTTPException(422, "a report has an impression")
    return written


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


def _section(drafted: Section, text: object) -> Section:
    if not isinstance(text, str):
        raise HTTPException(422, "send text")
    sources = {one.text: one for one in drafted.sentences}
    lines = [line for part in text.splitlines() if (line := one_line(part, LONGEST_SENTENCE))]
    sentences = tuple(sources.get(line) or Sentence(text=line, reason=None) for line in lines)
    return drafted.model_copy(update={"sentences": sentences})


def _urgency(row: ExaminationRow, report: SeriesReport | None) -> Urgency | None:
    """Say how urgently an examination is to be read, None where nothing presses."""
    if report and report.state == "suspected":
        return urgency_of(Suspicion.of(report))
    return Urgency.NOT_ANALYSED if row.examination.state is State.NOT_ANALYSED else None


def _precedence(line: ReadingLine) -> tuple[bool, tuple[int, float], float]:
    """Sort what is not signed first, then by urgency, the latest of equals first."""
    urgency = precedence(line.urgency, line.total_volume_ml)
    return line.signed_by is not None, urgency, -line.last_slice_utc.timestamp()


def _may_not_read(principal: Principal) -> Reason | None:
    """Say why a principal may not read findings, None where that is allowed.

    Where the page needs no sign-in, whoever sits at this computer may, by name.
    """
    if principal.user is None or principal.role == RADIOLOGIST:
        return None
    return Reason("readings_for_radiologists")


def _may_not_sign(principal: Principal) -> Reason | None:
    """Say why a principal may not sign a report, None where that is allowed."""
    return Reason("report_not_signed_in") if principal.user is None else _may_not_read(principal)


def _refusal(reason: Reason, status: int) -> Response:
    refused: ReasonReport = reason_report(reason)
    return JSONResponse(refused.model_dump(mode="json"), status)


async def _stored(written: Awaitable[_Written]) -> _Written:
    """Await a write to the store; 404 where there is no such result or reading."""
    try:
        return await written
    except StoreError as error:
        raise HTTPException(404, str(error)) from error
