"""The SQLite file: opened, migrated, read, and written in whole transactions."""

from __future__ import annotations

import json
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from typing_extensions import Self

from agent.errors import StoreError, StoreUnwritable
from agent.store.upgrade import migrate, require_this_version

BUSY_MS: Final = 5000
"""How long a process waits for another's transaction to end [ms]."""

RETRY_S: Final = 0.01
"""Between two attempts where SQLite itself does not wait [s]."""

LOCKED: Final = "database is locked"

TRANSIENT: Final = (
    "disk is full",
    "disk I/O error",
    LOCKED,
    "unable to open database file",
    "readonly database",
)
"""SQLite's messages where the disk, another process or missing rights are the cause.
Source: sqlite3ErrStr in SQLite's main.c."""


class Database:
    """One connection, shared by all threads of a process."""

    def __init__(self, path: Path) -> None:
        """Open ``path``, making or upgrading it; before an upgrade it is copied beside itself.

        Raises
        ------
        StoreError
            If it cannot be opened, or a newer version wrote it.
        StoreUnwritable
            If the disk is full or failing, or another process holds it.
        """
        self._lock = threading.Lock()
        self._folder = path.absolute().parent
        try:
            self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            self._db.row_factory = sqlite3.Row
            self._db.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
            _switch_to_wal(self._db)
            for pragma in ("synchronous = FULL", "foreign_keys = ON"):
                self._db.execute(f"PRAGMA {pragma}")
            with self.writing() as db:  # agent and console may open it at the same moment
                migrate(db, path)
        except sqlite3.Error as error:
            if _is_transient(error):
                raise _unwritable(error) from error
            raise StoreError("not_a_store", path=str(path), why=str(error)) from error

    @classmethod
    def existing(cls, path: Path) -> Self:
        """Open an existing store of this program's version; none is made or upgraded.

        The one way to open a store only to read it. Raises StoreError where it cannot be.
        """
        require_this_version(path)
        return cls(path)

    def __enter__(self) -> Self:
        """Use as a context manager: closes at the end."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connection, once no thread reads by it: SQLite would crash the process."""
        with self._lock:
            self._db.close()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Run the block in one transaction, all of it or nothing.

        Raises
        ------
        StoreUnwritable
            If nothing was written: the disk is full or failing, or another process holds the store.
        """
        with self._lock, _translated():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:  # a full disk has rolled back already
                    self._db.execute("ROLLBACK")
                raise

    def rows(self, sql: str, *values: object) -> list[sqlite3.Row]:
        """Read rows; StoreUnwritable where the disk fails."""
        with self._lock, _translated():
            return self._db.execute(sql, values).fetchall()

    def rows_named(self, sql: str, values: Mapping[str, object]) -> list[sqlite3.Row]:
        """Read rows, with values given by name; StoreUnwritable where the disk fails."""
        with self._lock, _translated():
            return self._db.execute(sql, values).fetchall()

    def change_mark(self) -> int:
        """Return a value that changes whenever any process has committed."""
        with self._lock, _translated():
            (others,) = self._db.execute("PRAGMA data_version").fetchone()
            return int(others) * 1_000_000_007 + self._db.total_changes

    def rows_of_series(self, table: str, uids: Iterable[str], then: str) -> list[sqlite3.Row]:
        """Return a table's rows of some series, oldest first; those of one moment by ``then``."""
        return self.rows(
            f"SELECT * FROM {table} WHERE series_uid IN (SELECT value FROM json_each(?))"  # noqa: S608 - names of ours
            f" ORDER BY at_utc, {then}",
            json.dumps(list(uids)),
        )

    def used_bytes(self) -> int:
        """Return the size of the rows, without free pages [bytes]."""
        pages, free, size = (
            int(self.rows(f"PRAGMA {name}")[0][name])
            for name in ("page_count", "freelist_count", "page_size")
        )
        return (pages - free) * size

    def room_bytes(self) -> int:
        """Return how much more can be stored: free space on the disk, and free pages [bytes]."""
        pages, size = (
            int(self.rows(f"PRAGMA {name}")[0][name]) for name in ("freelist_count", "page_size")
        )
        return self.free_bytes() + pages * size

    def free_bytes(self) -> int:
        """Return the free space on the store's disk [bytes]."""
        return shutil.disk_usage(self._folder).free


def insert(
    db: sqlite3.Connection, table: str, values: Mapping[str, object], on_conflict: str = ""
) -> sqlite3.Cursor:
    """Insert one row, given by column; ``on_conflict`` is SQL's ON CONFLICT clause."""
    return db.execute(f"INSERT INTO {table} {_columns(values)} {on_conflict}", values)


def replace(db: sqlite3.Connection, table: str, values: Mapping[str, object]) -> None:
    """Insert one row, given by column, in place of one with the same key."""
    db.execute(f"REPLACE INTO {table} {_columns(values)}", values)


def _columns(values: Mapping[str, object]) -> str:
    return f"({', '.join(values)}) VALUES ({', '.join(f':{column}' for column in values)})"


def _switch_to_wal(db: sqlite3.Connection) -> None:
    """Switch the store to write-ahead logging.

    Where two processes open a new store at once, one switches and the other finds it locked. The
    busy timeout does not apply, since a lock is being upgraded, so it is tried again here.
    """
    give_up_s = time.monotonic() + BUSY_MS / 1000
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if LOCKED not in str(error) or time.monotonic() > give_up_s:
                raise
            time.sleep(RETRY_S)
        else:
            return


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        if _is_transient(error):
            raise _unwritable(error) from error
        raise


def _is_transient(error: sqlite3.Error) -> bool:
    """Tell trouble that may pass from a bug, by message: error codes need Python 3.11."""
    return any(words in str(error) for words in TRANSIENT)


def _unwritable(error: sqlite3.Error) -> StoreUnwritable:
    if LOCKED in str(error):
        return StoreUnwritable("store_locked", why=str(error))
    return StoreUnwritable("store_unwritable", why=str(error))
