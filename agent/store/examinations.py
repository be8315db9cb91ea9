"""Examinations, made of the rows of their series whenever they are asked for: none is stored.

What is stored is what people answered. An answer is one to all that waits in an examination, and to
what confirms it afterwards; both are written here, in the transaction of the answer or the result.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Final

from agent.exam import (
    NEEDS_NOBODY,
    OTHER_VIEWS,
    Examination,
    Reconstruction,
    acknowledged_through,
    examinations,
    unanalysed_with,
    waiting_beside,
)
from agent.reasons import Reason, recalled
from agent.records import Identity, State
from agent.store.database import Database
from agent.store.rows import AGREE, DISAGREE, DayCounts, SeriesRow, acquisition_of, series_row
from agent.store.search import ANY, Search, candidates
from agent.store.statements import (
    IS_NEW,
    IS_TEST,
    PENDING,
    RECONSTRUCTION,
    REFUSED_STUDIES,
    ROW,
    UNACKNOWLEDGED,
)

STUDIES_AT_ONCE: Final = 50
"""So many are read at a time where it is not known how many will be needed. Ours."""

IN_STUDIES: Final = "WHERE study_uid IN (SELECT value FROM json_each(?))"
OF_STUDIES: Final = f"{RECONSTRUCTION} {IN_STUDIES}"
OF_STUDY: Final = f"{RECONSTRUCTION} WHERE study_uid = (SELECT study_uid FROM series WHERE uid = ?)"  # noqa: S608

DOUBTS: Final = f"SELECT study_uid, reason FROM identity_doubts {IN_STUDIES}"  # noqa: S608
PRIORS: Final = f"SELECT study_uid, outcome AS reason FROM prior_fetches {IN_STUDIES}"  # noqa: S608

LEAVE_NOBODY: Final = json.dumps(sorted(NEEDS_NOBODY))
SHOW_OTHERWISE: Final = json.dumps(sorted(OTHER_VIEWS))

UNSHOWN_AT_ONCE: Final = 50
"""So many studies with a result that no page has shown are listed beside the latest. Ours."""

UNSHOWN_STUDIES: Final = f"""
    SELECT study_uid FROM outbox JOIN series ON uid = series_uid
    WHERE channel = 'console' AND {PENDING} ORDER BY since_utc LIMIT ?
"""  # noqa: S608 - constants only

LATEST_STUDIES: Final = """
    SELECT study_uid FROM series AS last WHERE last_utc >= ? AND NOT EXISTS (
        SELECT 1 FROM series AS later WHERE later.study_uid = last.study_uid
        AND (later.last_utc, later.uid) > (last.last_utc, last.uid))
    ORDER BY last_utc DESC LIMIT ?
"""
"""Those to which a slice came last, of which each is found by the series of that slice."""

PATIENTS_STUDIES: Final = f"""
    SELECT study_uid, max(last_utc) AS utc FROM series
    WHERE patient_id = ? AND birth_date = ? AND NOT {IS_TEST}
    GROUP BY study_uid ORDER BY utc DESC LIMIT ?
"""  # noqa: S608 - constants only

WAITING_STUDIES: Final = f"""
    SELECT DISTINCT study_uid FROM series WHERE uid IN ({UNACKNOWLEDGED})
"""  # noqa: S608 - constants only

ALERTS: Final = f"""
    SELECT series_uid, max(results.at_utc) AS utc FROM results
    JOIN series ON uid = series_uid AND {IS_NEW}
    WHERE results.state = 'suspected' AND series_uid IN ({UNACKNOWLEDGED}) GROUP BY series_uid
"""  # noqa: S608 - constants only

ANSWER_AS_WELL: Final = """
    INSERT INTO acknowledgements (series_uid, revision, who, note, dismissed_because,
        at_utc, at_monotonic_s, through_uid)
    SELECT ?1, ?2, who, note, dismissed_because, at_utc, at_monotonic_s, series_uid
    FROM acknowledgements WHERE series_uid = ?3 ORDER BY revision DESC LIMIT 1
    ON CONFLICT DO NOTHING
"""
"""Takes one series' latest answer (?3) for one to a result (?1, ?2) of another."""

SUSPICION: Final = """
    SELECT max(revision) AS revision, max(delivered_utc IS NOT NULL) AS was_shown
    FROM results LEFT JOIN outbox USING (series_uid, revision)
    WHERE series_uid = ? AND state = 'suspected' AND coalesce(channel, 'console') = 'console'
"""

EMPTY: Final = "^= "
"""What may end a name, for components that it does not have. Source: PS3.5 section 6.2.1."""

ALL: Final = -1
"""As a limit, none. Source: SQLite, SELECT, the LIMIT clause."""


@dataclass(frozen=True, slots=True)
class ExaminationRow:
    """An examination with its series, that which speaks for it first.

    ``doubt`` is why it is doubted whose images they are, ``prior`` what came of fetching the same
    patient's earlier examination, None where none was to be fetched.
    """

    examination: Examination
    series: tuple[SeriesRow, ...]
    doubt: Reason | None = None
    prior: Reason | None = None

    @property
    def fetched(self) -> bool:
        """Whether it is itself an earlier examination that was fetched."""
        return self.series[0].fetched

    @property
    def remark(self) -> Reason | None:
        """What none of its series says by itself; of what needs nobody no identity is doubted."""
        if self.fetched:
            return Reason("fetched_earlier")
        remark, doubt = self.examination.remark, self.doubt
        if doubt is None or self.examination.needs_nobody:
            return remark
        return Reason("doubt_and_remark", doubt=doubt, remark=remark) if remark else doubt

    @property
    def last_utc(self) -> datetime:
        """When the last slice of any of its series came."""
        return max(one.last_slice.utc for one in self.series)


def listed(database: Database, limit: int, unanalysed_since: datetime) -> list[ExaminationRow]:
    """Return every examination that waits for an answer, then the ``limit`` latest others.

    So does a head that was not analysed, if its last slice came since ``unanalysed_since``. After
    the latest come those with a result that no page has shown, some at a time: shown once, they are
    among these no more.
    """
    since_utc = stored_utc(unanalysed_since)
    waiting = [row["study_uid"] for row in database.rows(WAITING_STUDIES)]
    waiting += _refused_studies(database, since_utc)
    latest = _latest_studies(database, "", limit) if limit else []
    unshown = database.rows(UNSHOWN_STUDIES, UNSHOWN_AT_ONCE) if limit else []
    unshown_studies = {row["study_uid"] for row in unshown}
    rows = rows_of(database, {*waiting, *latest, *unshown_studies})
    rows.sort(key=lambda row: (_waits(row, unanalysed_since), row.last_utc), reverse=True)
    n_first = sum(_waits(row, unanalysed_since) for row in rows) + limit
    return [
        row
        for n, row in enumerate(rows)
        if n < n_first or row.series[0].identity.study_uid in unshown_studies
    ]


def _waits(row: ExaminationRow, unanalysed_since: datetime) -> bool:
    is_recent = row.last_utc >= unanalysed_since
    return bool(row.examination.waiting or (row.examination.unanalysed and is_recent))


def _refused_studies(database: Database, since_utc: str) -> list[str]:
    """Return the studies with a head that was not analysed, whose last slice came since."""
    values = {
        "since_utc": since_utc,
        "leave_nobody": LEAVE_NOBODY,
        "otherwise": SHOW_OTHERWISE,
    }
    rows = database.rows_named(REFUSED_STUDIES, values)
    return [row["study_uid"] for row in rows]


def found(database: Database, search: Search, limit: int) -> tuple[list[ExaminationRow], int]:
    """Return the ``limit`` latest examinations that were searched for, and how many more there are.

    The number is of studies, and with a filter on answers at most so many.
    """
    studies = candidates(database, search, LEAVE_NOBODY, SHOW_OTHERWISE)
    rows = list[ExaminationRow]()
    while studies and len(rows) < limit:
        some, studies = studies[:STUDIES_AT_ONCE], studies[STUDIES_AT_ONCE:]
        rows += sorted(rows_of(database, some), key=lambda row: row.last_utc, reverse=True)
        rows = [row for row in rows if _is_shown(row, search)]
    beyond = {row.series[0].identity.study_uid for row in rows[limit:]}
    return rows[:limit], len(studies) + len(beyond)


def _is_shown(row: ExaminationRow, search: Search) -> bool:
    """Say whether an examination is one of those that are looked for, and not only its study."""
    one = row.examination
    return {
        ANY: True,
        "suspected": any(each.report and each.report.state == "suspected" for each in row.series),
        "not_analysed": one.state is State.NOT_ANALYSED and not one.needs_nobody,
        "unanswered": bool(one.waiting or one.unanalysed),
        "disagreed": any(
            (each.acknowledged and each.acknowledged.dismissed_because)
            or (each.verdict and not each.verdict.agrees)
            for each in row.series
        ),
    }[search.show]


def n_studies(database: Database) -> int:
    """Count all studies."""
    return int(database.rows("SELECT count(DISTINCT study_uid) AS n FROM series")[0]["n"])


def latest(
    database: Database, limit: int, states: Sequence[State], since: datetime
) -> list[ExaminationRow]:
    """Return the ``limit`` latest examinations since a moment, all or only of some states."""
    studies, found = _latest_studies(database, stored_utc(since), ALL), list[ExaminationRow]()
    while studies and len(found) < limit:
        some, studies = studies[:STUDIES_AT_ONCE], studies[STUDIES_AT_ONCE:]
        rows = sorted(rows_of(database, some), key=lambda row: row.last_utc, reverse=True)
        found += [
            row
            for row in rows
            if row.last_utc >= since and (not states or row.examination.state in states)
        ]
    return found[:limit]


def rows_of(database: Database, study_uids: Iterable[str]) -> list[ExaminationRow]:
    """Return the examinations of some studies, with their series."""
    studies = json.dumps(list(study_uids))
    grouped = examinations(map(reconstruction_of, database.rows(OF_STUDIES, studies)))
    rows = database.rows(f"{ROW} {IN_STUDIES}", studies)
    series = {row["uid"]: series_row(row) for row in rows}
    doubts, priors = (
        {
            row["study_uid"]: recalled(json.loads(row["reason"]))
            for row in database.rows(of, studies)
        }
        for of in (DOUBTS, PRIORS)
    )
    return [
        ExaminationRow(
            one, shown, *(each.get(shown[0].identity.study_uid) for each in (doubts, priors))
        )
        for one in grouped
        if (shown := tuple(series[uid] for uid, _ in one.places if uid in series))
    ]


def of_patient(database: Database, identity: Identity, limit: int) -> list[ExaminationRow]:
    """Return a patient's examinations in the ``limit`` latest studies, by number, name and birth.

    All that has the same number and date of birth, but another name, is somebody else's.
    """
    studies = database.rows(PATIENTS_STUDIES, identity.patient_id, identity.birth_date, limit)
    name = identity.patient_name.rstrip(EMPTY)
    return [
        row
        for row in rows_of(database, [one["study_uid"] for one in studies])
        if all(
            (one.identity.patient_id, one.identity.birth_date)
            == (identity.patient_id, identity.birth_date)
            and one.identity.patient_name.rstrip(EMPTY) == name
            and not one.test
            for one in row.series
        )
    ]


def reconstruction_of(row: sqlite3.Row) -> Reconstruction:
    """Read what an examination's answer depends on from a row of ``RECONSTRUCTION``."""
    return Reconstruction(
        uid=row["uid"],
        study_uid=row["study_uid"],
        patient=(row["patient_id"], row["patient_name"].rstrip(EMPTY), row["birth_date"]),
        acquisition=acquisition_of(row),
        state=State(row["state"]),
        answer=State(row["answer"]) if row["answer"] else None,
        code=row["code"],
        is_covered=row["protocol"] is not None,
        alerts=bool(row["alerts"]),
        is_acknowledged=bool(row["is_acknowledged"]),
        is_answered=bool(row["is_answered"]),
        first_slice_at=datetime.fromisoformat(row["first_utc"]),
    )


def stored_utc(moment: datetime) -> str:
    """Write a moment as the store holds it."""
    return moment.astimezone(timezone.utc).isoformat()


def _latest_studies(database: Database, since_utc: str, limit: int) -> list[str]:
    return [row["study_uid"] for row in database.rows(LATEST_STUDIES, since_utc, limit)]


def _of_day(
    database: Database, since: datetime
) -> Iterator[tuple[Examination, dict[str, sqlite3.Row]]]:
    """Yield the patients' examinations to which something came since, and their series' rows."""
    since_utc = stored_utc(since)
    studies = json.dumps(_latest_studies(database, since_utc, ALL))
    rows = {row["uid"]: row for row in database.rows(OF_STUDIES, studies)}
    for one in examinations(map(reconstruction_of, rows.values())):
        own = {uid: rows[uid] for uid, _ in one.places}
        is_since = max(row["last_utc"] for row in own.values()) >= since_utc
        if is_since and all(row["is_new"] for row in own.values()):
            yield one, own


def counts_since(database: Database, since: datetime) -> DayCounts:
    """Count the examinations to which something came since, and what came of them."""
    counts = dict.fromkeys(DayCounts.__dataclass_fields__, 0)
    for one, rows in _of_day(database, since):
        counts["examinations"] += 1
        if State.SUSPECTED in (one.state, *(row["answer"] for row in rows.values())):
            counts["suspected"] += 1
            verdicts = {row["verdict"] for row in rows.values() if row["answer"] == State.SUSPECTED}
            is_dismissed = any(row["is_dismissed"] for row in rows.values())
            counts["confirmed"] += AGREE in verdicts
            counts["dismissed"] += AGREE not in verdicts and (DISAGREE in verdicts or is_dismissed)
        counts["not_analysed"] += one.state is State.NOT_ANALYSED and not one.needs_nobody
    return DayCounts(**counts)


def states_since(database: Database, since: datetime) -> dict[str, int]:
    """Count the examinations to which something came since, by state; no zeros.

    Those that need nobody are not among them.
    """
    states = [one.state for one, _ in _of_day(database, since) if not one.needs_nobody]
    return {state.value: states.count(state) for state in sorted(set(states))}


def alerts_since(database: Database) -> list[datetime]:
    """Return since when examinations wait for somebody's answer [UTC], oldest first."""
    since = {row["series_uid"]: row["utc"] for row in database.rows(ALERTS)}
    studies = json.dumps([row["study_uid"] for row in database.rows(WAITING_STUDIES)])
    grouped = examinations(map(reconstruction_of, database.rows(OF_STUDIES, studies)))
    waiting = [[since[uid] for uid in one.waiting if uid in since] for one in grouped]
    return sorted(datetime.fromisoformat(min(each)) for each in waiting if each)


def through_whom(db: sqlite3.Connection, series_uid: str) -> str | None:
    """Say through which series a suspicion that is about to be stored was acknowledged already."""
    return acknowledged_through(_beside(db, series_uid), series_uid)


def answer_as_well(db: sqlite3.Connection, result: tuple[str, int], through_uid: str) -> None:
    """Take what somebody answered to one series for an answer to another one's result as well."""
    db.execute(ANSWER_AS_WELL, (*result, through_uid))


def answer_beside(db: sqlite3.Connection, series_uid: str, *, only_shown: bool) -> None:
    """Take the latest answer to a series for one to all that waits in its examination.

    With ``only_shown``, only to what a page has shown: nobody dismisses what was not seen.
    """
    for uid in waiting_beside(_beside(db, series_uid), series_uid):
        suspicion = db.execute(SUSPICION, (uid,)).fetchone()
        if suspicion["was_shown"] or not only_shown:
            answer_as_well(db, (uid, suspicion["revision"]), series_uid)
    for uid in unanalysed_with(_beside(db, series_uid), series_uid):
        latest = db.execute("SELECT revision FROM series WHERE uid = ?", (uid,)).fetchone()
        answer_as_well(db, (uid, latest["revision"]), series_uid)


def _beside(db: sqlite3.Connection, series_uid: str) -> list[Reconstruction]:
    """Return the series of the study of one."""
    return [reconstruction_of(row) for row in db.execute(OF_STUDY, (series_uid,))]
