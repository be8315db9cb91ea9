"""Compares whose images came with whom the worklist expects; in the delivery service's process.

No answer waits for it: that is told as soon as it is there, and a doubt joins it when the worklist
has answered.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, timedelta
from typing import Final, TypeAlias

from structlog.typing import FilteringBoundLogger

from agent.deliver.expected import Expected, doubt_of
from agent.deliver.settings import WorklistSettings
from agent.errors import DeliveryError
from agent.reasons import Reason
from agent.records import Clock
from agent.store.delivery_store import DeliveryStore

LOOKED_BACK: Final = timedelta(hours=12)
"""Images that came since are compared. Ours: a shift; the worklist is asked for two days."""

Worklist: TypeAlias = Callable[[date], Sequence[Expected]]
"""Asks whom a day, as the box counts it, and the one before expect; raises DeliveryError."""


class IdentityCheck:
    """Keeps, for each study of the last hours, whether it is doubted whose images it holds."""

    def __init__(
        self,
        settings: WorklistSettings,
        worklist: Worklist,
        store: DeliveryStore,
        clock: Clock,
        log: FilteringBoundLogger,
    ) -> None:
        """Ask this worklist, as often as the settings say."""
        self._settings = settings
        self._worklist = worklist
        self._store = store
        self._clock = clock
        self._log = log
        self._asked_s: float | None = None

    def turn(self) -> int:
        """Ask and compare where that is due; returns how many studies are newly judged.

        Where the worklist gives no answer, or one that cannot be used, nothing changes.
        """
        now = self._clock()
        if self._asked_s is not None and now.monotonic_s - self._asked_s < self._settings.refresh_s:
            return 0
        self._asked_s = now.monotonic_s
        try:
            entries = self._worklist(now.utc.astimezone().date())
        except DeliveryError as error:
            self._log.warning("worklist_not_read", code=error.reason.code)
            return 0
        known, found = self._store.doubts(), dict[str, Reason | None]()
        for identity in self._store.seen_since(now.utc - LOOKED_BACK):
            doubt = doubt_of(identity, entries)
            found[identity.study_uid] = found.get(identity.study_uid) or doubt
        changed = {uid: why for uid, why in found.items() if known.get(uid) != why}
        for study_uid, why in changed.items():
            self._store.doubt(study_uid, why)
            self._log.info("identity_judged", study_uid=study_uid, code=why.code if why else None)
        return len(changed)


def modality_worklist(settings: WorklistSettings) -> Worklist:
    """Return what asks the worklist of these settings, by DICOM."""

    def ask(day: date) -> Sequence[Expected]:
        from agent.deliver.worklist import expected_on  # noqa: PLC0415 - of the dicom extra

        return expected_on(settings, day)

    return ask
