"""The slices of suspicions, to be scrolled through: kept after the result, forgotten before it.

They are large, so each step is a short transaction, and what describes the stack is written last:
without that none of its slices is shown. Those of a suspicion that nobody has acknowledged stay.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from datetime import timedelta
from itertools import islice
from typing import Final

from agent.errors import StoreUnwritable
from agent.records import EncodedSlice, Instant
from agent.report import SliceStack
from agent.store.database import Database, insert
from agent.store.rows import Keep, moment_columns

SLICES_PER_STEP: Final = 8
"""Some 0.06 s of encoding, and a commit of one or two MB."""

ROOM_BYTES: Final = 256 * 2**20
"""Less room than this is left to results [bytes]. Ours: that of a thousand of them."""

MOST_FORGOTTEN: Final = 10
"""Stacks that are forgotten at once; one takes some 10 ms."""

HALVES: Final = """
    DELETE FROM slices
    WHERE (series_uid, revision) NOT IN (SELECT series_uid, revision FROM volumes)
"""

FORGETTABLE: Final = """
    SELECT series_uid, revision, bytes, at_utc FROM volumes WHERE EXISTS (
        SELECT 1 FROM acknowledgements AS given
        WHERE given.series_uid = volumes.series_uid AND given.revision >= volumes.revision)
    ORDER BY at_utc
"""


def slices_kept(
    database: Database,
    result: tuple[str, int],
    stack: SliceStack,
    slices: Iterable[EncodedSlice],
    now: Instant,
) -> Iterator[None]:
    """Keep the slices of a result (series UID, revision), some at each step.

    Raises
    ------
    StoreUnwritable
        The disk has no room to spare for them. What is written by then is dropped by the next.
    """
    named = dict(zip(("series_uid", "revision"), result, strict=True))
    with database.writing() as db:
        db.execute(HALVES)
    n_bytes, rest = 0, iter(slices)
    while some := list(islice(rest, SLICES_PER_STEP)):
        if database.room_bytes() < ROOM_BYTES:
            raise StoreUnwritable("store_disk_low", needed_mib=ROOM_BYTES // 2**20)
        with database.writing() as db:
            for each in some:
                insert(db, "slices", named | asdict(each))
        n_bytes += sum(len(each.jls) + len(each.outline_png or b"") for each in some)
        yield
    whole = {"stack": stack.model_dump_json(), "bytes": n_bytes, **moment_columns("at", now)}
    with database.writing() as db:
        insert(db, "volumes", named | whole)
        for table in ("volumes", "slices"):  # of a superseded revision: no page shows them
            db.execute(f"DELETE FROM {table} WHERE series_uid = ? AND revision < ?", result)  # noqa: S608


def slices_bytes(database: Database) -> int:
    """Return how much all kept slices take up [bytes]."""
    return int(database.rows("SELECT coalesce(sum(bytes), 0) AS n FROM volumes")[0]["n"])


def forget_slices(database: Database, keep: Keep, now: Instant) -> int:
    """Forget slices that are too old or too many, the oldest first; returns of how many results."""
    before, left_bytes = (now.utc - timedelta(days=keep.days)).isoformat(), slices_bytes(database)
    n_forgotten = 0
    for stack in database.rows(FORGETTABLE)[:MOST_FORGOTTEN]:
        if stack["at_utc"] >= before and left_bytes <= keep.bytes:
            break
        with database.writing() as db:
            for table in ("volumes", "slices"):
                db.execute(
                    f"DELETE FROM {table} WHERE series_uid = ? AND revision = ?",  # noqa: S608
                    (stack["series_uid"], stack["revision"]),
                )
        left_bytes -= stack["bytes"]
        n_forgotten += 1
    return n_forgotten
