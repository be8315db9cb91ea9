"""The export for a registry of AI results, made of the store and written as files."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Final

from agent.errors import RequestRefused
from agent.handover.new_folder import new_folder
from agent.handover.registry import RegistryRow, csv_of, row_of
from agent.handover.registry_fhir import bundle_of
from agent.store.queries import Queries

KEY_BYTES: Final = 32
"""Of the key that examinations are named by: as long as the hash. Source: RFC 2104, 3."""

MODE: Final = 0o600

MOST: Final = 10**9
"""Examinations: more than any store holds."""


def export_registry(
    queries: Queries, since: datetime, until: datetime, key_file: Path, folder: Path
) -> int:
    """Write what came from ``since`` until before ``until`` [UTC] into a new folder, twice.

    As CSV, and as a FHIR Bundle. Returns how many examinations are in it. ``key_file`` is made
    where it is not there.

    Raises
    ------
    RequestRefused
        If there is none, or the folder is there already or cannot be written.
    """
    key = _key(key_file)
    rows = sorted(_rows(queries, since, until, key), key=lambda row: row.examination)
    if not rows:
        raise RequestRefused("registry_empty")
    with new_folder(folder) as made:
        (made / "registry.csv").write_text(csv_of(rows), encoding="utf-8", newline="")
        bundle = json.dumps(bundle_of(rows), indent=1)
        (made / "registry.fhir.json").write_text(f"{bundle}\n", encoding="utf-8")
    return len(rows)


def _rows(queries: Queries, since: datetime, until: datetime, key: bytes) -> Iterator[RegistryRow]:
    for one in queries.examinations(MOST, since=since):
        speaker = one.series[0]
        if one.last_utc < until:
            readings = queries.readings(speaker.uid)
            signed = bool(queries.signed_reports(series.uid for series in one.series))
            row = row_of(one, readings, key, report_signed=signed)
            if row:
                yield row


def _key(path: Path) -> bytes:
    """Return the box's key, made the first time; the services' account may read what root made."""
    try:
        if not path.exists():
            opened = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, MODE)
            with os.fdopen(opened, "wb") as file:
                file.write(secrets.token_bytes(KEY_BYTES))
            if os.geteuid() == 0:
                folder = path.parent.stat()
                os.chown(path, folder.st_uid, folder.st_gid)
        key = path.read_bytes()
    except OSError as error:
        raise RequestRefused(
            "registry_key_unusable", path=str(path), why=str(error.strerror)
        ) from error
    if len(key) != KEY_BYTES:
        raise RequestRefused("registry_key_unusable", path=str(path), why="it is no key")
    return key
