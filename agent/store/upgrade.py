"""The store brought from one version to the next: forward only, and never without a copy of it.

Each version's statements are in ``schema``. All of them run in one transaction, so that a store is
of the old version or of the new one, whatever happens.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agent.errors import StoreError, StoreUnwritable
from agent.reasons import Reason
from agent.store.former import register
from agent.store.schema import MIGRATIONS

MOST_BACKUPS: Final = 3
"""Of the latest upgrades."""

SPARE_BYTES: Final = 64 * 1024 * 1024
"""Room that is left on the disk beside a backup [bytes]. Ours: a day's results."""


@dataclass(frozen=True, slots=True)
class UpgradeCheck:
    """What opening the store with this program would do. ``problem`` is None where it succeeds.

    ``version`` is None where there is no store. ``statements`` is what would be run.
    """

    version: int | None
    program_version: int
    statements: tuple[str, ...]
    store_bytes: int
    free_bytes: int
    problem: Reason | None


def migrate(db: sqlite3.Connection, path: Path) -> None:
    """Bring a store to this program's version, within the caller's transaction.

    A store that holds something is copied first; the caller's lock keeps other processes from
    changing it meanwhile, and from migrating it too.

    Raises
    ------
    StoreError
        If it is of a newer version than this program knows.
    StoreUnwritable
        If there is no room for the copy.
    """
    version = version_of(db)
    refuse_newer(version, path)
    if 0 < version < len(MIGRATIONS):
        back_up(path, version)
    register(db)
    for statement in statements_from(version):
        db.execute(statement)
    db.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")


def version_of(db: sqlite3.Connection) -> int:
    """Return which version a store is of, 0 for an empty one."""
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def version_at(path: Path) -> int | None:
    """Return which version the store at a path is of, None where there is none.

    It is opened for reading alone. Raises StoreError if it is no store.
    """
    if not path.exists():
        return None
    try:
        with closing(read_only(path)) as db:
            return version_of(db)
    except sqlite3.Error as error:
        raise StoreError("store_unreadable", path=str(path), why=str(error)) from error


def refuse_newer(version: int, path: Path) -> None:
    """Refuse to go back: what a newer program stores, this one cannot read."""
    if version > len(MIGRATIONS):
        raise StoreError("store_newer", path=str(path), version=version, known=len(MIGRATIONS))


def require_this_version(path: Path) -> int:
    """Refuse a store that opening would make or change; returns the version, which is this one's.

    Raises
    ------
    StoreError
        If there is none at ``path``, or it is of another version, or no store.
    """
    version = version_at(path)
    if version is None:
        raise StoreError("no_store", path=str(path))
    refuse_newer(version, path)
    if version < len(MIGRATIONS):
        raise StoreError("store_older", path=str(path), version=version, known=len(MIGRATIONS))
    return version


def statements_from(version: int) -> tuple[str, ...]:
    """Return the statements that bring a store of a version to this program's."""
    parts = (part for migration in MIGRATIONS[version:] for part in migration.split(";"))
    return tuple(part.strip() for part in parts if part.strip())


def backups_of(path: Path) -> list[Path]:
    """Return the copies beside a store, the latest first."""
    backups = path.parent.glob(f"{path.name}.v*.backup")
    return sorted(backups, key=lambda backup: backup.stat().st_mtime_ns, reverse=True)


def back_up(path: Path, version: int) -> Path:
    """Copy a store beside itself, for those alone who can read it; the oldest copies go.

    Raises
    ------
    StoreUnwritable
        If there is no room.
    """
    short = _shortage(path)
    if short:
        raise StoreUnwritable(short)
    backup = path.with_name(f"{path.name}.v{version}.backup")
    partial = backup.with_name(f".{backup.name}.partial")
    partial.unlink(missing_ok=True)
    _copy(path, partial)
    partial.replace(backup)
    for old in backups_of(path)[MOST_BACKUPS:]:
        old.unlink()
    return backup


def check(path: Path) -> UpgradeCheck:
    """Try on a copy what opening a store with this program would do; the store is not touched.

    Raises
    ------
    StoreError
        If it is of a newer version, or no store.
    """
    version = version_at(path)
    if version is None:
        return UpgradeCheck(None, len(MIGRATIONS), (), 0, _free_bytes(path), None)
    refuse_newer(version, path)
    statements = statements_from(version)
    return UpgradeCheck(
        version=version,
        program_version=len(MIGRATIONS),
        statements=statements,
        store_bytes=_size_bytes(path),
        free_bytes=_free_bytes(path),
        problem=_tried(path, statements),
    )


def _tried(path: Path, statements: Iterable[str]) -> Reason | None:
    """Run statements on a copy; why that fails, None if it does not."""
    short = _shortage(path)
    if short:
        return short
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".upgrade-") as scratch:
        copy = Path(scratch) / path.name
        try:
            _copy(path, copy)
            with closing(sqlite3.connect(copy, isolation_level=None)) as db:
                db.execute("PRAGMA foreign_keys = ON")
                before = _damage(db)
                if before is None:
                    _run(db, statements)
                return before or _damage(db)
        except sqlite3.Error as error:
            return Reason("migration_failed", why=str(error))


def _run(db: sqlite3.Connection, statements: Iterable[str]) -> None:
    register(db)
    db.execute("BEGIN IMMEDIATE")
    for statement in statements:
        db.execute(statement)
    db.execute("COMMIT")


def _damage(db: sqlite3.Connection) -> Reason | None:
    """Say what is wrong within a store, None if nothing is."""
    (said,) = db.execute("PRAGMA integrity_check(1)").fetchone()
    if said != "ok":
        return Reason("store_damaged", why=said)
    broken = db.execute("PRAGMA foreign_key_check").fetchone()
    return Reason("store_row_dangling", table=broken[0], to=broken[2]) if broken else None


def _copy(path: Path, to: Path) -> None:
    """Copy a store as it was last committed, with its owner and mode."""
    owner = path.stat()
    os.close(os.open(to, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    with closing(read_only(path)) as source, closing(sqlite3.connect(to)) as copy:
        source.backup(copy)
    if os.geteuid() == 0:
        os.chown(to, owner.st_uid, owner.st_gid)
    to.chmod(owner.st_mode & 0o777)


def read_only(path: Path) -> sqlite3.Connection:
    """Open a store's file for reading alone: nothing is made, upgraded or written."""
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)


def _shortage(path: Path) -> Reason | None:
    needed, free = _size_bytes(path) + SPARE_BYTES, _free_bytes(path)
    if free >= needed:
        return None
    return Reason("store_backup_short", needed_mb=needed / 1e6, free_mb=free / 1e6)


def _size_bytes(path: Path) -> int:
    with closing(read_only(path)) as db:
        (pages,), (size,) = (
            db.execute(f"PRAGMA {n}").fetchone() for n in ("page_count", "page_size")
        )
    return int(pages) * int(size)


def _free_bytes(path: Path) -> int:
    return shutil.disk_usage(path.absolute().parent).free
