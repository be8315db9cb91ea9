"""The journal of every series, result, delivery and acknowledgement: one SQLite file.

The daemon writes it; the console reads it, and writes acknowledgements and receipts. What a call
has returned from is on the disk (WAL, synchronous=FULL).
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType
from typing import Final

from typing_extensions import Self

from agent.errors import StoreError
from agent.records import Clock, Instant, State
from agent.report import SeriesReport
from agent.store.database import Database
from agent.store.rows import (
    Acknowledgement,
    AgentStatus,
    Delivery,
    FileNote,
    Notice,
    SeriesProgress,
    SeriesRow,
    Transition,
    instant_of,
    series_row,
    stored,
)

MOST_NOTICES: Final = 1000

ROW: Final = """
    SELECT series.*, results.report, results.at_utc, results.at_monotonic_s,
           outbox.delivered_utc, outbox.delivered_monotonic_s,
           acknowledgements.who, acknowledgements.note,
           acknowledgements.at_utc AS who_utc, acknowledgements.at_monotonic_s AS who_monotonic_s,
           alert.report AS alert_report
    FROM series
    LEFT JOIN results ON results.series_uid = uid AND results.revision = series.revision
    LEFT JOIN outbox ON outbox.series_uid = uid AND outbox.revision = series.revision
        AND outbox.channel = 'console'
    LEFT JOIN acknowledgements
        ON acknowledgements.series_uid = uid AND acknowledgements.revision = series.revision
    LEFT JOIN results AS alert ON alert.series_uid = uid
        AND alert.revision = (
            SELECT max(suspicion.revision) FROM results AS suspicion
            WHERE suspicion.series_uid = uid AND suspicion.state = 'suspected')
        AND NOT EXISTS (
            SELECT 1 FROM acknowledgements AS given
            WHERE given.series_uid = uid AND given.revision >= alert.revision)
"""


class Store:
    """The store, open. One object serves all threads of a process."""

    def __init__(self, path: Path, clock: Clock) -> None:
        """Open ``path``, making or migrating it; StoreError if that cannot be done."""
        self._clock = clock
        self._db = Database(path)

    def __enter__(self) -> Self:
        """Use as a context manager: closes at the end."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the store."""
        self._db.close()

    def note_files(self, files: Iterable[FileNote]) -> None:
        """Journal what became of files, replacing what was known of the same paths."""
        values = [tuple(asdict(note).values()) for note in files]
        if values:
            with self._db.writing() as db:
                db.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, ?)", values)

    def settled_files(self) -> dict[str, tuple[int, int]]:
        """Path → (size, mtime_ns) of all files that a restarted agent need not read again."""
        rows = self._db.rows("SELECT path, size_bytes, mtime_ns FROM files WHERE settled")
        return {row["path"]: (row["size_bytes"], row["mtime_ns"]) for row in rows}

    def settle_files(self, series_uid: str, sop_uids: Iterable[str]) -> None:
        """Say that these images' files, and those of it without an image, are in its result.

        By image and not by series: a slice that came while its series was being analysed is in no
        result yet, and must be read again if the agent ends now.
        """
        with self._db.writing() as db:
            db.execute(
                "UPDATE files SET settled = 1 WHERE series_uid = ?"
                " AND (sop_uid IS NULL OR sop_uid IN (SELECT value FROM json_each(?)))",
                (series_uid, json.dumps(list(sop_uids))),
            )

    def files_of(self, series_uid: str) -> list[str]:
        """Paths of all files in which slices of a series came."""
        rows = self._db.rows(
            "SELECT path FROM files WHERE series_uid = ? ORDER BY path", series_uid
        )
        return [row["path"] for row in rows]

    def progress(self, progress: SeriesProgress) -> None:
        """Say that a series is being received, and how far it is."""
        who = progress.identity
        with self._db.writing() as db:
            before = db.execute(
                "SELECT state FROM series WHERE uid = ?", (progress.series_uid,)
            ).fetchone()
            db.execute(
                """
                INSERT INTO series VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0)
                ON CONFLICT (uid) DO UPDATE SET state = excluded.state,
                    description = excluded.description, protocol = excluded.protocol,
                    slices = excluded.slices, expected = excluded.expected,
                    last_utc = excluded.last_utc, last_monotonic_s = excluded.last_monotonic_s
                """,
                (
                    progress.series_uid,
                    who.patient_id,
                    who.patient_name,
                    who.birth_date,
                    who.sex,
                    who.study_uid,
                    who.accession,
                    progress.description,
                    progress.protocol,
                    State.RECEIVING,
                    progress.slices,
                    progress.expected,
                    *stored(progress.first_slice),
                    *stored(progress.last_slice),
                ),
            )
            if before is None or before["state"] != State.RECEIVING:
                self._change(db, progress.series_uid, State.RECEIVING, "")

    def begin_analysis(self, series_uid: str) -> int:
        """Say that a series is complete and about to be analysed; returns how often this was said.

        It is on the disk before the analysis begins, so that one that takes the process down is
        counted.
        """
        with self._db.writing() as db:
            db.execute(
                "UPDATE series SET state = ?, attempts = attempts + 1 WHERE uid = ?",
                (State.ANALYSING, series_uid),
            )
            self._change(db, series_uid, State.ANALYSING, "")
            row = db.execute("SELECT attempts FROM series WHERE uid = ?", (series_uid,)).fetchone()
        return int(row["attempts"])

    def conclude(
        self, report: SeriesReport, key_slice_png: bytes | None, channels: Sequence[str]
    ) -> bool:
        """Commit a result, the series' state and its deliveries together.

        Returns False, and alerts nobody, where the store has this very result already.
        """
        uid, now = report.series_uid, stored(self._clock())
        with self._db.writing() as db:
            same = db.execute(
                "SELECT revision, report FROM results WHERE result_id = ?", (report.result_id,)
            ).fetchone()
            if same is not None:
                report = SeriesReport.model_validate_json(same["report"])
            else:
                db.execute(
                    "INSERT INTO results VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    (
                        uid,
                        report.revision,
                        report.result_id,
                        report.state,
                        report.model_dump_json(),
                        key_slice_png,
                        *now,
                    ),
                )
                db.executemany(
                    "INSERT INTO outbox VALUES (?, ?, ?, ?, ?, NULL, NULL)",
                    [(uid, report.revision, channel, *now) for channel in channels],
                )
            db.execute(
                "UPDATE series SET state = ?, revision = ?, attempts = 0, protocol = ?"
                " WHERE uid = ?",
                (report.state, report.revision, report.protocol, uid),
            )
            self._change(db, uid, State(report.state), report.reason or "")
        return same is None

    def restore(self, series_uid: str) -> None:
        """Give a series the state of its latest result again: what came since was nothing new."""
        with self._db.writing() as db:
            row = db.execute(
                "SELECT state FROM results WHERE series_uid = ? ORDER BY revision DESC",
                (series_uid,),
            ).fetchone()
            changed = db.execute(
                "UPDATE series SET state = ? WHERE uid = ? AND state <> ?",
                (row["state"], series_uid, row["state"]),
            )
            if changed.rowcount:
                self._change(db, series_uid, State(row["state"]), "nothing new")

    def next_revision(self, series_uid: str) -> int:
        """Return the number that the series' next result gets."""
        (row,) = self._db.rows(
            "SELECT coalesce(max(revision), 0) + 1 AS next FROM results WHERE series_uid = ?",
            series_uid,
        )
        return int(row["next"])

    def unfinished(self) -> list[str]:
        """Series that are neither concluded nor forgotten: what a restarted agent takes up."""
        marks = State.RECEIVING, State.ANALYSING
        rows = self._db.rows(
            "SELECT uid FROM series WHERE state IN (?, ?) ORDER BY first_utc", *marks
        )
        return [row["uid"] for row in rows]

    def worklist(self, limit: int) -> list[SeriesRow]:
        """Every suspicion that nobody has acknowledged, then the ``limit`` latest series.

        Whatever is received or concluded later: only an acknowledgement ends an alert.
        """
        rows = self._db.rows(
            f"{ROW} WHERE alert.revision IS NOT NULL"  # noqa: S608 - constants only
            " OR uid IN (SELECT uid FROM series ORDER BY last_utc DESC LIMIT ?)"
            " ORDER BY alert.revision IS NOT NULL DESC, last_utc DESC",
            limit,
        )
        return [series_row(row) for row in rows]

    def count_since(self, moment: datetime) -> int:
        """Count the series whose last slice came after a moment."""
        utc = moment.astimezone(timezone.utc).isoformat()
        (row,) = self._db.rows("SELECT count(*) AS n FROM series WHERE last_utc >= ?", utc)
        return int(row["n"])

    def series(self, uid: str) -> SeriesRow | None:
        """Return one series, None if it is not known."""
        rows = self._db.rows(f"{ROW} WHERE uid = ?", uid)
        return series_row(rows[0]) if rows else None

    def find(self, part: str) -> list[SeriesRow]:
        """Return the series or all series of a study, named by a whole UID or by an end of one."""
        whole, end = "{0} = ?1", "substr({0}, 1, length(?1)) = ?1 OR substr({0}, -length(?1)) = ?1"
        for match in (whole, end):
            where = " OR ".join(match.format(uid) for uid in ("uid", "study_uid"))
            rows = self._db.rows(f"{ROW} WHERE {where} ORDER BY first_utc", part)
            if rows:
                return [series_row(row) for row in rows]
        return []

    def history(self, uid: str) -> list[SeriesReport]:
        """All revisions of a series' result, oldest first."""
        rows = self._db.rows(
            "SELECT report FROM results WHERE series_uid = ? ORDER BY revision", uid
        )
        return [SeriesReport.model_validate_json(row["report"]) for row in rows]

    def transitions(self, uid: str) -> list[Transition]:
        """Every change of a series' state, oldest first."""
        rows = self._db.rows("SELECT * FROM transitions WHERE series_uid = ? ORDER BY id", uid)
        return [
            Transition(State(row["state"]), instant_of(row, "at"), row["detail"]) for row in rows
        ]

    def key_slice(self, uid: str, revision: int) -> bytes | None:
        """Return the key slice of a result as PNG, None where there is none."""
        rows = self._db.rows(
            "SELECT key_slice_png FROM results WHERE series_uid = ? AND revision = ?", uid, revision
        )
        return rows[0]["key_slice_png"] if rows else None

    def undelivered(self) -> list[Delivery]:
        """Results that a channel has not confirmed, oldest first."""
        rows = self._db.rows("SELECT * FROM outbox WHERE delivered_utc IS NULL ORDER BY since_utc")
        return [
            Delivery(row["series_uid"], row["revision"], row["channel"], instant_of(row, "since"))
            for row in rows
        ]

    def receipt(self, series_uid: str, revision: int, channel: str) -> None:
        """Note that a channel has delivered a result; the first receipt stands."""
        with self._db.writing() as db:
            db.execute(
                "UPDATE outbox SET delivered_utc = ?, delivered_monotonic_s = ?"
                " WHERE series_uid = ? AND revision = ? AND channel = ? AND delivered_utc IS NULL",
                (*stored(self._clock()), series_uid, revision, channel),
            )

    def acknowledge(self, series_uid: str, revision: int, who: str, note: str) -> Acknowledgement:
        """Note who took note of a result; the first one stands and is returned to all.

        Raises
        ------
        StoreError
            If there is no such result.
        """
        now = stored(self._clock())
        try:
            with self._db.writing() as db:
                db.execute(
                    "INSERT INTO acknowledgements VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                    (series_uid, revision, who, note, *now),
                )
                row = db.execute(
                    "SELECT * FROM acknowledgements WHERE series_uid = ? AND revision = ?",
                    (series_uid, revision),
                ).fetchone()
        except sqlite3.IntegrityError as error:
            raise StoreError(f"no result {revision} of series {series_uid}") from error
        return Acknowledgement(row["who"], instant_of(row, "at"), row["note"])

    def notice(self, kind: str, message: str) -> None:
        """Note something that concerns no series; the latest thousand are kept."""
        with self._db.writing() as db:
            db.execute(
                "INSERT INTO notices (kind, message, at_utc, at_monotonic_s) VALUES (?, ?, ?, ?)",
                (kind, message, *stored(self._clock())),
            )
            db.execute(
                "DELETE FROM notices WHERE id <= (SELECT max(id) FROM notices) - ?",
                (MOST_NOTICES,),
            )

    def notices(self, limit: int) -> list[Notice]:
        """Return the latest notices, newest first."""
        rows = self._db.rows("SELECT * FROM notices ORDER BY id DESC LIMIT ?", limit)
        return [Notice(row["kind"], row["message"], instant_of(row, "at")) for row in rows]

    def heartbeat(self, status: AgentStatus) -> None:
        """Note that the agent lives, and how it is."""
        with self._db.writing() as db:
            db.execute(
                "INSERT OR REPLACE INTO agent VALUES (1, ?)",
                (json.dumps(asdict(status), default=datetime.isoformat),),
            )

    def agent_status(self) -> AgentStatus | None:
        """Return the agent's last sign of life, None if there never was one."""
        rows = self._db.rows("SELECT status FROM agent")
        if not rows:
            return None
        values = json.loads(rows[0]["status"])
        for name in ("at", "started"):
            moment = values[name]
            values[name] = Instant(datetime.fromisoformat(moment["utc"]), moment["monotonic_s"])
        return AgentStatus(**values)

    def change_mark(self) -> int:
        """Return a value that changes whenever any process has committed."""
        return self._db.change_mark()

    def _change(self, db: sqlite3.Connection, uid: str, state: State, detail: str) -> None:
        db.execute(
            "INSERT INTO transitions (series_uid, state, detail, at_utc, at_monotonic_s)"
            " VALUES (?, ?, ?, ?, ?)",
            (uid, state, detail, *stored(self._clock())),
        )
