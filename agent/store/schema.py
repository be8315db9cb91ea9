"""The store's tables, as migrations: forward only, each run once, in order."""

from __future__ import annotations

from typing import Final

MIGRATIONS: Final = (
    """
    CREATE TABLE series (
        uid TEXT PRIMARY KEY,
        patient_id TEXT NOT NULL,
        patient_name TEXT NOT NULL,
        birth_date TEXT NOT NULL,
        sex TEXT NOT NULL,
        study_uid TEXT NOT NULL,
        accession TEXT NOT NULL,
        description TEXT NOT NULL,
        protocol TEXT,
        state TEXT NOT NULL,
        slices INTEGER NOT NULL,
        expected INTEGER NOT NULL,
        first_utc TEXT NOT NULL, first_monotonic_s REAL NOT NULL,
        last_utc TEXT NOT NULL, last_monotonic_s REAL NOT NULL,
        revision INTEGER NOT NULL DEFAULT 0,
        attempts INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    CREATE INDEX series_by_time ON series (last_utc DESC);
    CREATE TABLE results (
        series_uid TEXT NOT NULL REFERENCES series (uid),
        revision INTEGER NOT NULL,
        result_id TEXT NOT NULL UNIQUE,
        state TEXT NOT NULL,
        report TEXT NOT NULL,
        key_slice_png BLOB,
        at_utc TEXT NOT NULL, at_monotonic_s REAL NOT NULL,
        PRIMARY KEY (series_uid, revision)
    ) STRICT;
    CREATE TABLE transitions (
        id INTEGER PRIMARY KEY,
        series_uid TEXT NOT NULL REFERENCES series (uid),
        state TEXT NOT NULL,
        detail TEXT NOT NULL,
        at_utc TEXT NOT NULL, at_monotonic_s REAL NOT NULL
    ) STRICT;
    CREATE INDEX transitions_by_series ON transitions (series_uid, id);
    CREATE TABLE outbox (
        series_uid TEXT NOT NULL,
        revision INTEGER NOT NULL,
        channel TEXT NOT NULL,
        since_utc TEXT NOT NULL, since_monotonic_s REAL NOT NULL,
        delivered_utc TEXT, delivered_monotonic_s REAL,
        PRIMARY KEY (series_uid, revision, channel),
        FOREIGN KEY (series_uid, revision) REFERENCES results (series_uid, revision)
    ) STRICT;
    CREATE INDEX outbox_pending ON outbox (since_utc) WHERE delivered_utc IS NULL;
    CREATE TABLE acknowledgements (
        series_uid TEXT NOT NULL,
        revision INTEGER NOT NULL,
        who TEXT NOT NULL,
        note TEXT NOT NULL,
        at_utc TEXT NOT NULL, at_monotonic_s REAL NOT NULL,
        PRIMARY KEY (series_uid, revision),
        FOREIGN KEY (series_uid, revision) REFERENCES results (series_uid, revision)
    ) STRICT;
    CREATE TABLE files (
        path TEXT PRIMARY KEY,
        size_bytes INTEGER NOT NULL,
        mtime_ns INTEGER NOT NULL,
        series_uid TEXT,
        sop_uid TEXT,
        refusal TEXT,
        settled INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX files_by_series ON files (series_uid);
    CREATE TABLE notices (
        id INTEGER PRIMARY KEY,
        kind TEXT NOT NULL,
        message TEXT NOT NULL,
        at_utc TEXT NOT NULL, at_monotonic_s REAL NOT NULL
    ) STRICT;
    CREATE TABLE agent (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        status TEXT NOT NULL
    ) STRICT;
    """,
    """
    CREATE INDEX suspicions ON results (series_uid, revision) WHERE state = 'suspected'
    """,
    """
    ALTER TABLE acknowledgements ADD COLUMN dismissed_because TEXT;
    CREATE TABLE verdicts (
        series_uid TEXT NOT NULL,
        revision INTEGER NOT NULL,
        who TEXT NOT NULL,
        verdict TEXT NOT NULL CHECK (verdict IN ('agree', 'disagree')),
        note TEXT NOT NULL,
        at_utc TEXT NOT NULL, at_monotonic_s REAL NOT NULL,
        PRIMARY KEY (series_uid, revision, who),
        FOREIGN KEY (series_uid, revision) REFERENCES results (series_uid, revision)
    ) STRICT
    """,
    """
    CREATE TABLE users (
        name TEXT PRIMARY KEY COLLATE NOCASE,
        role TEXT NOT NULL CHECK (role IN ('technologist', 'service')),
        argon2 TEXT NOT NULL,
        added_utc TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE sessions (
        token_sha256 TEXT PRIMARY KEY,
        user TEXT NOT NULL COLLATE NOCASE REFERENCES users (name) ON DELETE CASCADE,
        boot_id TEXT NOT NULL,
        began_monotonic_s REAL NOT NULL,
        used_monotonic_s REAL NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX sessions_by_user ON sessions (user);
    CREATE TABLE tries (
        key TEXT PRIMARY KEY,
        n INTEGER NOT NULL,
        last_s REAL NOT NULL,
        boot_id TEXT NOT NULL
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TABLE pictures (
        series_uid TEXT NOT NULL,
        revision INTEGER NOT NULL,
        view TEXT NOT NULL,
        png BLOB NOT NULL,
        PRIMARY KEY (series_uid, revision, view),
        FOREIGN KEY (series_uid, revision) REFERENCES results (series_uid, revision)
    ) STRICT;
    INSERT INTO pictures (series_uid, revision, view, png)
        SELECT series_uid, revision, 'axial', key_slice_png
        FROM results WHERE key_slice_png IS NOT NULL;
    ALTER TABLE results DROP COLUMN key_slice_png;
    CREATE TABLE slices (
        series_uid TEXT NOT NULL,
        revision INTEGER NOT NULL,
        k INTEGER NOT NULL,
        jls BLOB NOT NULL,
        outline_png BLOB,
        PRIMARY KEY (series_uid, revision, k),
        FOREIGN KEY (series_uid, revision) REFERENCES results (series_uid, revision)
    ) STRICT;
    CREATE TABLE volumes (
        series_uid TEXT NOT NULL,
        revision INTEGER NOT NULL,
        stack TEXT NOT NULL,
        bytes INTEGER NOT NULL,
        at_utc TEXT NOT NULL, at_monotonic_s REAL NOT NULL,
        PRIMARY KEY (series_uid, revision),
        FOREIGN KEY (series_uid, revision) REFERENCES results (series_uid, revision)
    ) STRICT
    """,
    """
    ALTER TABLE series ADD COLUMN repeats INTEGER NOT NULL DEFAULT 0;
    CREATE TABLE requests (
        series_uid TEXT PRIMARY KEY REFERENCES series (uid),
        at_utc TEXT NOT NULL, at_monotonic_s REAL NOT NULL
    ) STRICT
    """,
    """
    CREATE TABLE selftests (
        id INTEGER PRIMARY KEY,
        failure TEXT,
        engine TEXT,
        latency_s REAL,
        volume_ml REAL,
        truth_ml REAL,
        shown INTEGER NOT NULL,
        at_utc TEXT NOT NULL, at_monotonic_s REAL NOT NULL
    ) STRICT
    """,
    """
    CREATE TABLE totals (
        name TEXT NOT NULL,
        label TEXT NOT NULL,
        detail TEXT NOT NULL,
        value REAL NOT NULL,
        PRIMARY KEY (name, label, detail)
    ) STRICT, WITHOUT ROWID
    """,
    """
    UPDATE results SET report = report_2(report);
    ALTER TABLE transitions ADD COLUMN reason TEXT;
    UPDATE transitions SET reason = recorded(detail);
    ALTER TABLE transitions DROP COLUMN detail;
    ALTER TABLE notices ADD COLUMN reason TEXT NOT NULL DEFAULT '';
    UPDATE notices SET reason = recorded(message);
    ALTER TABLE notices DROP COLUMN message;
    UPDATE files SET refusal = recorded(refusal) WHERE refusal IS NOT NULL;
    UPDATE selftests SET failure = recorded(failure), engine = engine_2(engine);
    UPDATE agent SET status = status_2(status)
    """,
    """
    CREATE TABLE corrections (
        id INTEGER PRIMARY KEY,
        series_uid TEXT NOT NULL REFERENCES series (uid),
        patient_id TEXT NOT NULL,
        patient_name TEXT NOT NULL,
        birth_date TEXT NOT NULL,
        sex TEXT NOT NULL,
        accession TEXT NOT NULL,
        at_utc TEXT NOT NULL, at_monotonic_s REAL NOT NULL,
        recorded INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    CREATE INDEX corrections_by_series ON corrections (series_uid, id);
    CREATE INDEX corrections_to_record ON corrections (id) WHERE NOT recorded
    """,
    """
    UPDATE agent SET status = json_set(status, '$.alerts_per_100', NULL)
    """,
    """
    ALTER TABLE series ADD COLUMN acquisition TEXT;
    CREATE INDEX series_by_study ON series (study_uid, last_utc);
    ALTER TABLE acknowledgements ADD COLUMN through_uid TEXT
    """,
    """
    CREATE TABLE sources (
        series_uid TEXT NOT NULL,
        revision INTEGER NOT NULL,
        images TEXT NOT NULL,
        box TEXT,
        labels BLOB,
        PRIMARY KEY (series_uid, revision),
        FOREIGN KEY (series_uid, revision) REFERENCES results (series_uid, revision)
    ) STRICT;
    ALTER TABLE outbox ADD COLUMN sent_utc TEXT;
    ALTER TABLE outbox ADD COLUMN sent_monotonic_s REAL;
    ALTER TABLE outbox ADD COLUMN n_attempts INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE outbox ADD COLUMN problem TEXT;
    ALTER TABLE outbox ADD COLUMN dropped_utc TEXT;
    ALTER TABLE outbox ADD COLUMN dropped_monotonic_s REAL;
    DROP INDEX outbox_pending;
    CREATE INDEX outbox_pending ON outbox (since_utc)
        WHERE delivered_utc IS NULL AND dropped_utc IS NULL
    """,
    """
    CREATE TABLE users_2 (
        name TEXT PRIMARY KEY COLLATE NOCASE,
        role TEXT NOT NULL CHECK (role IN ('technologist', 'radiologist', 'service')),
        argon2 TEXT NOT NULL,
        added_utc TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    INSERT INTO users_2 SELECT name, role, argon2, added_utc FROM users;
    CREATE TABLE sessions_2 (
        token_sha256 TEXT PRIMARY KEY,
        user TEXT NOT NULL COLLATE NOCASE REFERENCES users_2 (name) ON DELETE CASCADE,
        boot_id TEXT NOT NULL,
        began_monotonic_s REAL NOT NULL,
        used_monotonic_s REAL NOT NULL
    ) STRICT, WITHOUT ROWID;
    INSERT INTO sessions_2
        SELECT token_sha256, user, boot_id, began_monotonic_s, used_monotonic_s FROM sessions;
    DROP TABLE sessions;
    DROP TABLE users;
    ALTER TABLE users_2 RENAME TO users;
    ALTER TABLE sessions_2 RENAME TO sessions;
    CREATE INDEX sessions_by_user ON sessions (user);
    CREATE TABLE readings (
        id INTEGER PRIMARY KEY,
        series_uid TEXT NOT NULL,
        revision INTEGER NOT NULL,
        judgement TEXT NOT NULL,
        who TEXT NOT NULL,
        at_utc TEXT NOT NULL, at_monotonic_s REAL NOT NULL,
        taken_back_by TEXT,
        taken_back_utc TEXT, taken_back_monotonic_s REAL,
        FOREIGN KEY (series_uid, revision) REFERENCES results (series_uid, revision)
    ) STRICT;
    CREATE INDEX readings_by_result ON readings (series_uid, revision, id);
    CREATE TABLE signed_reports (
        series_uid TEXT NOT NULL,
        revision INTEGER NOT NULL,
        version INTEGER NOT NULL,
        language TEXT NOT NULL,
        sections TEXT NOT NULL,
        who TEXT NOT NULL,
        at_utc TEXT NOT NULL, at_monotonic_s REAL NOT NULL,
        PRIMARY KEY (series_uid, version),
        FOREIGN KEY (series_uid, revision) REFERENCES results (series_uid, revision)
    ) STRICT
    """,
    """
    CREATE TABLE taken_back (
        id INTEGER PRIMARY KEY,
        series_uid TEXT NOT NULL,
        revision INTEGER NOT NULL,
        who TEXT NOT NULL,
        note TEXT NOT NULL,
        dismissed_because TEXT,
        at_utc TEXT NOT NULL, at_monotonic_s REAL NOT NULL,
        through_uid TEXT,
        by_whom TEXT NOT NULL,
        back_utc TEXT NOT NULL, back_monotonic_s REAL NOT NULL,
        FOREIGN KEY (series_uid, revision) REFERENCES results (series_uid, revision)
    ) STRICT;
    CREATE INDEX taken_back_by_series ON taken_back (series_uid, revision, id);
    CREATE INDEX refusals ON results (json_extract(report, '$.code')) WHERE state = 'not_analysed'
    """,
    """
    CREATE TABLE identity_doubts (
        study_uid TEXT PRIMARY KEY,
        reason TEXT NOT NULL,
        at_utc TEXT NOT NULL, at_monotonic_s REAL NOT NULL
    ) STRICT
    """,
    """
    ALTER TABLE outbox ADD COLUMN remark TEXT
    """,
    """
    CREATE TABLE outbox_2 (
        series_uid TEXT NOT NULL,
        revision INTEGER NOT NULL,
        channel TEXT NOT NULL,
        signed INTEGER NOT NULL DEFAULT 0,
        since_utc TEXT NOT NULL, since_monotonic_s REAL NOT NULL,
        sent_utc TEXT, sent_monotonic_s REAL,
        delivered_utc TEXT, delivered_monotonic_s REAL,
        dropped_utc TEXT, dropped_monotonic_s REAL,
        n_attempts INTEGER NOT NULL DEFAULT 0,
        problem TEXT,
        remark TEXT,
        PRIMARY KEY (series_uid, revision, channel, signed),
        FOREIGN KEY (series_uid, revision) REFERENCES results (series_uid, revision)
    ) STRICT;
    INSERT INTO outbox_2
        SELECT series_uid, revision, channel, 0, since_utc, since_monotonic_s, sent_utc,
            sent_monotonic_s, delivered_utc, delivered_monotonic_s, dropped_utc,
            dropped_monotonic_s, n_attempts, problem, remark
        FROM outbox;
    DROP TABLE outbox;
    ALTER TABLE outbox_2 RENAME TO outbox;
    CREATE INDEX outbox_pending ON outbox (since_utc)
        WHERE delivered_utc IS NULL AND dropped_utc IS NULL
    """,
    """
    CREATE TABLE performed_steps (
        uid TEXT PRIMARY KEY,
        status TEXT NOT NULL,
        at_utc TEXT NOT NULL, at_monotonic_s REAL NOT NULL
    ) STRICT;
    CREATE TABLE performed_series (
        series_uid TEXT PRIMARY KEY,
        step_uid TEXT NOT NULL REFERENCES performed_steps (uid) ON DELETE CASCADE,
        n_images INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX performed_series_by_step ON performed_series (step_uid)
    """,
    """
    ALTER TABLE slices ADD COLUMN findings_z BLOB;
    CREATE TABLE extents (
        reading_id INTEGER PRIMARY KEY REFERENCES readings (id) ON DELETE CASCADE,
        runs_z BLOB NOT NULL,
        volume_ml REAL NOT NULL
    ) STRICT
    """,
    "CREATE INDEX series_by_patient ON series (patient_id, birth_date)",
    """
    CREATE TABLE drawings (
        sop_uid TEXT PRIMARY KEY,
        series_uid TEXT NOT NULL,
        revision INTEGER NOT NULL,
        who TEXT NOT NULL,
        segments TEXT NOT NULL,
        at_utc TEXT NOT NULL, at_monotonic_s REAL NOT NULL,
        FOREIGN KEY (series_uid, revision) REFERENCES results (series_uid, revision)
    ) STRICT;
    CREATE INDEX drawings_by_series ON drawings (series_uid, at_utc)
    """,
    "ALTER TABLE slices ADD COLUMN maps_z BLOB",
    """
    CREATE TABLE prior_fetches (
        study_uid TEXT PRIMARY KEY,
        outcome TEXT NOT NULL,
        is_over INTEGER NOT NULL,
        n_attempts INTEGER NOT NULL,
        at_utc TEXT NOT NULL, at_monotonic_s REAL NOT NULL
    ) STRICT
    """,
    "ALTER TABLE slices RENAME COLUMN jls TO hu",
)
