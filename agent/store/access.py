"""Who may use the console: named users, their sessions, and how often signing in was tried.

Times are of the monotonic clock, with the boot that they belong to: a clock that is set gains
nobody anything.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from agent.errors import AccessError
from agent.records import Instant
from agent.store.database import Database, insert

ROLES: Final = ("technologist", "service")

TRIES_KEPT_S: Final = 86_400.0
"""Tries under one key are forgotten after a day without another [s]. Ours."""

ONE_MORE_TRY: Final = "ON CONFLICT (key) DO UPDATE SET n = n + 1, last_s = excluded.last_s"

TRIES: Final = "SELECT * FROM tries WHERE key IN (SELECT value FROM json_each(?))"


@dataclass(frozen=True, slots=True)
class User:
    """Someone who may sign in. ``argon2`` is the password's hash in PHC's notation."""

    name: str
    role: str
    argon2: str
    added_utc: datetime


@dataclass(frozen=True, slots=True)
class Session:
    """Someone who is signed in; the role is the one that the user has at this moment."""

    user: str
    role: str
    boot_id: str
    began_monotonic_s: float
    used_monotonic_s: float


class Access:
    """The users, sessions and tries in a store."""

    def __init__(self, database: Database) -> None:
        """Ask and tell this database."""
        self._db = database

    def users(self) -> list[User]:
        """All users, by name."""
        return [_user(row) for row in self._db.rows("SELECT * FROM users ORDER BY name")]

    def user(self, name: str) -> User | None:
        """Return one user, None if there is none of that name; ASCII letters of either case."""
        rows = self._db.rows("SELECT * FROM users WHERE name = ?", name)
        return _user(rows[0]) if rows else None

    def add_user(self, name: str, role: str, argon2: str, now: Instant) -> None:
        """Add a user; AccessError if there is one of that name."""
        try:
            with self._db.writing() as db:
                added_utc = now.utc.isoformat()
                user = {"name": name, "role": role, "argon2": argon2, "added_utc": added_utc}
                insert(db, "users", user)
        except sqlite3.IntegrityError as error:
            raise AccessError("user_exists", name=name) from error

    def remove_user(self, name: str) -> None:
        """Remove a user with all sessions; AccessError if there is none."""
        with self._db.writing() as db:
            _one(db.execute("DELETE FROM users WHERE name = ?", (name,)), name)

    def set_role(self, name: str, role: str) -> None:
        """Give a user a role, at once also in open sessions; AccessError if there is none."""
        with self._db.writing() as db:
            _one(db.execute("UPDATE users SET role = ? WHERE name = ?", (role, name)), name)

    def set_password(self, name: str, argon2: str) -> None:
        """Set a user's password and end all sessions; AccessError if there is no such user."""
        with self._db.writing() as db:
            _one(db.execute("UPDATE users SET argon2 = ? WHERE name = ?", (argon2, name)), name)
            db.execute("DELETE FROM sessions WHERE user = ?", (name,))

    def rehash(self, name: str, before: str, argon2: str) -> None:
        """Store the same password's hash with other parameters, unless it was changed meanwhile."""
        with self._db.writing() as db:
            values = argon2, name, before
            db.execute("UPDATE users SET argon2 = ? WHERE name = ? AND argon2 = ?", values)

    def begin_session(self, token_sha256: str, user: str, now_s: float, boot_id: str) -> None:
        """Note that a user has signed in."""
        session = {
            "token_sha256": token_sha256,
            "user": user,
            "boot_id": boot_id,
            "began_monotonic_s": now_s,
            "used_monotonic_s": now_s,
        }
        with self._db.writing() as db:
            insert(db, "sessions", session)

    def session(self, token_sha256: str) -> Session | None:
        """Return a session, None if there is none."""
        rows = self._db.rows(
            "SELECT sessions.*, users.role FROM sessions JOIN users ON users.name = sessions.user"
            " WHERE token_sha256 = ?",
            token_sha256,
        )
        if not rows:
            return None
        return Session(
            user=rows[0]["user"],
            role=rows[0]["role"],
            boot_id=rows[0]["boot_id"],
            began_monotonic_s=rows[0]["began_monotonic_s"],
            used_monotonic_s=rows[0]["used_monotonic_s"],
        )

    def use_session(self, token_sha256: str, now_s: float) -> None:
        """Note that a session is in use."""
        with self._db.writing() as db:
            values = now_s, token_sha256
            db.execute("UPDATE sessions SET used_monotonic_s = ? WHERE token_sha256 = ?", values)

    def end_session(self, token_sha256: str) -> None:
        """Forget a session; there need be none."""
        with self._db.writing() as db:
            db.execute("DELETE FROM sessions WHERE token_sha256 = ?", (token_sha256,))

    def end_sessions(self, began_before_s: float, boot_id: str) -> None:
        """Forget the sessions that began before a moment or in another boot."""
        with self._db.writing() as db:
            values = began_before_s, boot_id
            db.execute("DELETE FROM sessions WHERE began_monotonic_s < ? OR boot_id <> ?", values)

    def take_try(
        self,
        keys: Iterable[str],
        wait_s: Callable[[str, int, float], float],
        now_s: float,
        boot_id: str,
    ) -> float:
        """Count a try to sign in under each key, unless one of them has to wait.

        ``wait_s`` tells, of a key, the number of its tries and the age of the last [s], for how
        long. Returns the longest such wait [s]; 0 where the try was counted and may be made. It is
        counted before it is made, so that tries at the same moment gain nothing.
        """
        keys = tuple(keys)
        with self._db.writing() as db:
            db.execute("UPDATE tries SET boot_id = ?1, last_s = 0 WHERE boot_id <> ?1", (boot_id,))
            db.execute("DELETE FROM tries WHERE last_s < ?", (now_s - TRIES_KEPT_S,))
            rows = db.execute(TRIES, (json.dumps(keys),))
            longest_s = _longest_wait_s(rows, wait_s, now_s)
            if longest_s == 0:
                for key in keys:
                    first = {"key": key, "n": 1, "last_s": now_s, "boot_id": boot_id}
                    insert(db, "tries", first, ONE_MORE_TRY)
        return longest_s

    def forgive(self, forget: Iterable[str], take_back: Iterable[str]) -> None:
        """Forget the tries under some keys, and take one back under others: signing in worked."""
        with self._db.writing() as db:
            db.executemany("DELETE FROM tries WHERE key = ?", [(key,) for key in forget])
            back = [(key,) for key in take_back]
            db.executemany("UPDATE tries SET n = max(0, n - 1) WHERE key = ?", back)

    def wait_s(
        self, keys: Iterable[str], wait_s: Callable[[str, int, float], float], now_s: float
    ) -> float:
        """Return for how long a next try under these keys has to wait [s]; see ``take_try``."""
        rows = self._db.rows(TRIES, json.dumps(tuple(keys)))
        return _longest_wait_s(rows, wait_s, now_s)


def _longest_wait_s(
    rows: Iterable[sqlite3.Row], wait_s: Callable[[str, int, float], float], now_s: float
) -> float:
    return max((wait_s(row["key"], row["n"], now_s - row["last_s"]) for row in rows), default=0.0)


def _one(changed: sqlite3.Cursor, name: str) -> None:
    if not changed.rowcount:
        raise AccessError("no_such_user", name=name)


def _user(row: sqlite3.Row) -> User:
    added = datetime.fromisoformat(row["added_utc"])
    return User(row["name"], row["role"], row["argon2"], added)
