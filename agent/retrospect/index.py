"""Which files of an archive belong to which series: looked up once, and kept in SQLite.

It holds paths and series UIDs. An archive is at rest: a file is looked at once.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Final

from agent.assemble.dicom_file import read_slices
from agent.assemble.header import SliceRefused
from agent.assemble.limits import ReadLimits
from agent.errors import FileRefused, FolderUnreachable
from agent.reasons import Reason
from agent.records import SliceHeader
from agent.watch.filesystem import files_in

FILES_PER_COMMIT: Final = 200

SCHEMA: Final = """
PRAGMA journal_mode = WAL;
CREATE TABLE IF NOT EXISTS files (path BLOB PRIMARY KEY, series_uid TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_series ON files (series_uid);
"""


class ArchiveIndex:
    """The index of one archive, in one file. Killed at any instant, it goes on from there."""

    def __init__(self, path: Path, limits: ReadLimits) -> None:
        """Open it, or make it."""
        self._db = sqlite3.connect(path)
        self._db.executescript(SCHEMA)
        self._limits = limits

    def take_in(self, archive: Path) -> Iterator[int]:
        """Look at each file below a folder that is not known yet; yields how many were, so far.

        Raises
        ------
        FolderUnreachable
            If a folder in it cannot be listed: what is in it would be missed.
        """

        def denied(path: str, error: OSError) -> None:
            raise FolderUnreachable("folder_unlistable", folder=path, why=str(error.strerror))

        paths = (os.fsencode(path) for path, _ in files_in(str(archive), denied))
        new = (path for path in paths if not self._knows(path))
        taken = 0
        while some := list(islice(new, FILES_PER_COMMIT)):
            rows = [(path, self._series_of(Path(os.fsdecode(path)))) for path in some]
            with self._db:
                self._db.executemany("INSERT OR IGNORE INTO files VALUES (?, ?)", rows)
            taken += len(some)
            yield taken

    def series(self) -> list[str]:
        """Return the UIDs of all series, in their order."""
        with closing(self._db.execute("SELECT DISTINCT series_uid FROM files ORDER BY 1")) as rows:
            return [uid for (uid,) in rows if uid]

    def files(self, series_uid: str) -> tuple[Path, ...]:
        """Return a series' files, in their order."""
        found = self._db.execute(
            "SELECT path FROM files WHERE series_uid = ? ORDER BY path", (series_uid,)
        )
        return tuple(Path(os.fsdecode(path)) for (path,) in found)

    @property
    def n_others(self) -> int:
        """Files that are of no CT series."""
        (count,) = self._db.execute("SELECT count(*) FROM files WHERE series_uid = ''").fetchone()
        return int(count)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def _knows(self, path: bytes) -> bool:
        found = self._db.execute("SELECT 1 FROM files WHERE path = ?", (path,))
        return found.fetchone() is not None

    def _series_of(self, path: Path) -> str:
        """Tell a file's series, "" for none, by the reader that will read it; pixels are left."""
        try:
            slices = read_slices(path, self._limits, unneeded=_no_pixels)
        except SliceRefused as refused:  # so is what was not needed
            return refused.owner.series_uid
        except FileRefused:
            return ""
        return slices[0].header.series_uid


def _no_pixels(_uid: str, _header: SliceHeader) -> Reason:
    return Reason("nothing_new")
