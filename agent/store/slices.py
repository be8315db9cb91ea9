"""The slices of series that have an answer, to be scrolled through; stored after the result.

They are large, so that they are written in several short transactions. The stack's description is
written last: without it none of its slices is shown. Those of a suspicion that nobody has
acknowledged are not deleted.
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
"""Slices in one transaction. Ours: some 0.06 s of encoding, and a commit of one or two MB."""

ROOM_BYTES: Final = 256 * 2**20
"""Free space that is reserved for results [bytes]. Ours: a thousand of them."""

MOST_FORGOTTEN: Final = 10
"""Stacks deleted at one call; each takes some 10 ms. Ours."""

INCOMPLETE: Final = """
    DELETE FROM slices
    WHERE (series_uid, revision) NOT IN (SELECT series_uid, revision FROM volumes)
"""

FORGETTABLE: Final = """
    SELECT series_uid, revision, bytes, volumes.at_utc
    FROM volumes JOIN results USING (series_uid, revision)
    WHERE state <> 'suspected' OR EXISTS (
        SELECT 1 FROM acknowledgements AS given
        WHERE given.series_uid = volumes.series_uid AND given.revision >= volumes.revision)
    ORDER BY state = 'suspected', volumes.at_utc
"""
"""What is not suspected goes before what is, whichever is older."""

SUPERSEDED: Final = """
    series_uid = ?1 AND revision < ?2 AND EXISTS (
        SELECT 1 FROM results AS former JOIN results AS new USING (series_uid)
        WHERE former.series_uid = ?1 AND former.revision = {0}.revision AND new.revision = ?2
        AND (new.state = 'suspected' OR former.state <> 'suspected'))
"""
"""Condition: no page shows these slices any more. A suspicion stands until somebody answers it,
whatever comes later."""


def slices_kept(
    database: Database,
    result: tuple[str, int],
    stack: SliceStack,
    slices: Iterable[EncodedSlice],
    now: Instant,
) -> Iterator[None]:
    """Store the slices of a result (series UID, revision), some at each step of the iterator.

    Raises
    ------
    StoreUnwritable
        If the disk has no space to spare. Those written by then are deleted with the next stack.
    """
    named = dict(zip(("series_uid", "revision"), result, strict=True))
    with database.writing() as db:
        db.execute(INCOMPLETE)
    n_bytes, rest = 0, iter(slices)
    while some := list(islice(rest, SLICES_PER_STEP)):
        if database.room_bytes() < ROOM_BYTES:
            raise StoreUnwritable("store_disk_low", needed_mib=ROOM_BYTES // 2**20)
        with database.writing() as db:
            for each in some:
                insert(db, "slices", named | asdict(each))
        n_bytes += sum(_n_bytes(each) for each in some)
        yield
    whole = {"stack": stack.model_dump_json(), "bytes": n_bytes, **moment_columns("at", now)}
    with database.writing() as db:
        insert(db, "volumes", named | whole)
        for table in ("volumes", "slices"):
            db.execute(f"DELETE FROM {table} WHERE {SUPERSEDED.format(table)}", result)  # noqa: S608


def _n_bytes(one: EncodedSlice) -> int:
    return sum(len(part or b"") for part in (one.hu, one.outline_png, one.findings_z, one.maps_z))


def slices_bytes(database: Database) -> int:
    """Return the size of all stored slices [bytes]."""
    return int(database.rows("SELECT coalesce(sum(bytes), 0) AS n FROM volumes")[0]["n"])


def forget_slices(database: Database, keep: Keep, now: Instant) -> int:
    """Delete the oldest stacks while they are too old or too many; returns how many."""
    before, left_bytes = (now.utc - timedelta(days=keep.days)).isoformat(), slices_bytes(database)
    n_forgotten = 0
    for stack in database.rows(FORGETTABLE):
        if n_forgotten == MOST_FORGOTTEN or (
            stack["at_utc"] >= before and left_bytes <= keep.bytes
        ):
            continue
        with database.writing() as db:
            for table in ("volumes", "slices"):
                db.execute(
                    f"DELETE FROM {table} WHERE series_uid = ? AND revision = ?",  # noqa: S608
                    (stack["series_uid"], stack["revision"]),
                )
        left_bytes -= stack["bytes"]
        n_forgotten += 1
    return n_forgotten
