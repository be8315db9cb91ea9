"""Who may use the console: users, their sessions, and the attempts to sign in.

Times are monotonic, with the boot that they belong to: setting the wall clock neither prolongs a
session nor shortens a wait.
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

ROLES: Final = ("technologist", "radiologist", "service")

ATTEMPTS_KEPT_S: Final = 86_400.0
"""Attempts under a key are forgotten after a day without another [s]. Ours."""

ONE_MORE_ATTEMPT: Final = "ON CONFLICT (key) DO UPDATE SET n = n + 1, last_s = excluded.last_s"

ATTEMPTS: Final = "SELECT * FROM tries WHERE key IN (SELECT value FROM json_each(?))"


@dataclass(frozen=True, slots=True)
class User:
    """Someone who may sign in. ``argon2`` is the password's hash in PHC's notation."""

    name: str
    role: str
    argon2: str
    added_utc: datetime


@dataclass(frozen=True, slots=True)
class Session:
    """Someone who is signed in; ``role`` is the one that the user has now."""

    user: str
    role: str
    boot_id: str
    began_monotonic_s: float
    used_monotonic_s: float


class Accounts:
    """The users, sessions and sign-in attempts in a store."""

    def __init__(self, database: Database) -> None:
        """Read and write this database."""
        self._db = database

    def users(self) -> list[User]:
        """All users, by name."""
        return [_user(row) for row in self._db.rows("SELECT * FROM users ORDER BY name")]

    def user(self, name: str) -> User | None:
        """Return a user, None if there is none of that name; ASCII letters match in either case."""
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
        """Store a new session."""
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
        """Store when a session was last used."""
        with self._db.writing() as db:
            values = now_s, token_sha256
            db.execute("UPDATE sessions SET used_monotonic_s = ? WHERE token_sha256 = ?", values)

    def end_session(self, token_sha256: str) -> None:
        """Delete a session, if there is one."""
        with self._db.writing() as db:
            db.execute("DELETE FROM sessions WHERE token_sha256 = ?", (token_sha256,))

    def end_sessions(self, began_before_s: float, boot_id: str) -> None:
        """Delete the sessions that began before a moment or in another boot."""
        with self._db.writing() as db:
            values = began_before_s, boot_id
            db.execute("DELETE FROM sessions WHERE began_monotonic_s < ? OR boot_id <> ?", values)

    def count_attempt(
        self,
        keys: Iterable[str],
        wait_s: Callable[[str, int, float], float],
        now_s: float,
        boot_id: str,
    ) -> float:
        """Count an attempt to sign in under each key, unless one of the keys has to wait.

        ``wait_s`` (key, number of attempts, age of the last [s]) returns that wait [s]. Returns
        the longest of them; 0 where the attempt was counted and may be made. It is counted before
        the password is checked, so that simultaneous attempts gain nothing.
        """
        keys = tuple(keys)
        with self._db.writing() as db:
            db.execute("UPDATE tries SET boot_id = ?1, last_s = 0 WHERE boot_id <> ?1", (boot_id,))
            db.execute("DELETE FROM tries WHERE last_s < ?", (now_s - ATTEMPTS_KEPT_S,))
            rows = db.execute(ATTEMPTS, (json.dumps(keys),))
            longest_s = _longest_wait_s(rows, wait_s, now_s)
            if longest_s == 0:
                for key in keys:
                    first = {"key": key, "n": 1, "last_s": now_s, "boot_id": boot_id}
                    insert(db, "tries", first, ONE_MORE_ATTEMPT)
        return longest_s

    def reset_attempts(self, forget: Iterable[str], take_back: Iterable[str]) -> None:
        """After a sign-in: forget the attempts under some keys, and the latest one under others."""
        with self._db.writing() as db:
            db.executemany("DELETE FROM tries WHERE key = ?", [(key,) for key in forget])
            back = [(key,) for key in take_back]
            db.executemany("UPDATE tries SET n = max(0, n - 1) WHERE key = ?", back)

    def wait_s(
        self, keys: Iterable[str], wait_s: Callable[[str, int, float], float], now_s: float
    ) -> float:
        """Return how long the next attempt under these keys would have to wait [s]."""
        rows = self._db.rows(ATTEMPTS, json.dumps(tuple(keys)))
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
