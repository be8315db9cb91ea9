"""What a scanner says of its procedure step (MPPS), and how nonsense in it is answered. Pure.

Of a step its state is kept, and how many images it lists of each series: a hint, by which a series
of which fewer have come is waited for a little longer. Whose step it is, is not looked at.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from pydicom.dataset import Dataset

from agent.reasons import Reason
from agent.records import STORABLE_UID, PerformedStep

PROCEDURE_STEP: Final = "1.2.840.10008.3.1.2.3.3"
"""Modality Performed Procedure Step SOP Class. Source: PS3.4 annex F.7."""

STATUSES: Final = {
    "object_uid_unfit": 0x0117,  # invalid SOP instance
    "object_too_large": 0x0110,  # processing failure, as are the following
    "inlet_memory_taken": 0x0110,
    "step_unreadable": 0x0110,
    "step_ended": 0x0110,
    "step_not_stored": 0x0110,
    "step_value_missing": 0x0120,  # missing attribute
    "step_value_unfit": 0x0106,  # invalid attribute value
    "step_known": 0x0111,  # duplicate SOP instance
    "step_unknown": 0x0112,  # no such SOP instance
}
"""Reason code → status of the N-CREATE or N-SET response. Source: PS3.7 annex C, PS3.4 F.7.2."""

BEGUN: Final = "IN PROGRESS"
ENDED: Final = ("COMPLETED", "DISCONTINUED")
"""Source: PS3.4 table F.7.2-1, Performed Procedure Step Status."""

LONGEST_BYTES: Final = 4 << 20
"""Of a request's attributes. Ours: ten thousand images take 1.2 MB."""

MOST_SERIES: Final = 500
"""In one step. Ours: a long examination has some dozens."""


def step_of(
    uid: str, attributes: Callable[[], Dataset], n_bytes: int, *, created: bool
) -> PerformedStep | Reason:
    """Read a step's creation or change; a Reason says why it is refused.

    ``attributes`` decodes what the request holds, ``n_bytes`` long.
    """
    if not STORABLE_UID.fullmatch(uid):
        return Reason("object_uid_unfit")
    if n_bytes > LONGEST_BYTES:
        return Reason("object_too_large", most_mb=LONGEST_BYTES / 2**20)
    try:
        return _read(uid, attributes(), created=created)
    except Exception:  # noqa: BLE001 - a damaged data set may make its reader raise anything
        return Reason("step_unreadable")


def _read(uid: str, attributes: Dataset, *, created: bool) -> PerformedStep | Reason:
    keyword = "PerformedProcedureStepStatus"
    status = str(attributes.get(keyword) or "").strip()
    if created and not status:
        return Reason("step_value_missing", attribute=keyword)
    if status not in ((BEGUN,) if created else ("", BEGUN, *ENDED)):
        return Reason("step_value_unfit", attribute=keyword)
    items = attributes.get("PerformedSeriesSequence") or ()
    if len(items) > MOST_SERIES:
        return Reason("step_value_unfit", attribute="PerformedSeriesSequence")
    images: dict[str, int] = {}
    for item in items:
        series_uid = str(item.get("SeriesInstanceUID") or "")
        listed = [
            str(one.get("ReferencedSOPInstanceUID") or "")
            for one in item.get("ReferencedImageSequence") or ()
        ]
        if not all(STORABLE_UID.fullmatch(one) for one in (series_uid, *listed)):
            return Reason("step_value_unfit", attribute="PerformedSeriesSequence")
        images[series_uid] = images.get(series_uid, 0) + len(set(listed))
    return PerformedStep(uid, created, status or BEGUN, tuple(images.items()))
