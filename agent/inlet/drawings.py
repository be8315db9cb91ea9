"""Segmentations that come back from workstations: read, matched to their series, and stored."""

from __future__ import annotations

from agent.deliver.dicom.drawn import DrawnOn, measured, read_segmentation, series_referred_to
from agent.errors import FileRefused
from agent.reasons import Reason
from agent.store.console_store import ConsoleStore
from agent.store.drawings import DrawnSegment


def take_drawing(file: bytes, sender: str, store: ConsoleStore) -> Reason | None:
    """Store what a segmentation shows; returns why it is refused, None where it is not.

    ``sender`` is the AE title that it came from.
    """
    try:
        data = read_segmentation(file)
        on, revision = _found(series_referred_to(data), store)
        read = measured(data, on)
    except FileRefused as error:
        return error.reason
    segments = [DrawnSegment(label=one.label, volume_ml=one.volume_ml) for one in read.segments]
    store.draw((on.series_uid, revision), read.sop_uid, read.by or sender, segments)
    return None


def _found(series_uids: list[str], store: ConsoleStore) -> tuple[DrawnOn, int]:
    """Return the first series that is referred to, and the revision of its latest result."""
    for uid in series_uids[:1]:
        row, sources = store.queries.series(uid), store.queries.source_images(uid)
        if row is not None and sources is not None and sources[1].voxels_ml:
            return DrawnOn(uid, row.identity, sources[1]), sources[0]
    raise FileRefused("drawing_of_unknown_series")
