"""All reading of the store."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from typing import Final

from agent.reasons import Reason, recalled
from agent.records import EncodedSlice, Identity, Instant, State
from agent.report import EngineReport, SeriesReport, SliceStack
from agent.sources import SourceImages
from agent.store import examinations
from agent.store.database import Database
from agent.store.drawings import Drawing, drawings_of
from agent.store.examinations import ExaminationRow, stored_utc
from agent.store.extents import Extent, extent_of, extents_of
from agent.store.readings import Reading, SignedReport, readings_of, signed_reports_of
from agent.store.retention import forgettable
from agent.store.rows import (
    AgentStatus,
    DayCounts,
    Delivery,
    FileNote,
    Forgettable,
    Keep,
    Notice,
    Result,
    Selftest,
    SeriesRow,
    Transition,
    delivery_of,
    file_note,
    instant_of,
    path_of,
    reason_of,
    result_of,
    series_row,
    status_of,
)
from agent.store.search import Search
from agent.store.statements import IS_NEW, PENDING, ROW, UNACKNOWLEDGED
from agent.store.totals import Totals, totals_of

MOST_OF_A_PATIENT: Final = 20
"""So many studies of a patient's are looked through for the previous one. Ours."""

FEEDBACK: Final = f"""
    {ROW} WHERE last_utc >= ? AND {IS_NEW}
    AND (coalesce(acknowledgements.who, verdicts.who) IS NOT NULL
        OR uid IN (SELECT series_uid FROM drawings))
    ORDER BY last_utc
"""  # noqa: S608 - constants only

EVER: Final = datetime.min.replace(tzinfo=timezone.utc)
"""Before anything was stored."""


class Queries:
    """The queries of daemon, console and command line."""

    def __init__(self, database: Database) -> None:
        """Read this database."""
        self._db = database

    def series(self, uid: str) -> SeriesRow | None:
        """Return one series, None if it is not known."""
        rows = self._db.rows(f"{ROW} WHERE uid = ?", uid)
        return series_row(rows[0]) if rows else None

    def find(self, part: str) -> list[SeriesRow]:
        """Return a series, or all series of a study, by a whole UID or by either end of one."""
        whole, end = "{0} = ?1", "substr({0}, 1, length(?1)) = ?1 OR substr({0}, -length(?1)) = ?1"
        for match in (whole, end):
            where = " OR ".join(match.format(uid) for uid in ("uid", "study_uid"))
            rows = self._db.rows(f"{ROW} WHERE {where} ORDER BY first_utc", part)
            if rows:
                return [series_row(row) for row in rows]
        return []

    def worklist(self, limit: int) -> list[SeriesRow]:
        """Return every series with an unacknowledged suspicion, then the ``limit`` latest series.

        Whatever is received or concluded later: only an acknowledgement ends an alert.
        """
        rows = self._db.rows(
            f"{ROW} WHERE uid IN ({UNACKNOWLEDGED} UNION"  # noqa: S608 - constants only
            " SELECT * FROM (SELECT uid FROM series ORDER BY last_utc DESC LIMIT ?))"
            " ORDER BY alert.revision IS NOT NULL DESC, last_utc DESC",
            limit,
        )
        return [series_row(row) for row in rows]

    def latest(
        self, limit: int, *, states: Sequence[State] = (), since: datetime | None = None
    ) -> list[SeriesRow]:
        """Return the ``limit`` latest series, optionally only of some states or since a moment."""
        marks = ", ".join("?" * len(states))
        of_states = f"AND series.state IN ({marks})" if states else ""
        utc = stored_utc(since) if since else ""
        rows = self._db.rows(
            f"{ROW} WHERE last_utc >= ? {of_states} ORDER BY last_utc DESC LIMIT ?",
            utc,
            *states,
            limit,
        )
        return [series_row(row) for row in rows]

    def listed(self, limit: int, unanalysed_since: datetime) -> list[ExaminationRow]:
        """Return every examination that waits for an answer, then the ``limit`` latest others.

        Whatever is received or concluded later: only an answer ends an alert. A head that was not
        analysed waits too, if its last slice came since ``unanalysed_since``.
        """
        return examinations.listed(self._db, limit, unanalysed_since)

    def found(self, search: Search, limit: int) -> tuple[list[ExaminationRow], int]:
        """Return the ``limit`` latest examinations looked for, and how many more there may be."""
        return examinations.found(self._db, search, limit)

    def n_studies(self) -> int:
        """Count all studies."""
        return examinations.n_studies(self._db)

    def examinations(
        self, limit: int, *, states: Sequence[State] = (), since: datetime | None = None
    ) -> list[ExaminationRow]:
        """Return the ``limit`` latest examinations, optionally of some states or since a moment."""
        return examinations.latest(self._db, limit, states, since or EVER)

    def examinations_with(self, rows: Iterable[SeriesRow]) -> list[ExaminationRow]:
        """Return the examinations to which some series belong."""
        studies = {row.uid: row.identity.study_uid for row in rows}
        with_series = examinations.rows_of(self._db, set(studies.values()))
        return [one for one in with_series if any(series.uid in studies for series in one.series)]

    def examinations_of(self, identity: Identity) -> list[ExaminationRow]:
        """Return the examinations of one patient, of the latest studies alone."""
        return examinations.of_patient(self._db, identity, MOST_OF_A_PATIENT)

    def counts_since(self, moment: datetime) -> DayCounts:
        """Count the examinations whose last slice came after a moment, and what came of them."""
        return examinations.counts_since(self._db, moment)

    def feedback_since(self, moment: datetime) -> list[SeriesRow]:
        """Return every series since a moment that somebody answered, judged or outlined on."""
        utc = stored_utc(moment)
        rows = self._db.rows(FEEDBACK, utc)
        return [series_row(row) for row in rows]

    def states_since(self, moment: datetime) -> dict[str, int]:
        """Count the examinations whose last slice came after a moment, by state; no zeros.

        Those that need nobody are not among them.
        """
        return examinations.states_since(self._db, moment)

    def unfinished(self) -> list[str]:
        """Return the series that are received or analysed: a restarted agent takes them up."""
        marks = State.RECEIVING, State.ANALYSING
        rows = self._db.rows(
            "SELECT uid FROM series WHERE state IN (?, ?) ORDER BY first_utc", *marks
        )
        return [row["uid"] for row in rows]

    def requested(self) -> list[str]:
        """Return the series that wait to be analysed again, in the order of the requests."""
        return [
            row["series_uid"] for row in self._db.rows("SELECT * FROM requests ORDER BY at_utc")
        ]

    def history(self, uid: str) -> list[SeriesReport]:
        """All revisions of a series' result, oldest first."""
        rows = self._db.rows(
            "SELECT report FROM results WHERE series_uid = ? ORDER BY revision", uid
        )
        return [SeriesReport.model_validate_json(row["report"]) for row in rows]

    def results(self, uid: str) -> list[Result]:
        """All revisions of a series' result and what became of each, oldest first."""
        rows = self._db.rows(
            "SELECT results.report, results.at_utc, results.at_monotonic_s, who, note,"
            " dismissed_because, through_uid,"
            " given.at_utc AS who_utc, given.at_monotonic_s AS who_monotonic_s"
            " FROM results LEFT JOIN acknowledgements AS given USING (series_uid, revision)"
            " WHERE results.series_uid = ? ORDER BY results.revision",
            uid,
        )
        sent = self._db.rows(
            "SELECT * FROM outbox WHERE series_uid = ? ORDER BY revision, channel, signed", uid
        )
        return [result_of(row, list(map(delivery_of, sent))) for row in rows]

    def transitions(self, uid: str) -> list[Transition]:
        """Every change of a series' state, oldest first."""
        rows = self._db.rows("SELECT * FROM transitions WHERE series_uid = ? ORDER BY id", uid)
        return [
            Transition(State(row["state"]), instant_of(row, "at"), reason_of(row["reason"]))
            for row in rows
        ]

    def readings(self, uid: str) -> list[Reading]:
        """Return what radiologists made of a series' results, oldest first; see ``readings``."""
        return readings_of(self._db, uid)

    def extents(self, uid: str) -> dict[int, Extent]:
        """Return what radiologists drew of a series' results, by reading."""
        return extents_of(self._db, uid)

    def extent(self, uid: str, revision: int, reading_id: int) -> Extent | None:
        """Return what was drawn with one reading of a result, None where nothing was."""
        return extent_of(self._db, (uid, revision), reading_id)

    def signed_reports(self, uids: Iterable[str]) -> list[SignedReport]:
        """Return every version of the signed reports on some series, oldest first."""
        return signed_reports_of(self._db, uids)

    def drawings(self, uids: Iterable[str]) -> list[Drawing]:
        """Return what people outlined on some series elsewhere, oldest first."""
        return drawings_of(self._db, uids)

    def last_drawing_at(self) -> datetime | None:
        """Return when somebody last sent what was outlined elsewhere [UTC], None where nobody did.

        Of series that are kept.
        """
        return self._last_in("drawings")

    def last_step_at(self) -> datetime | None:
        """Return when a scanner last began a procedure step [UTC], None where it tells of none."""
        return self._last_in("performed_steps")

    def _last_in(self, table: str) -> datetime | None:
        utc = self._db.rows(f"SELECT max(at_utc) AS utc FROM {table}")[0]["utc"]  # noqa: S608 - ours
        return datetime.fromisoformat(utc) if utc else None

    def source_images(self, uid: str) -> tuple[int, SourceImages] | None:
        """Return the revision of a series' latest result whose images are known, and these."""
        rows = self._db.rows(
            "SELECT revision, images FROM sources WHERE series_uid = ?"
            " ORDER BY revision DESC LIMIT 1",
            uid,
        )
        if not rows:
            return None
        return rows[0]["revision"], SourceImages.model_validate_json(rows[0]["images"])

    def failed_priors(self, since: datetime) -> list[Reason]:
        """Return why earlier examinations could not be fetched since a moment, the latest first."""
        rows = self._db.rows(
            "SELECT outcome FROM prior_fetches WHERE at_utc >= ? ORDER BY at_utc DESC",
            stored_utc(since),
        )
        outcomes = (recalled(json.loads(row["outcome"])) for row in rows)
        return [one for one in outcomes if one.code == "prior_not_fetched"]

    def with_accession(self, accession: str, limit: int) -> list[SeriesRow]:
        """Return the latest series of an accession number."""
        rows = self._db.rows(
            f"{ROW} WHERE series.accession = ? ORDER BY last_utc DESC LIMIT ?", accession, limit
        )
        return [series_row(row) for row in rows]

    def picture(self, uid: str, revision: int, view: str) -> bytes | None:
        """Return a view of a result as PNG ("axial" is its key slice), None where there is none."""
        rows = self._db.rows(
            "SELECT png FROM pictures WHERE series_uid = ? AND revision = ? AND view = ?",
            uid,
            revision,
            view,
        )
        return rows[0]["png"] if rows else None

    def concluded_at(self, uid: str, revision: int) -> Instant | None:
        """Return when a result was committed, None if there is no such result."""
        rows = self._db.rows(
            "SELECT at_utc, at_monotonic_s FROM results WHERE series_uid = ? AND revision = ?",
            uid,
            revision,
        )
        return instant_of(rows[0], "at") if rows else None

    def stack(self, uid: str, revision: int) -> SliceStack | None:
        """Describe the stored slices of a result, None where they are not all stored."""
        rows = self._db.rows(
            "SELECT stack FROM volumes WHERE series_uid = ? AND revision = ?", uid, revision
        )
        return SliceStack.model_validate_json(rows[0]["stack"]) if rows else None

    def encoded_slice(self, uid: str, revision: int, k: int) -> EncodedSlice | None:
        """Return one slice of a stack, None where it is not stored."""
        rows = self._db.rows(
            "SELECT k, hu, outline_png, findings_z, maps_z"
            " FROM slices JOIN volumes USING (series_uid, revision)"
            " WHERE series_uid = ? AND revision = ? AND k = ?",
            uid,
            revision,
            k,
        )
        return EncodedSlice(**dict(rows[0])) if rows else None

    def answered_through(self, uid: str, revision: int) -> list[tuple[str, int]]:
        """Return the results (UID, revision) for which an answer to this one was taken as well.

        Also those that came afterwards and confirmed what was acknowledged.
        """
        rows = self._db.rows(
            "SELECT others.series_uid, others.revision FROM acknowledgements AS given"
            " JOIN acknowledgements AS others ON others.through_uid = given.series_uid"
            " AND others.at_utc = given.at_utc WHERE given.series_uid = ? AND given.revision = ?",
            uid,
            revision,
        )
        return [(row["series_uid"], row["revision"]) for row in rows]

    def taken_back_with(self, uid: str, revision: int) -> list[tuple[str, int]]:
        """Return the other results (UID, revision) whose answer was taken back with this one's."""
        rows = self._db.rows(
            "SELECT others.series_uid, others.revision FROM taken_back AS given"
            " JOIN taken_back AS others ON others.back_utc = given.back_utc"
            " AND others.by_whom = given.by_whom AND others.series_uid <> given.series_uid"
            " WHERE given.id = (SELECT max(id) FROM taken_back"
            " WHERE series_uid = ? AND revision = ?)",
            uid,
            revision,
        )
        return [(row["series_uid"], row["revision"]) for row in rows]

    def corrections_to_record(self) -> list[tuple[int, str, str]]:
        """Return ID, study and series of the corrections that are not in the audit log yet."""
        rows = self._db.rows(
            "SELECT id, study_uid, series_uid FROM corrections JOIN series ON uid = series_uid"
            " WHERE NOT recorded ORDER BY id"
        )
        return [(row["id"], row["study_uid"], row["series_uid"]) for row in rows]

    def study_uid(self, uid: str) -> str | None:
        """Return the study that a series belongs to, None if the series is not known."""
        rows = self._db.rows("SELECT study_uid FROM series WHERE uid = ?", uid)
        return rows[0]["study_uid"] if rows else None

    def undelivered(self) -> list[Delivery]:
        """Return the deliveries that a channel has not confirmed, oldest first."""
        rows = self._db.rows(f"SELECT * FROM outbox WHERE {PENDING} ORDER BY since_utc, revision")  # noqa: S608
        return [delivery_of(row) for row in rows]

    def sent(self, results: Iterable[tuple[str, int]]) -> dict[tuple[str, int], list[Delivery]]:
        """Return how far results (UID, revision) are on their way to archives, by channel.

        Signed reports are left out.
        """
        rows = self._db.rows(
            "SELECT outbox.* FROM json_each(?) JOIN outbox"
            " ON series_uid = json_extract(value, '$[0]')"
            " AND revision = json_extract(value, '$[1]')"
            " WHERE channel NOT IN ('console', 'escalation') AND signed = 0 ORDER BY channel",
            json.dumps(list(results)),
        )
        sent: dict[tuple[str, int], list[Delivery]] = {}
        for delivery in map(delivery_of, rows):
            sent.setdefault((delivery.series_uid, delivery.revision), []).append(delivery)
        return sent

    def signed_sent(self, uids: Iterable[str]) -> list[Delivery]:
        """Return how far the signed reports on some series are on their way, by channel."""
        rows = self._db.rows(
            "SELECT * FROM outbox WHERE series_uid IN (SELECT value FROM json_each(?))"
            " AND signed > 0 ORDER BY channel",
            json.dumps(list(uids)),
        )
        return list(map(delivery_of, rows))

    def channels_told(self, uid: str) -> frozenset[str]:
        """Return the channels that any result of a series is delivered to."""
        rows = self._db.rows(
            "SELECT DISTINCT channel FROM outbox WHERE series_uid = ? AND signed = 0", uid
        )
        return frozenset(row["channel"] for row in rows)

    def channels_told_beside(self, uid: str, study_uid: str) -> frozenset[str]:
        """Return the channels that a suspicion in another series of a study is delivered to."""
        rows = self._db.rows(
            "SELECT DISTINCT channel FROM series JOIN results ON series_uid = uid"
            " JOIN outbox USING (series_uid, revision)"
            " WHERE study_uid = ? AND uid <> ? AND results.state = 'suspected' AND signed = 0",
            study_uid,
            uid,
        )
        return frozenset(row["channel"] for row in rows)

    def settled_files(self) -> dict[str, tuple[int, int]]:
        """Return path → (size, mtime_ns) of the files that are not read again after a restart."""
        rows = self._db.rows("SELECT path, size_bytes, mtime_ns FROM files WHERE settled")
        return {path_of(row["path"]): (row["size_bytes"], row["mtime_ns"]) for row in rows}

    def files_of(self, series_uid: str) -> list[str]:
        """Return the paths of all files with slices of a series."""
        rows = self._db.rows(
            "SELECT path FROM files WHERE series_uid = ? ORDER BY path", series_uid
        )
        return [path_of(row["path"]) for row in rows]

    def notes_of(self, series_uid: str) -> list[FileNote]:
        """Say what became of the files of a series, in the order in which they were written."""
        rows = self._db.rows(
            "SELECT * FROM files WHERE series_uid = ? ORDER BY mtime_ns, path", series_uid
        )
        return [file_note(row) for row in rows]

    def files(self, limit: int, *, refused: bool) -> list[FileNote]:
        """Return what became of the files written last, of those alone that were ``refused``."""
        where = "WHERE refusal IS NOT NULL" if refused else ""
        rows = self._db.rows(
            f"SELECT * FROM files {where} ORDER BY mtime_ns DESC, path LIMIT ?",  # noqa: S608
            limit,
        )
        return [file_note(row) for row in rows]

    def unread_files(self, series_uid: str, limit: int) -> list[str]:
        """Paths of files that belong to a series and could not be read."""
        rows = self._db.rows(
            "SELECT path FROM files WHERE series_uid = ? AND refusal IS NOT NULL"
            " ORDER BY path LIMIT ?",
            series_uid,
            limit,
        )
        return [path_of(row["path"]) for row in rows]

    def performed_images(self, series_uid: str) -> int:
        """Return how many images the scanner's procedure step lists of a series, 0 where none."""
        rows = self._db.rows(
            "SELECT n_images FROM performed_series WHERE series_uid = ?", series_uid
        )
        return int(rows[0]["n_images"]) if rows else 0

    def notices(self, limit: int) -> list[Notice]:
        """Return the latest notices, newest first."""
        rows = self._db.rows("SELECT * FROM notices ORDER BY id DESC LIMIT ?", limit)
        return [
            Notice(row["kind"], recalled(json.loads(row["reason"])), instant_of(row, "at"))
            for row in rows
        ]

    def alerts_since(self) -> list[datetime]:
        """Return since when examinations wait for somebody's answer [UTC], oldest first."""
        return examinations.alerts_since(self._db)

    def last_slice_at(self) -> datetime | None:
        """Return when the last slice of a patient came [UTC], None where none is known."""
        rows = self._db.rows(
            f"SELECT last_utc FROM series WHERE {IS_NEW}"  # noqa: S608 - constants only
            " ORDER BY last_utc DESC LIMIT 1"
        )
        return datetime.fromisoformat(rows[0]["last_utc"]) if rows else None

    def user_roles(self) -> list[str]:
        """Return each user's role; none where nobody may sign in."""
        return [row["role"] for row in self._db.rows("SELECT role FROM users ORDER BY name")]

    def forgettable(self, keep: Keep, now: datetime) -> Forgettable:
        """Return how much repeated calls of ``AgentStore.forget`` would delete now."""
        return forgettable(self._db, keep, now)

    def totals(self) -> Totals:
        """Return all counters."""
        return totals_of(self._db.rows("SELECT * FROM totals"))

    def selftests(self, limit: int) -> list[Selftest]:
        """Return the latest self-tests, newest first."""
        rows = self._db.rows("SELECT * FROM selftests ORDER BY id DESC LIMIT ?", limit)
        return [
            Selftest(
                at=instant_of(row, "at"),
                failure=reason_of(row["failure"]),
                engine=EngineReport.model_validate_json(row["engine"]) if row["engine"] else None,
                latency_s=row["latency_s"],
                volume_ml=row["volume_ml"],
                truth_ml=row["truth_ml"],
                shown=bool(row["shown"]),
            )
            for row in rows
        ]

    def agent_status(self) -> AgentStatus | None:
        """Return the agent's last heartbeat, None if there never was one."""
        rows = self._db.rows("SELECT status FROM agent")
        return status_of(rows[0]["status"]) if rows else None

    def used_bytes(self) -> int:
        """Return the size of the store's rows [bytes]."""
        return self._db.used_bytes()

    def free_bytes(self) -> int:
        """Return the free space on the store's disk [bytes]."""
        return self._db.free_bytes()

    def change_mark(self) -> int:
        """Return a value that changes with every commit of any process."""
        return self._db.change_mark()
