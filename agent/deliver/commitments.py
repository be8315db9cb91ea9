"""What archives have said of objects that they were asked to keep."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Final

from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

MOST_REMEMBERED: Final = 10_000
"""Objects of which it is remembered what archives said. Ours: those of 2000 results."""


class Commitments:
    """What archives answered, since this process began, when asked to keep objects."""

    def __init__(self) -> None:
        """Begin with nothing said."""
        self._changed = threading.Condition()
        self._requested: dict[str, None] = {}
        self._kept: dict[str, bool] = {}

    def request(self) -> str:
        """Return a UID for a request, whose report is then believed."""
        transaction_uid = str(generate_uid(prefix=None))
        with self._changed:
            self._requested[transaction_uid] = None
            _let_go(self._requested)
        return transaction_uid

    def report(self, said: Dataset) -> bool:
        """Take in a report; False where nobody asked for it.

        What counts are the lists of objects, not the report's event type: some archives send an
        empty list of failed objects on success too.
        """
        with self._changed:
            if said.get("TransactionUID") not in self._requested:
                return False
            for sequence, kept in (("ReferencedSOPSequence", True), ("FailedSOPSequence", False)):
                for item in said.get(sequence) or ():
                    self._kept[str(item.ReferencedSOPInstanceUID)] = kept
            _let_go(self._kept)
            self._changed.notify_all()
        return True

    def said_of(self, uids: Sequence[str], wait_s: float) -> list[bool | None]:
        """Return of each object whether it is kept, None where nothing was said in time."""
        with self._changed:
            self._changed.wait_for(lambda: all(uid in self._kept for uid in uids), wait_s)
            return [self._kept.get(uid) for uid in uids]

    def forget(self, uids: Sequence[str]) -> None:
        """Forget what was said of objects that are sent again."""
        with self._changed:
            for uid in uids:
                self._kept.pop(uid, None)


def _let_go(remembered: dict[str, None] | dict[str, bool]) -> None:
    while len(remembered) > MOST_REMEMBERED:
        del remembered[next(iter(remembered))]
