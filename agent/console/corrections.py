"""Corrections of patients at the source, which the agent has found: each goes to the audit log.

Once; after a crash between the log and the store, once more.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

from starlette.concurrency import run_in_threadpool

from agent.console.audit import AuditLog
from agent.errors import StoreUnwritable
from agent.store.console_store import ConsoleStore

LOOK_S: Final = 1.0
"""Between two looks for corrections that are not in the log [s]. Ours."""


@asynccontextmanager
async def recording_corrections(store: ConsoleStore, audit: AuditLog) -> AsyncIterator[None]:
    """Record corrections in the audit log within this context."""

    async def keep_looking() -> None:
        while True:
            await run_in_threadpool(record_corrections, store, audit)
            await asyncio.sleep(LOOK_S)

    task = asyncio.create_task(keep_looking())
    try:
        yield
    finally:
        task.cancel()


def record_corrections(store: ConsoleStore, audit: AuditLog) -> None:
    """Record the corrections that are not in the audit log yet; later, where the disk is full."""
    with suppress(StoreUnwritable):  # then the page itself says that it is
        for correction_id, study_uid, series_uid in store.queries.corrections_to_record():
            audit.corrected(study_uid, series_uid)
            store.correction_recorded(correction_id)
